"""Samples arranged for repeated estimation: counts, or sorted rectangles, by size."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.core.weights import estimate_weights
from pkpo.evaluate.counts import values
from pkpo.evaluate.samples import Samples
from pkpo.evaluate.solve_rates import SolveRates, fit_solve_rates


class Grouped:
    """The problems of `samples` by number of samples."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.sizes_P = samples.sizes_P
        self.binary = samples.binary
        self._rates: dict[bytes, SolveRates] = {}

    @cached_property
    def by_size(self) -> dict[int, np.ndarray]:
        """For each size, the positions of the problems that have it."""
        return {int(n): np.flatnonzero(self.sizes_P == n) for n in np.unique(self.sizes_P)}

    @cached_property
    def rectangles(self) -> dict[int, np.ndarray]:
        """For each size n, (p, n) rewards of those problems, each row sorted."""
        offsets, rewards = self.samples.offsets_P, self.samples.rewards_N
        return {
            n: np.sort(rewards[offsets[places][:, None] + np.arange(n)], axis=1)
            for n, places in self.by_size.items()
        }

    def rates(self, used_P: np.ndarray) -> SolveRates:
        """The solve rates fitted to the counts of the used problems; kept for the next call."""
        key = used_P.tobytes()
        if key not in self._rates:
            correct = self.samples.correct_P[used_P]
            self._rates[key] = fit_solve_rates(self.sizes_P[used_P], correct)
        return self._rates[key]

    def varies(self, used_P: np.ndarray) -> bool:
        """Whether some used problem has samples with different rewards."""
        return any(
            bool((rows[used_P[self.by_size[n]], 0] < rows[used_P[self.by_size[n]], -1]).any())
            for n, rows in self.rectangles.items()
        )

    def estimates(self, objective: Objective) -> np.ndarray:
        """(P,) unbiased value of each problem, NaN where it has fewer than k samples."""
        result = np.full(len(self.sizes_P), np.nan)
        for n, places in self.by_size.items():
            if n < objective.k:
                continue
            if self.binary:
                result[places] = values(n, objective)[self.samples.correct_P[places]]
            else:
                level = estimate_weights(n, objective).level
                weights = weights_of(n, objective)
                result[places] = l_statistic(self.rectangles[n], weights, level)
        return result


def weights_of(n: int, objective: Objective) -> np.ndarray:
    """(n,) weights of the sorted rewards in the unbiased value."""
    return estimate_weights(n, objective).of_rewards


def l_statistic(sorted_PN: np.ndarray, weights_N: np.ndarray, level: float) -> np.ndarray:
    """Weighted sums of sorted rows; `level`, the exact sum of the weights, makes rows of equal
    rewards come out exactly."""
    middle = sorted_PN[:, sorted_PN.shape[1] // 2]
    return level * middle + (sorted_PN - middle[:, None]) @ weights_N
