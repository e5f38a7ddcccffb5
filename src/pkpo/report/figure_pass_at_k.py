"""pass@k against k, before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pkpo.report.records import Run
from pkpo.report.statistics import evaluation_pairs, final_evaluations
from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    base_handle,
    legend_above,
    mean_and_error,
    new_figure,
    percent_axis,
    say_empty,
    signed_points_axis,
    style_axes,
)


def pass_at_k_figure(run: Run) -> Figure:
    """Two panels against k: pass@k itself, and its change from the base of the same seed.

    Args:
        run: the run; arms without a final evaluation are left out.
    """
    figure = new_figure(9.6, 4.5)
    levels, changes = figure.subplots(1, 2)
    evaluations = final_evaluations(run)
    splits = " and ".join(sorted({evaluation.split for evaluation in evaluations}))
    title = f"pass@k on the {splits} problems" if splits else "pass@k"
    style_axes(levels, title, "k, samples per problem")
    style_axes(changes, "Change from the base, percentage points", "k, samples per problem")
    if not evaluations:
        say_empty(levels, "no evaluation yet")
        say_empty(changes, "no evaluation yet")
        return figure

    ks = sorted(set.intersection(*(set(e.pass_at_k) for e in evaluations)))
    handles = []
    if run.base:
        before = [_values(evaluation.pass_at_k, ks) for evaluation in run.base.values()]
        _draw(levels, ks, before, color=BASE_GREY, line="--", marker="")
        handles.append(base_handle("base: before training"))
    for index, arm in enumerate(run.arms):
        style = arm_style(index)
        after = [_values(r.evaluation.pass_at_k, ks) for r in arm.runs if r.evaluation]
        if not after:
            continue
        _draw(levels, ks, after, color=style.color, line=style.line, marker=style.marker)
        pairs = evaluation_pairs(run, arm)
        moved = [_values(new.pass_at_k, ks) - _values(old.pass_at_k, ks) for old, new in pairs]
        if moved:
            _draw(changes, ks, moved, color=style.color, line=style.line, marker=style.marker)
        handles.append(arm_handle(index, arm.name))

    _log2_ticks(levels, ks)
    levels.set_ylim(bottom=0.0)
    percent_axis(levels.yaxis)
    if changes.lines:
        changes.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=2.0, zorder=1.5)
        _log2_ticks(changes, ks)
        signed_points_axis(changes.yaxis)
    else:
        say_empty(changes, "no arm has been evaluated yet")
    legend_above(figure, handles)
    return figure


def _values(pass_at_k: Mapping[int, float], ks: Sequence[int]) -> np.ndarray:
    return np.array([pass_at_k[k] for k in ks])


def _draw(
    axes: Axes,
    ks: Sequence[int],
    seeds: Sequence[np.ndarray],
    *,
    color: str,
    line: object,
    marker: str,
) -> None:
    for values in seeds if len(seeds) > 1 else ():
        axes.plot(ks, values, color=color, linewidth=0.8, alpha=0.4)
    mean, error = mean_and_error(seeds)
    if error is not None:
        axes.fill_between(ks, mean - error, mean + error, color=color, alpha=0.15, linewidth=0)
    axes.plot(ks, mean, color=color, linestyle=line, linewidth=2.2, marker=marker, markersize=5.5)


def _log2_ticks(axes: Axes, ks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ks)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
