"""The solve probability of each problem, before and after training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pkpo.report.records import Arm, Evaluation, Run
from pkpo.report.statistics import (
    evaluation_pairs,
    gained_and_lost,
    reach_probability,
    shared_reach_k,
    within_reach,
)
from pkpo.report.style import (
    BASE_GREY,
    INK,
    MUTED,
    arm_handle,
    arm_style,
    base_handle,
    legend_above,
    legend_inside,
    new_figure,
    percent_axis,
    say_empty,
    style_axes,
)

FLOOR = 1e-4
"""Smaller solve probabilities are drawn here: one correct sample in ten thousand."""

SHADE = "#eef1f4"
PERCENT_TICKS = {-4: "≤0.01", -3: "0.1", -2: "1", -1: "10", 0: "100"}
"""Tick labels by power of ten."""


def problems_figure(run: Run) -> Figure:
    """One scatter of before against after for each arm, then all arms as shares of problems.

    Args:
        run: the run; arms without a pair of evaluations are left out.
    """
    reach_k = shared_reach_k(run)
    arms = [(i, arm) for i, arm in enumerate(run.arms) if evaluation_pairs(run, arm)]
    if not arms or reach_k is None:
        figure = new_figure(9.6, 3.2)
        axes = figure.subplots()
        style_axes(axes, "Solve probability of each problem, before and after")
        say_empty(axes, "no arm has been evaluated yet")
        return figure

    num_panels = len(arms) + 1
    columns = 2 if num_panels in (2, 4) else 3
    num_rows = math.ceil(num_panels / columns)
    figure = new_figure(9.6, 0.4 + num_rows * (4.0 if columns == 2 else 3.3))
    grid = figure.subplots(num_rows, columns, squeeze=False).ravel()
    for axes, (index, arm) in zip(grid, arms, strict=False):
        _draw_scatter(axes, run, index, arm, reach_k)
    _draw_shares(grid[len(arms)], run, arms)
    for axes in grid[num_panels:]:
        axes.set_axis_off()
    handles = [
        base_handle("base: before training"),
        *(arm_handle(i, arm.name, marker=False) for i, arm in arms),
    ]
    if num_panels < len(grid):
        legend_inside(grid[num_panels], handles)
    else:
        legend_above(figure, handles)
    return figure


def _draw_scatter(axes: Axes, run: Run, index: int, arm: Arm, reach_k: int) -> None:
    style_axes(axes, arm.name, "chance per sample before, %", "chance per sample after, %")
    color = arm_style(index).color
    edge = reach_probability(reach_k)
    low, high = FLOOR * 0.6, 1.6
    pairs = evaluation_pairs(run, arm)
    for corner, x_range, y_range in (
        ("gained", (low, edge), (edge, high)),
        ("lost", (edge, high), (low, edge)),
    ):
        axes.fill_between(x_range, *y_range, color=SHADE, linewidth=0, zorder=0)
        _label_corner(axes, corner, _mean_count(pairs, reach_k, corner), pairs[0][0].num_problems)
    axes.plot([FLOOR, 1.0], [FLOOR, 1.0], color=BASE_GREY, linestyle="--", linewidth=1.2)
    for before, after in pairs:
        _draw_points(axes, before, after, reach_k, color)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _probability_axis(axes.xaxis)
    _probability_axis(axes.yaxis)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)


def _mean_count(pairs: Sequence[tuple[Evaluation, Evaluation]], reach_k: int, corner: str) -> float:
    counts = [gained_and_lost(*pair, reach_k) for pair in pairs]
    return float(np.mean([gained if corner == "gained" else lost for gained, lost in counts]))


def _label_corner(axes: Axes, corner: str, count: float, total: int) -> None:
    x, y = (0.04, 0.96) if corner == "gained" else (0.96, 0.04)
    axes.text(
        x,
        y,
        f"{corner}\n{count:.3g} of {total}",
        transform=axes.transAxes,
        ha="left" if corner == "gained" else "right",
        va="top" if corner == "gained" else "bottom",
        fontsize=10,
        color=INK,
        zorder=1,
    )


def _draw_points(
    axes: Axes, before: Evaluation, after: Evaluation, reach_k: int, color: str
) -> None:
    moved_M = within_reach(before, reach_k) != within_reach(after, reach_k)
    x_M, y_M = _spread(before, seed=0), _spread(after, seed=1)
    for chosen_M, shade, alpha in ((~moved_M, MUTED, 0.3), (moved_M, color, 0.65)):
        axes.scatter(x_M[chosen_M], y_M[chosen_M], s=9, color=shade, alpha=alpha, linewidth=0)


def _spread(evaluation: Evaluation, seed: int) -> np.ndarray:
    """Where to draw each problem; estimates, which often coincide, are moved apart a little."""
    probability_M = np.maximum(evaluation.solve_probability_M, FLOOR)
    if evaluation.exact:
        return probability_M
    rng = np.random.default_rng(seed)
    return probability_M * np.exp(rng.uniform(-0.1, 0.1, len(probability_M)))


def _draw_shares(axes: Axes, run: Run, arms: Sequence[tuple[int, Arm]]) -> None:
    style_axes(axes, "All arms", "chance per sample of at least …, %", "share of problems")
    levels = np.geomspace(FLOOR * 1.01, 1.0, 200)
    base = [_share_above(evaluation, levels) for evaluation in run.base.values()]
    axes.plot(levels, np.mean(base, axis=0), color=BASE_GREY, linestyle="--", linewidth=2.0)
    for index, arm in arms:
        style = arm_style(index)
        after = [_share_above(evaluation, levels) for _, evaluation in evaluation_pairs(run, arm)]
        axes.plot(levels, np.mean(after, axis=0), color=style.color, linestyle=style.line, lw=2.0)
    axes.set_xscale("log")
    _probability_axis(axes.xaxis)
    axes.set_xlim(FLOOR, 1.0)
    axes.set_ylim(0.0, 1.0)
    percent_axis(axes.yaxis)


def _share_above(evaluation: Evaluation, levels: np.ndarray) -> np.ndarray:
    ordered_M = np.sort(evaluation.solve_probability_M)
    return 1.0 - np.searchsorted(ordered_M, levels, side="left") / len(ordered_M)


def _probability_axis(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator([10.0**power for power in PERCENT_TICKS]))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: PERCENT_TICKS.get(round(math.log10(value)), ""))
    )
    axis.set_minor_locator(NullLocator())
