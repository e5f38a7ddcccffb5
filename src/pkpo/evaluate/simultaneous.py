"""Levels at which the intervals of several objectives hold together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from pkpo.core.objectives import Objective
from pkpo.evaluate.counts import covariance
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.samples import SolveProbabilities
from pkpo.evaluate.support import ENOUGH

DRAWS = 20_000


def critical_level(
    correlation: np.ndarray | None, number: int, confidence: float, seed: int
) -> float:
    """The confidence for each interval at which all hold together.

    Args:
        correlation: (K, K) of the estimates; the largest of K normal deviates with it is
            simulated. None if unknown: Bonferroni's level for `number`.
        number: of intervals, at least K.
        confidence: for all together.
        seed: of the simulation.

    Returns:
        In [confidence, 1).
    """
    if correlation is None:
        return 1.0 - (1.0 - confidence) / number
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    largest = np.abs(_draws(seed, len(values)) @ root.T).max(axis=1)
    level = 1.0 - 2.0 * float(ndtr(-np.quantile(largest, confidence)))
    return max(level, confidence)


@lru_cache(maxsize=1)
def _draws(seed: int, number: int) -> np.ndarray:
    """(DRAWS, number) independent normal deviates."""
    return np.random.default_rng(seed).standard_normal((DRAWS, number))


def between_correlation(columns: list[np.ndarray], common_P: np.ndarray) -> np.ndarray | None:
    """Correlation of the objectives' estimates over problems; None where it isn't known."""
    if common_P.sum() < ENOUGH:
        return None
    spread = np.stack([column[common_P] for column in columns])
    spread = spread[spread.std(axis=1) > 0]
    return np.atleast_2d(np.corrcoef(spread)) if len(spread) else None


def within_correlation(
    grouped: Grouped | SolveProbabilities,
    used_P: np.ndarray,
    objectives: tuple[Objective, ...],
) -> np.ndarray | None:
    """Correlation of the objectives' sampling errors on fixed problems, for 0/1 rewards from
    exact covariances averaged over the fitted solve rates; None for other rewards."""
    if isinstance(grouped, SolveProbabilities) or not grouped.binary or not used_P.any():
        return None
    sizes = grouped.sizes_P[used_P]
    rates = grouped.rates(used_P)
    result = np.zeros((len(objectives), len(objectives)))
    for n, number in zip(*np.unique(sizes, return_counts=True)):
        for i, first in enumerate(objectives):
            for j, second in enumerate(objectives[: i + 1]):
                along = covariance(int(n), (first, second), rates.grid_G)
                result[i, j] += number * rates.mean(along)
                result[j, i] = result[i, j]
    scale = np.sqrt(np.diag(result))
    return result / np.outer(scale, scale) if (scale > 0).all() else None
