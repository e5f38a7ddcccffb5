"""Training curves of a study's methods: their numbers, and how each method looks in every figure.

Axis suffixes: A seeds, S training steps, C checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pkpo.errors import InvalidInputError
from pkpo.report.curves import smooth
from pkpo.report.records import Arm
from pkpo.report.style import ArmStyle, arm_handle, arm_style, mean_and_error
from reproduction.studies.settings import BEYOND_METHODS, NO_BASELINE, PAPER_METHODS

_STYLED = tuple(m.label for m in (*PAPER_METHODS, NO_BASELINE, *BEYOND_METHODS))


def method_style(method: str) -> ArmStyle:
    """The look of a method, the same in every figure."""
    return arm_style(_place(method))


def method_handle(method: str, label: str | None = None, *, marker: bool = False) -> Line2D:
    """The legend entry of a method; `label` in place of its name."""
    return arm_handle(_place(method), method if label is None else label, marker=marker)


def _place(method: str) -> int:
    if method not in _STYLED:
        raise InvalidInputError(f"no method {method!r}; methods: {', '.join(_STYLED)}")
    return _STYLED.index(method)


def metric_steps(arm: Arm) -> np.ndarray:
    """Steps (S,) of the arm's metrics, the same in all its runs.

    Raises:
        InvalidInputError: its runs differ in their steps.
    """
    first = arm.runs[0].metrics.steps_S
    if any(not np.array_equal(run.metrics.steps_S, first) for run in arm.runs):
        raise InvalidInputError(f"the runs of {arm.name!r} differ in their steps")
    return first


def metric(arm: Arm, column: str) -> np.ndarray:
    """A column of metrics.jsonl (A, S), by seed and step.

    Raises:
        InvalidInputError: a run lacks the column, or its runs differ in their steps.
    """
    metric_steps(arm)
    for run in arm.runs:
        if column not in run.metrics.columns:
            raise InvalidInputError(f"{arm.name!r}, seed {run.seed}, has no metric {column!r}")
    return np.stack([run.metrics.columns[column] for run in arm.runs])


def smoothed(series_AS: np.ndarray, window: int) -> np.ndarray:
    """Each row averaged over `window` steps around each step; fewer at both ends.

    Args:
        series_AS: by seed and step.
        window: odd number of steps.
    """
    return np.stack([smooth(row, window) for row in series_AS])


def window_of(steps: int, share: float = 0.05) -> int:
    """An odd number of steps, about `share` of all, at least three."""
    return max(3, round(share * steps)) | 1


def last_mean(series_AS: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Means (A,) over the last `share` of the steps, at least one."""
    count = max(1, round(share * series_AS.shape[1]))
    return series_AS[:, -count:].mean(axis=1)


def checkpoints(arm: Arm, k: int, split: str = "validation") -> tuple[np.ndarray, np.ndarray]:
    """Steps (C,) and pass@k (A, C) of the evaluations during training that all seeds have."""
    found = [
        {c.step: c.pass_at_k[k] for c in run.checkpoints if c.split == split} for run in arm.runs
    ]
    steps = sorted(set.intersection(*map(set, found)))
    return np.array(steps), np.array([[by_step[step] for step in steps] for by_step in found])


def switch_steps(arm: Arm) -> tuple[int, ...]:
    """The steps at which the arm's objective changes, in any of its runs."""
    return tuple(sorted({step for run in arm.runs for step, _, _ in run.metrics.switches}))


def draw_curve(
    axes: Axes,
    method: str,
    steps: np.ndarray,
    values_AS: np.ndarray,
    *,
    seeds: bool = False,
    **line: Any,
) -> None:
    """The mean over seeds with a band of its standard error.

    Args:
        axes: to draw in.
        method: which gives the look.
        steps: along x.
        values_AS: by seed and step.
        seeds: whether each seed is drawn too, thin.
        line: passed on to the mean's line.
    """
    style = method_style(method)
    mean, error = mean_and_error(list(values_AS))
    if error is not None:
        axes.fill_between(
            steps, mean - error, mean + error, color=style.color, alpha=0.18, linewidth=0
        )
    for row in values_AS if seeds and len(values_AS) > 1 else ():
        axes.plot(steps, row, color=style.color, linewidth=0.6, alpha=0.35)
    given = {"color": style.color, "linestyle": style.line, "linewidth": 2.0} | line
    axes.plot(steps, mean, **given)


def draw_checkpoints(
    axes: Axes, method: str, steps: Sequence[int] | np.ndarray, values_AC: np.ndarray
) -> None:
    """Evaluations during training: mean over seeds and its standard error, joined by a line."""
    style = method_style(method)
    mean, error = mean_and_error(list(values_AC))
    axes.errorbar(
        steps,
        mean,
        yerr=error,
        color=style.color,
        linestyle=style.line,
        marker=style.marker,
        markersize=4.5,
        markerfacecolor="white",
        linewidth=1.8,
        elinewidth=1.2,
    )
