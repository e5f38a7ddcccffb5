"""Fig. 8 on our hard set, and what was ever solved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.report.style import (
    BASE_GREY,
    legend_above,
    mean_and_error,
    new_figure,
    percent_axis,
    style_axes,
)
from reproduction.hard.numbers import control_curves, solve_curve
from reproduction.studies.curves import (
    draw_curve,
    method_handle,
    metric,
    metric_steps,
    smoothed,
    window_of,
)
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import OPTIMISED, present

FIGURE_8 = tuple(OPTIMISED[k] for k in (1, 4, 8))
ROLLING_KS = (1, 4, 8, 16)
_CONTROL_DASHES = ("--", ":")


def rolling_figure(data: StudyData) -> Figure:
    """Rolling pass@k of the training batches, a panel for each k."""
    methods = present(data, FIGURE_8)
    figure = new_figure(12.0, 3.6)
    window = window_of(data.study.steps)
    for axes, k in zip(figure.subplots(1, len(ROLLING_KS)), ROLLING_KS):
        style_axes(axes, f"pass@{k}, training batches", "training step")
        for method in methods:
            arm = data.chosen(method)
            values = smoothed(metric(arm, f"pass@{k}"), window)
            draw_curve(axes, method, metric_steps(arm), values)
        percent_axis(axes.yaxis, ".3g")
        axes.set_ylim(bottom=0.0)
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def solve_rate_figure(data: StudyData, methods: Sequence[str]) -> Figure:
    """Cumulative solve rate: the methods of Fig. 8, the others, and the samplers in both."""
    figure = new_figure(10.4, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    others = [method for method in methods if method not in FIGURE_8]
    style_axes(left, "Trained for k", "training step", "training problems ever solved")
    style_axes(right, "Other methods, and k_opt=8 again", "training step")
    _draw(left, data, present(data, FIGURE_8))
    _draw(right, data, [*others, *present(data, FIGURE_8[-1:])])
    percent_axis(left.yaxis, ".3g")
    left.set_ylim(bottom=0.0)
    names = control_curves(data)
    handles = [method_handle(method) for method in methods]
    handles += [
        Line2D([], [], color=BASE_GREY, linestyle=dash, linewidth=2.0, label=name)
        for name, dash in zip(names, _CONTROL_DASHES)
    ]
    legend_above(figure, handles)
    return figure


def _draw(axes: Axes, data: StudyData, methods: Sequence[str]) -> None:
    for curve_AS, dash in zip(control_curves(data).values(), _CONTROL_DASHES):
        mean, error = mean_and_error(list(curve_AS))
        steps = np.arange(curve_AS.shape[1])
        if error is not None:
            low, high = mean - error, mean + error
            axes.fill_between(steps, low, high, color=BASE_GREY, alpha=0.18, linewidth=0)
        axes.plot(steps, mean, color=BASE_GREY, linestyle=dash, linewidth=2.0)
    for method in methods:
        steps = metric_steps(data.chosen(method))
        draw_curve(axes, method, steps, solve_curve(data, method), seeds=True)
