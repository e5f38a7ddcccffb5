"""The figures of a run's report: before against after training, on held-out problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pkpo.report.curves import curves_figure, smoothing_window
from pkpo.report.page import Picture
from pkpo.report.records import Arm, Run, Scores
from pkpo.report.statistics import gained_and_lost, reach_probability, within_reach
from pkpo.report.style import (
    BASE_GREY,
    INK,
    MUTED,
    arm_handle,
    arm_style,
    base_handle,
    k_axis,
    legend_above,
    legend_inside,
    mean_and_error,
    new_figure,
    percent_axis,
    plot_line,
    say_empty,
    signed_points_axis,
    style_axes,
    to_png,
)

FLOOR = 1e-4
"""Smaller solve probabilities are drawn here: one correct sample in ten thousand."""

_SHADE = "#eef1f4"
_PERCENT_TICKS = {-4: "≤0.01", -3: "0.1", -2: "1", -1: "10", 0: "100"}
"""Tick labels by power of ten."""


def draw_figures(run: Run) -> tuple[Picture, ...]:
    """Draws every figure of the report of `run`."""
    several = len(run.seeds) > 1
    band = " Thick: mean over seeds, band: ± 1 standard error, thin: single seeds."
    window = smoothing_window(run)
    return (
        Picture(
            filename="pass_at_k.png",
            title="Does training help one try, or many?",
            caption="The left end of each line is the chance that a single sample is right, the "
            "right end the chance that at least one of many is; below zero in the right panel, "
            "training made things worse for that k." + (band if several else ""),
            alt="pass@k against k for the base and each arm, and the change from the base.",
            png=to_png(pass_at_k_figure(run)),
        ),
        Picture(
            filename="curves.png",
            title="Over the course of training",
            caption=f"Lines show the training batches, averaged over {window} steps, hollow "
            "markers the evaluations during training, and dotted verticals the steps where the "
            "objective of an arm changes. A prompt has a signal where its samples got advantages "
            "other than zero.",
            alt="pass@1, pass@k, entropy, cumulative solve rate and signal fraction by step.",
            png=to_png(curves_figure(run)),
        ),
        Picture(
            filename="problems_solved.png",
            title="Which problems came within reach, and which were lost",
            caption=f"Each dot is one problem{' with one seed' if several else ''}: coloured "
            "dots at the lower right are problems that the base could solve in a few tries and "
            "that the trained policy mostly cannot any more, at the upper left the reverse, and "
            "dots above the dashed line got easier"
            + ("; the counts are means over seeds. " if several else ". ")
            + "The last panel shows which share of the problems each policy solves with at "
            "least a given chance per sample.",
            alt="Solve probability of each problem before and after training, one panel an arm.",
            png=to_png(problems_figure(run)),
        ),
    )


# pass@k against k


def pass_at_k_figure(run: Run) -> Figure:
    """Two panels against k: pass@k itself, and its change from the base of the same seed.

    Args:
        run: the run; arms without a final evaluation are left out.
    """
    figure = new_figure(9.6, 4.5)
    levels, changes = figure.subplots(1, 2)
    splits = " and ".join(sorted({scores.split for scores in run.scores}))
    title = f"pass@k on the {splits} problems" if splits else "pass@k"
    style_axes(levels, title, "k, samples per problem")
    style_axes(changes, "Change from the base, percentage points", "k, samples per problem")
    if not run.scores:
        say_empty(levels, "no evaluation yet")
        say_empty(changes, "no evaluation yet")
        return figure

    ks = sorted(set.intersection(*(set(scores.pass_at_k) for scores in run.scores)))
    handles = []
    if run.base:
        _draw_seeds(levels, ks, [_values(scores, ks) for scores in run.base.values()])
        handles.append(base_handle("base: before training"))
    for index, arm in enumerate(run.arms):
        after = [_values(r.evaluation, ks) for r in arm.runs if r.evaluation]
        if not after:
            continue
        _draw_seeds(levels, ks, after, index)
        moved = [_values(new, ks) - _values(old, ks) for old, new in run.pairs(arm)]
        if moved:
            _draw_seeds(changes, ks, moved, index)
        handles.append(arm_handle(index, arm.name))

    k_axis(levels, ks)
    levels.set_ylim(bottom=0.0)
    percent_axis(levels.yaxis)
    if changes.lines:
        changes.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=2.0, zorder=1.5)
        k_axis(changes, ks)
        signed_points_axis(changes.yaxis)
    else:
        say_empty(changes, "no arm has been evaluated yet")
    legend_above(figure, handles)
    return figure


def _values(scores: Scores, ks: Sequence[int]) -> np.ndarray:
    return np.array([scores.pass_at_k[k] for k in ks])


def _draw_seeds(
    axes: Axes, ks: Sequence[int], seeds: Sequence[np.ndarray], index: int | None = None
) -> None:
    """Mean and standard error of an arm, or of the base."""
    color = BASE_GREY if index is None else arm_style(index).color
    for values in seeds if len(seeds) > 1 else ():
        axes.plot(ks, values, color=color, linewidth=0.8, alpha=0.4)
    mean, error = mean_and_error(seeds)
    if error is not None:
        axes.fill_between(ks, mean - error, mean + error, color=color, alpha=0.15, linewidth=0)
    if index is None:
        axes.plot(ks, mean, color=color, linestyle="--", linewidth=2.2)
    else:
        plot_line(axes, index, ks, mean, linewidth=2.2)


# Problem by problem


def problems_figure(run: Run) -> Figure:
    """One scatter of before against after for each arm, then all arms as shares of problems.

    Args:
        run: the run; arms without a pair of evaluations are left out.
    """
    reach_k = run.reach_k
    arms = [(index, arm) for index, arm in enumerate(run.arms) if run.pairs(arm)]
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
        style_axes(axes, arm.name, "chance per sample before, %", "chance per sample after, %")
        _draw_scatter(axes, run.pairs(arm), reach_k, arm_style(index).color)
    _draw_shares(grid[len(arms)], run, arms)
    for axes in grid[num_panels:]:
        axes.set_axis_off()
    handles = [
        base_handle("base: before training"),
        *(arm_handle(index, arm.name, marker=False) for index, arm in arms),
    ]
    if num_panels < len(grid):
        legend_inside(grid[num_panels], handles)
    else:
        legend_above(figure, handles)
    return figure


def _draw_scatter(
    axes: Axes, pairs: Sequence[tuple[Scores, Scores]], reach_k: int, color: str
) -> None:
    edge = reach_probability(reach_k)
    low, high = FLOOR * 0.6, 1.6
    means = np.mean([gained_and_lost(*pair, reach_k) for pair in pairs], axis=0)
    of_all = f"of {pairs[0][0].num_problems}"
    axes.fill_between((low, edge), edge, high, color=_SHADE, linewidth=0, zorder=0)
    _say(axes, 0.04, 0.96, f"gained\n{means[0]:.3g} {of_all}", ha="left", va="top")
    axes.fill_between((edge, high), low, edge, color=_SHADE, linewidth=0, zorder=0)
    _say(axes, 0.96, 0.04, f"lost\n{means[1]:.3g} {of_all}", ha="right", va="bottom")
    axes.plot([FLOOR, 1.0], [FLOOR, 1.0], color=BASE_GREY, linestyle="--", linewidth=1.2)
    for before, after in pairs:
        moved_M = within_reach(before, reach_k) != within_reach(after, reach_k)
        x_M, y_M = _spread(before, seed=0), _spread(after, seed=1)
        for chosen_M, shade, alpha in ((~moved_M, MUTED, 0.3), (moved_M, color, 0.65)):
            axes.scatter(x_M[chosen_M], y_M[chosen_M], s=9, color=shade, alpha=alpha, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _probability_axis(axes.xaxis)
    _probability_axis(axes.yaxis)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)


def _say(axes: Axes, x: float, y: float, text: str, **how: Any) -> None:
    axes.text(x, y, text, transform=axes.transAxes, fontsize=10, color=INK, zorder=1, **how)


def _spread(scores: Scores, seed: int) -> np.ndarray:
    """Where to draw each problem; estimates, which often coincide, are moved apart a little."""
    probability_M = np.maximum(scores.solve_probability_M, FLOOR)
    if scores.exact:
        return probability_M
    rng = np.random.default_rng(seed)
    return probability_M * np.exp(rng.uniform(-0.1, 0.1, len(probability_M)))


def _draw_shares(axes: Axes, run: Run, arms: Sequence[tuple[int, Arm]]) -> None:
    style_axes(axes, "All arms", "chance per sample of at least …, %", "share of problems")
    levels = np.geomspace(FLOOR * 1.01, 1.0, 200)

    def mean_share(scores: Sequence[Scores]) -> np.ndarray:
        each = [np.sort(found.solve_probability_M) for found in scores]
        return np.mean([1.0 - np.searchsorted(p_M, levels) / len(p_M) for p_M in each], axis=0)

    base = mean_share(list(run.base.values()))
    axes.plot(levels, base, color=BASE_GREY, linestyle="--", linewidth=2.0)
    for index, arm in arms:
        after = mean_share([after for _, after in run.pairs(arm)])
        plot_line(axes, index, levels, after, marker=False)
    axes.set_xscale("log")
    _probability_axis(axes.xaxis)
    axes.set_xlim(FLOOR, 1.0)
    axes.set_ylim(0.0, 1.0)
    percent_axis(axes.yaxis)


def _probability_axis(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator([10.0**power for power in _PERCENT_TICKS]))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: _PERCENT_TICKS.get(round(math.log10(value)), ""))
    )
    axis.set_minor_locator(NullLocator())
