"""Drawings of `collapse`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import (
    legend_above,
    new_figure,
    percent_axis,
    style_axes,
)
from reproduction.collapse.numbers import (
    METHODS,
    K,
    gap_checkpoints,
    gap_curve,
    methods_of,
)
from reproduction.studies.curves import (
    draw_checkpoints,
    draw_curve,
    method_handle,
    method_style,
    metric,
    metric_steps,
    smoothed,
    window_of,
)
from reproduction.studies.runs import StudyData

GAP = f"pass@{K} - pass@1"

SMOOTHED = 0.2
"""Share of the steps over which paths are averaged."""


def along_figure(studies: Sequence[StudyData]) -> Figure:
    """A row a study: the gap on training batches and validation problems, entropy, signal."""
    figure = new_figure(13.0, 3.2 * len(studies) + 0.7)
    grid = figure.subplots(len(studies), 4, squeeze=False)
    for row, data in zip(grid, studies):
        title = data.study.title
        style_axes(row[0], f"{title}: gap, training", "training step", GAP)
        style_axes(row[1], "Gap, validation problems", "training step")
        style_axes(row[2], "Entropy, nats a completion", "training step")
        style_axes(row[3], "Groups with a signal", "training step")
        window = window_of(data.study.steps)
        for method in methods_of(data):
            arm = data.chosen(method)
            steps = metric_steps(arm)
            draw_curve(row[0], method, steps, smoothed(gap_curve(arm), window))
            draw_checkpoints(row[1], method, *gap_checkpoints(arm))
            draw_curve(row[2], method, steps, smoothed(metric(arm, "entropy"), window))
            draw_curve(row[3], method, steps, smoothed(metric(arm, "signal_fraction"), window))
        for axes in (row[0], row[1], row[3]):
            percent_axis(axes.yaxis, ".3g")
        row[2].set_ylim(bottom=0.0)
    legend_above(figure, [method_handle(method, marker=True) for method in _drawn(studies)])
    return figure


def phase_figure(studies: Sequence[StudyData]) -> Figure:
    """A row a study: the gap on training batches against entropy, and against pass@1."""
    figure = new_figure(9.6, 3.9 * len(studies) + 0.7)
    grid = figure.subplots(len(studies), 2, sharey="row", squeeze=False)
    for (left, right), data in zip(grid, studies):
        style_axes(left, f"{data.study.title}: gap and entropy", "entropy, nats", GAP)
        style_axes(right, "Gap and pass@1", "pass@1")
        window = window_of(data.study.steps, SMOOTHED)
        for method in methods_of(data):
            arm = data.chosen(method)
            gap, entropy, first = (
                smoothed(series_AS, window).mean(axis=0)
                for series_AS in (gap_curve(arm), metric(arm, "entropy"), metric(arm, "pass@1"))
            )
            _path(left, method, entropy, gap)
            _path(right, method, first, gap)
        percent_axis(left.yaxis, ".3g")
        percent_axis(right.xaxis, ".3g")
        left.invert_xaxis()
    legend_above(figure, [method_handle(method) for method in _drawn(studies)])
    return figure


def _path(axes: Axes, method: str, x: np.ndarray, y: np.ndarray) -> None:
    """A line with a ring at its start and a dot at its end."""
    style = method_style(method)
    axes.plot(x, y, color=style.color, linestyle=style.line, linewidth=1.6)
    axes.plot(x[:1], y[:1], "o", color=style.color, markerfacecolor="white", markersize=5.0)
    axes.plot(x[-1:], y[-1:], "o", color=style.color, markersize=5.0)


def _drawn(studies: Sequence[StudyData]) -> list[str]:
    return [m for m in METHODS if any(m in data.choices for data in studies)]
