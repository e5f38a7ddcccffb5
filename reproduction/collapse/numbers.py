"""The gap between pass@16 and pass@1 along a run, and what goes with it.

All of one policy a method, the candidate that was chosen over all k: a gap between two policies
would say nothing of either. Axis suffixes: A seeds, S training steps, C checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pkpo.report.records import Arm
from pkpo.report.records import Scores as Evaluation
from reproduction.studies.curves import checkpoints, last_mean, metric, smoothed, window_of
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import BEYOND_METHODS
from reproduction.studies.tables import (
    ANNEALED,
    OPTIMISED,
    TZSM25,
    measured,
    measured_base,
    present,
)

K = 16
"""The gap is pass@K less pass@1."""

MIXTURE, MAXRL = BEYOND_METHODS[2].label, BEYOND_METHODS[3].label
METHODS = (*OPTIMISED.values(), TZSM25, ANNEALED, MIXTURE, MAXRL)

SKIPPED, BEGINNING = 0.2, 0.1
"""Shares of the steps: left out of correlations, and counted as the first ones."""


def methods_of(data: StudyData) -> tuple[str, ...]:
    """Those of METHODS that the study has."""
    return present(data, METHODS)


def gap_curve(arm: Arm) -> np.ndarray:
    """The gap (A, S) on the training batches."""
    return metric(arm, f"pass@{K}") - metric(arm, "pass@1")


def gap_checkpoints(arm: Arm) -> tuple[np.ndarray, np.ndarray]:
    """Steps (C,) and the gap (A, C) on validation problems."""
    steps, high_AC = checkpoints(arm, K)
    return steps, high_AC - checkpoints(arm, 1)[1]


def base_gap(data: StudyData) -> np.ndarray:
    """The gap (A,) of the warm starts on test problems."""
    return data.base(K) - data.base(1)


def end_gap(data: StudyData, method: str) -> np.ndarray:
    """The gap (A,) after the last step on test problems."""
    return data.scores(method, K) - data.scores(method, 1)


def widest_gap() -> tuple[float, float]:
    """The chance p at which 1 - (1 - p)^K - p is largest, and its value there."""
    p = 1 - K ** (-1 / (K - 1))
    return p, 1 - (1 - p) ** K - p


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, equal values sharing their mean rank; NaN where one of both is constant.

    Args:
        first, second: (m,) paired values.
    """
    x, y = _ranks(first), _ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else math.nan


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def correlations(arm: Arm) -> np.ndarray:
    """By seed (A,), of entropy and gap over the training steps, both smoothed, without the first
    ones."""
    window = window_of(len(arm.runs[0].metrics))
    # Rounding errors of the averages would tell equal values apart.
    entropy_AS = np.round(smoothed(metric(arm, "entropy"), window), 12)
    gap_AS = np.round(smoothed(gap_curve(arm), window), 12)
    first = round(SKIPPED * entropy_AS.shape[1])
    return np.array(
        [rank_correlation(e, g) for e, g in zip(entropy_AS[:, first:], gap_AS[:, first:])]
    )


def first_mean(series_AS: np.ndarray) -> np.ndarray:
    """Means (A,) over the first steps."""
    count = max(1, round(BEGINNING * series_AS.shape[1]))
    return series_AS[:, :count].mean(axis=1)


@dataclass(frozen=True)
class Along:
    """One method along its runs, by seed (A,).

    Args:
        gap: at the end, on test problems.
        pass_at_1, entropy, distinct: likewise; distinct solutions among the samples of one
            problem, NaN where not measured.
        correlation: `correlations`.
        signal_first, signal_last: share of the training groups with an advantage that is not
            zero, in the first and the last tenth of the steps.
    """

    gap: np.ndarray
    pass_at_1: np.ndarray
    entropy: np.ndarray
    distinct: np.ndarray
    correlation: np.ndarray
    signal_first: np.ndarray
    signal_last: np.ndarray


def along(data: StudyData, method: str) -> Along:
    """What is told of a method."""
    arm = data.chosen(method)
    signal_AS = metric(arm, "signal_fraction")
    return Along(
        gap=end_gap(data, method),
        pass_at_1=data.scores(method, 1),
        entropy=measured(arm, _entropy),
        distinct=measured(arm, _distinct),
        correlation=correlations(arm),
        signal_first=first_mean(signal_AS),
        signal_last=last_mean(signal_AS),
    )


def base_entropy(data: StudyData) -> np.ndarray:
    """Of the warm starts (A,)."""
    return measured_base(data, _entropy)


def base_distinct(data: StudyData) -> np.ndarray:
    """Distinct solutions of the warm starts (A,)."""
    return measured_base(data, _distinct)


def _entropy(evaluation: Evaluation) -> float | None:
    return evaluation.entropy


def _distinct(evaluation: Evaluation) -> float | None:
    return evaluation.distinct_solutions
