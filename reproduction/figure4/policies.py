"""Which baseline has the lowest variance, for two policies with 0/1 rewards, exactly.

Given the number of correct samples c, a group's advantages are fixed, and c is binomial: variances
are sums over c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import pkpo
from pkpo.core.weights import Baseline

BASELINES: tuple[Baseline, ...] = ("paper_loo", "loo_minus_one", "loo")

Variance = Callable[[int, int, float, Baseline], float]
"""(n, k, p, baseline) -> trace of the covariance of the gradient estimate of pass@k."""


def bernoulli_variance(n: int, k: int, p: float, baseline: Baseline) -> float:
    """Of the gradient in the logit of p, where a sample's score is its reward less p.

    Args:
        n: samples in a group.
        k: of pass@k.
        p: chance that a sample is correct, in (0, 1).
        baseline: as in `pkpo.advantages`.
    """
    rewards = np.tri(n + 1, n, -1)
    estimates = (pkpo.advantages(rewards, k, baseline=baseline) * (rewards - p)).sum(axis=-1)
    law = _law(n, p)
    return float(law @ (estimates - law @ estimates) ** 2)


@dataclass(frozen=True)
class Softmax:
    """Arms with a logit each; correct ones are alike, and so are wrong ones.

    Args:
        correct, wrong: numbers of arms.
    """

    correct: int
    wrong: int

    def variance(self, n: int, k: int, p: float, baseline: Baseline) -> float:
        """Trace of the covariance of the gradient in the logits, whose score is the sampled
        arm's unit vector less the policy. Arguments as of `bernoulli_variance`."""
        advantages = pkpo.advantages(np.tri(n + 1, n, -1), k, baseline=baseline)
        right = np.arange(n + 1)
        wrong = n - right
        of_right, of_wrong = advantages[:, 0] * (right > 0), advantages[:, -1] * (wrong > 0)
        sum_right, sum_wrong = right * of_right, wrong * of_wrong
        total = sum_right + sum_wrong
        # Squared length of sum_i a_i (unit_i - policy), expected over the arms given c.
        units = right * of_right**2 * (1.0 + (right - 1) / self.correct)
        units = units + wrong * of_wrong**2 * (1.0 + (wrong - 1) / self.wrong)
        each_right, each_wrong = p / self.correct, (1.0 - p) / self.wrong
        with_policy = total * (sum_right * each_right + sum_wrong * each_wrong)
        policy = p * each_right + (1.0 - p) * each_wrong
        lengths = units - 2.0 * with_policy + total**2 * policy
        slope = k * (1.0 - p) ** k * p
        return float(_law(n, p) @ lengths - slope**2 * (1.0 / self.correct + 1.0 / self.wrong))


def _law(n: int, p: float) -> np.ndarray:
    return np.array([math.comb(n, c) * p**c * (1.0 - p) ** (n - c) for c in range(n + 1)])


@dataclass(frozen=True)
class Setting:
    """A policy and a group whose baselines are compared.

    Args:
        policy: in words.
        variance: its exact variance.
        n: samples in a group.
        k: of pass@k.
    """

    policy: str
    variance: Variance
    n: int
    k: int

    def variances(self, p: float) -> dict[Baseline, float]:
        """By baseline."""
        return {baseline: self.variance(self.n, self.k, p, baseline) for baseline in BASELINES}


SETTINGS = tuple(
    Setting(policy, variance, 16, k)
    for policy, variance in (
        ("Bernoulli logit", bernoulli_variance),
        ("softmax, 50 of 1,000 arms correct", Softmax(50, 950).variance),
    )
    for k in (4, 8)
)

CHANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
"""p of the table and the claims."""
