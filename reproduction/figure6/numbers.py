"""Numbers of Fig. 6: solve rate and entropy along training, at which learning rates, in epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pkpo.report.records import Arm, Run
from pkpo.tasks.registry import build_task
from reproduction.studies.curves import last_mean, metric, smoothed, window_of
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import settings_of

SOLVED, ENTROPY_COLUMN = "cumulative_solve_rate", "entropy"

AROUND = 10
"""Steps on each side of an epoch's end whose slopes are compared."""


def drawn_series(arm: Arm, column: str) -> np.ndarray:
    """The column by seed and step as it is drawn: the entropy smoothed, the solve rate as is."""
    series_AS = metric(arm, column)
    if column == SOLVED:
        return series_AS
    return smoothed(series_AS, window_of(series_AS.shape[1]))


def at_end(arm: Arm, column: str) -> np.ndarray:
    """By seed, the last solve rate, or the mean entropy of the last tenth of the steps."""
    series_AS = metric(arm, column)
    return series_AS[:, -1] if column == SOLVED else last_mean(series_AS)


def ordered_share(arms: Sequence[Arm], column: str, skip: float = 0.2) -> float:
    """The share of steps, without the first ones, at which the means never fall from one arm to
    the next.

    Args:
        arms: that which should be lowest first.
        column: of the metrics.
        skip: share of the steps that is left out.
    """
    means_XS = np.stack([drawn_series(arm, column).mean(axis=0) for arm in arms])
    after = means_XS[:, round(skip * means_XS.shape[1]) :]
    return float((np.diff(after, axis=0) >= 0).all(axis=0).mean())


def train_problems(data: StudyData) -> int:
    """How many problems there are to train on."""
    return len(build_task(data.study.task, data.study.options).problems("train"))


def prompts_per_step(data: StudyData) -> int:
    """How many problems each training step takes."""
    return data.study.tuning().training.prompts_per_step


def epoch_ends(problems: int, per_step: int, steps: int) -> tuple[float, ...]:
    """The ends of epochs in steps, those that have AROUND steps on both sides.

    Args:
        problems: to train on.
        per_step: of them in each step.
        steps: of training.
    """
    length = problems / per_step
    ends = (length * epoch for epoch in range(1, math.ceil(steps / length) + 1))
    return tuple(
        end for end in ends if math.floor(end) > AROUND and math.ceil(end) + AROUND <= steps
    )


def slopes_around(solved_AS: np.ndarray, end: float) -> tuple[np.ndarray, np.ndarray]:
    """By seed, the mean rise of the solve rate a step in the AROUND steps before and after.

    The step in which an epoch ends is in neither.

    Args:
        solved_AS: cumulative solve rate by seed and step.
        end: of an epoch, in steps.
    """
    rises = np.diff(solved_AS, axis=1)
    first, last = math.ceil(end), math.floor(end)
    before = rises[:, last - 1 - AROUND : last - 1].mean(axis=1)
    return before, rises[:, first - 1 : first - 1 + AROUND].mean(axis=1)


def arms_at(
    data: StudyData, run: Run, methods: Sequence[str], learning_rate: float
) -> dict[str, Arm]:
    """By method, its arm in `run` with this learning rate; methods without one are left out."""
    by_name = {arm.name: arm for arm in run.arms}
    found = {}
    for method in methods:
        for name in data.choices[method].scores:
            if name in by_name and settings_of(data, name).learning_rate == learning_rate:
                found.setdefault(method, by_name[name])
    return found


def common_rates(data: StudyData, methods: Sequence[str]) -> dict[float, Mapping[str, Arm]]:
    """The learning rates at which every one of the methods has a reported arm, with the arms."""
    rates = {}
    for rate in data.study.learning_rates:
        arms = arms_at(data, data.reported, methods, rate)
        if len(arms) == len(methods):
            rates[rate] = arms
    return rates
