"""Objectives of `pkpo`, each beside the oracle's statement of what it means."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

import oracles
import pkpo

BASELINES = oracles.BASELINES


@dataclass(frozen=True)
class Case:
    objective: pkpo.Objective
    kernel: oracles.Kernel

    def __str__(self) -> str:
        return str(self.objective)


def cases(k: int) -> list[Case]:
    """One of every kind that needs k samples, and mixtures."""
    maximum, minimum, mean = oracles.maximum(k), oracles.minimum(k), oracles.mean()
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    found = [
        Case(pkpo.max_at(k), maximum),
        Case(pkpo.min_at(k), minimum),
        Case(pkpo.log_pass(k), oracles.log_pass(k)),
        Case(
            0.5 * pkpo.max_at(k) + 0.5 * pkpo.mean_reward(),
            oracles.mixture((half, maximum), (half, mean)),
        ),
        Case(
            pkpo.max_at(k) - 0.25 * pkpo.min_at(k),
            oracles.mixture((1, maximum), (-quarter, minimum)),
        ),
    ]
    if k >= 3:
        weights = [Fraction((-1) ** r * (r + 1), 4) for r in range(k)]
        median = [int(r == k // 2) for r in range(k)]
        found += [
            Case(pkpo.top_mean(2, k), oracles.top_mean(2, k)),
            Case(pkpo.top_mean(k - 1, k), oracles.top_mean(k - 1, k)),
            Case(
                pkpo.order_statistics([float(w) for w in weights]),
                oracles.order_statistics(weights),
            ),
            Case(pkpo.order_statistics(median), oracles.order_statistics(median)),
            Case(
                pkpo.top_mean(2, k) + 0.5 * pkpo.min_at(k - 1),
                oracles.mixture((1, oracles.top_mean(2, k)), (half, oracles.minimum(k - 1))),
            ),
        ]
    return found


def reward_groups(n: int) -> np.ndarray:
    """(6, n) integers: distinct, tied, binary, negative, constant, and one success."""
    generator = np.random.default_rng(n)
    return np.stack(
        [
            generator.permutation(np.arange(n) ** 2 - 2 * n),
            generator.integers(-2, 2, n),
            generator.integers(0, 2, n),
            -generator.permutation(np.arange(n)) // 2 - 1,
            np.full(n, 3),
            np.arange(n) == n // 2,
        ]
    )
