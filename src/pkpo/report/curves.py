"""Training metrics against the training step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.report.records import Arm, ArmRun, Run
from pkpo.report.style import (
    MUTED,
    arm_handle,
    arm_style,
    legend_inside,
    literal,
    new_figure,
    percent_axis,
    plot_line,
    say_empty,
    style_axes,
)

MAX_SWITCH_LINES = 8
"""A schedule with more switches than this is named in the legend but not drawn."""


def curves_figure(run: Run) -> Figure:
    """Small multiples over training: pass@1, pass@k, entropy, solve rate, signal.

    Args:
        run: the run; unfinished arms are drawn as far as they got.
    """
    figure = new_figure(9.6, 5.8)
    grid = figure.subplots(2, 3).ravel()
    window = smoothing_window(run)
    has_checkpoints = False
    for axes, (column, title) in zip(grid, _panels(run).items(), strict=False):
        style_axes(axes, title, "training step")
        drawn = False
        for index, arm in enumerate(run.arms):
            drawn |= _draw_arm(axes, index, arm, column, window)
            has_checkpoints |= _draw_checkpoints(axes, index, arm, column)
            switches = _switches(arm)
            for step, _, _ in switches if len(switches) <= MAX_SWITCH_LINES else ():
                axes.axvline(step, color=arm_style(index).color, linestyle=":", linewidth=1.4)
        if not drawn:
            say_empty(axes, "no training step yet")
        elif column == "entropy":
            axes.set_ylim(bottom=0.0)
        else:
            percent_axis(axes.yaxis, ".3g")
    _fill_legend(grid[-1], run, has_checkpoints)
    return figure


def smoothing_window(run: Run) -> int:
    """Steps averaged in the curves: a twentieth of the training, odd, at least 1."""
    longest = max((len(r.metrics) for arm in run.arms for r in arm.runs), default=0)
    return max(1, (run.steps or longest) // 20) | 1


def smooth(series: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average over the values that are there; narrower at both ends.

    Args:
        series: float values, NaN where absent.
        window: odd number of steps.

    Returns:
        Averages of the same length; NaN where a whole window is absent.
    """
    present = np.isfinite(series)
    kernel = np.ones(window)
    half = window // 2
    total = np.convolve(np.where(present, series, 0.0), kernel)[half : half + len(series)]
    count = np.convolve(present.astype(float), kernel)[half : half + len(series)]
    return np.divide(total, count, out=np.full(len(series), np.nan), where=count > 0.5)


def _panels(run: Run) -> dict[str, str]:
    """Titles by column."""
    columns = {c for arm in run.arms for arm_run in arm.runs for c in arm_run.metrics.columns}
    ks = [int(match[1]) for c in columns if (match := re.fullmatch(r"pass@(\d+)", c))]
    return {
        **{f"pass@{k}": f"pass@{k}, training batch" for k in (1, max(ks, default=1))},
        "entropy": "Entropy, nats per completion",
        "cumulative_solve_rate": "Training problems solved so far",
        "signal_fraction": "Prompts with a signal",
    }


def _draw_arm(axes: Axes, index: int, arm: Arm, column: str, window: int) -> bool:
    with_column = [r for r in arm.runs if len(r.metrics) and column in r.metrics.columns]
    curves = {r.seed: _smoothed(r, column, window) for r in with_column}
    color = arm_style(index).color
    for r in with_column if len(curves) > 1 else ():
        axes.plot(r.metrics.steps_S, curves[r.seed], color=color, linewidth=0.7, alpha=0.4)
    averaged = [r for r in with_column if r.evaluation is not None] or with_column
    if averaged:
        steps, mean = _mean_curve(averaged, [curves[r.seed] for r in averaged])
        plot_line(axes, index, steps, mean, marker=False)
    return bool(averaged)


def _smoothed(arm_run: ArmRun, column: str, window: int) -> np.ndarray:
    series = arm_run.metrics.columns[column]
    return series if column == "cumulative_solve_rate" else smooth(series, window)


def _mean_curve(
    runs: Sequence[ArmRun], curves: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    steps = runs[0].metrics.steps_S
    for r in runs[1:]:
        steps = np.intersect1d(steps, r.metrics.steps_S)
    kept = [curve[np.isin(r.metrics.steps_S, steps)] for r, curve in zip(runs, curves, strict=True)]
    return steps, np.mean(kept, axis=0)


def _draw_checkpoints(axes: Axes, index: int, arm: Arm, column: str) -> bool:
    if not column.startswith("pass@"):
        return False
    k = int(column.removeprefix("pass@"))
    by_step: dict[int, list[float]] = {}
    runs = [r for r in arm.runs if r.evaluation is not None] or list(arm.runs)
    for checkpoint in (checkpoint for r in runs for checkpoint in r.checkpoints):
        if k in checkpoint.pass_at_k:
            by_step.setdefault(checkpoint.step, []).append(checkpoint.pass_at_k[k])
    complete = sorted(step for step, values in by_step.items() if len(values) == len(runs))
    means = [float(np.mean(by_step[step])) for step in complete]
    style = arm_style(index)
    how = {"marker": style.marker, "markeredgewidth": 1.2, "zorder": 3}
    axes.plot(complete, means, **how, **_hollow(style.color))
    return bool(complete)


def _hollow(color: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "markersize": 4.5,
        "markerfacecolor": "white",
        "markeredgecolor": color,
    }


def _switches(arm: Arm) -> list[tuple[int, str, str]]:
    return sorted({switch for r in arm.runs for switch in r.metrics.switches})


def _fill_legend(axes: Axes, run: Run, has_checkpoints: bool) -> None:
    handles = [arm_handle(i, arm.name, marker=False) for i, arm in enumerate(run.arms)]
    if len(run.seeds) > 1:
        thin = Line2D([], [], color=MUTED, linewidth=0.8, alpha=0.7, label="thin: single seeds")
        handles.append(thin)
    if has_checkpoints:
        splits = {c.split for arm in run.arms for r in arm.runs for c in r.checkpoints}
        text = literal(f"{' and '.join(sorted(splits))} problems, mean")
        handles.append(Line2D([], [], marker="o", label=text, **_hollow(MUTED)))
    for index, arm in enumerate(run.arms):
        if switches := _switches(arm):
            how = {"color": arm_style(index).color, "linestyle": ":", "linewidth": 1.6}
            handles.append(Line2D([], [], label=literal(_switch_text(switches)), **how))
    legend_inside(axes, handles)


def _switch_text(switches: Sequence[tuple[int, str, str]]) -> str:
    step, before, after = switches[0]
    if len(switches) == 1:
        return f"{before} → {after} at step {step}"
    if len(switches) <= MAX_SWITCH_LINES:
        return f"{before} → … → {switches[-1][2]}, {len(switches)} switches"
    return f"{before} → … → {switches[-1][2]} (not drawn)"
