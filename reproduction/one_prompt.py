"""What one prompt with 0/1 rewards contributes, as a function of its chance p of a correct sample.

Given the number c of correct samples a group's advantages are fixed, and c is binomial, so means
and variances are sums over c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.core.transforms import advantages
from pkpo.core.weights import Baseline


def law(n: int, p: np.ndarray) -> np.ndarray:
    """(len(p), n+1): P(c of n samples are correct)."""
    c = np.arange(n + 1)
    binomials = np.array([math.comb(n, i) for i in c], dtype=float)
    return binomials * p[:, None] ** c * (1 - p[:, None]) ** (n - c)


def weight(objective: Objective, p: np.ndarray) -> np.ndarray:
    """dJ/dp of the objective for 0/1 rewards: by how much it multiplies the gradient of pass@1.

    From each term's weights of the sorted rewards: the r-th smallest of k changes from 0 to 1
    with the (k - r + 1)-th correct sample.
    """
    found = np.zeros_like(p)
    for factor, term in objective.simple_terms:
        k = term.k
        for r, c in enumerate(term.coefficients, start=1):
            ways = k * math.comb(k - 1, r - 1)
            found += factor * c * ways * (1 - p) ** (r - 1) * p ** (k - r)
    return found


def gap(k: int, p: np.ndarray) -> np.ndarray:
    """pass@k less pass@1: p(1-p) times the first k-1 powers of 1-p, a sum without cancellation."""
    return p * (1 - p) * sum(((1 - p) ** j for j in range(k - 1)), np.zeros_like(p))


def widest_gap(k: int) -> float:
    """The p at which pass@k less pass@1 is largest, where the weight of pass@k is 1; k >= 2."""
    return 1 - k ** (-1 / (k - 1))


@dataclass(frozen=True)
class Signal:
    """What a group of n samples tells about the gradient in the logit of a Bernoulli policy, at
    each p."""

    mean: np.ndarray  # of the group's estimate, the exact gradient
    variance: np.ndarray  # of the estimate
    chance: np.ndarray  # that not all advantages of the group are 0

    @property
    def ratio(self) -> np.ndarray:
        """Squared mean over variance. Its inverse is the number of groups whose mean estimate is
        as large as its own standard deviation."""
        return self.mean**2 / self.variance


def signal(n: int, objective: Objective | int, baseline: Baseline, p: np.ndarray) -> Signal:
    """Exact moments of the estimate from one group; a sample's score is its reward less p.

    Args:
        n: samples in the group.
        objective, baseline: of `pkpo.advantages`.
        p: (m,) chances strictly between 0 and 1.
    """
    rewards = np.tri(n + 1, n, -1)
    a = advantages(rewards, objective, baseline=baseline)
    chances = law(n, p)
    estimates = (a * rewards).sum(axis=-1) - p[:, None] * a.sum(axis=-1)
    mean = (chances * estimates).sum(axis=-1)
    variance = (chances * (estimates - mean[:, None]) ** 2).sum(axis=-1)
    return Signal(mean, variance, chances @ (a != 0).any(axis=-1))


def softmax_variance(
    n: int, k: int, baseline: Baseline, p: np.ndarray, *, correct: int, wrong: int
) -> np.ndarray:
    """(m,) trace of the covariance of a group's gradient estimate of pass@k in the logits of a
    softmax policy over arms, where correct ones are alike and so are wrong ones.

    A sample's score is its arm's unit vector less the policy.

    Args:
        n, baseline, p: as of `signal`.
        k: of pass@k.
        correct, wrong: numbers of arms.
    """
    a = advantages(np.tri(n + 1, n, -1), k, baseline=baseline)
    right = np.arange(n + 1)
    amiss = n - right
    of_right, of_wrong = a[:, 0] * (right > 0), a[:, -1] * (amiss > 0)
    sum_right, sum_wrong = right * of_right, amiss * of_wrong
    total = sum_right + sum_wrong
    # Squared length of sum_i a_i (unit_i - policy), expected over the arms given c.
    units = right * of_right**2 * (1.0 + (right - 1) / correct)
    units = units + amiss * of_wrong**2 * (1.0 + (amiss - 1) / wrong)
    each_right, each_wrong = p[:, None] / correct, (1.0 - p[:, None]) / wrong
    with_policy = total * (sum_right * each_right + sum_wrong * each_wrong)
    policy = p[:, None] * each_right + (1.0 - p[:, None]) * each_wrong
    lengths = units - 2.0 * with_policy + total**2 * policy
    slope = k * (1.0 - p) ** k * p
    return (law(n, p) * lengths).sum(axis=-1) - slope**2 * (1.0 / correct + 1.0 / wrong)
