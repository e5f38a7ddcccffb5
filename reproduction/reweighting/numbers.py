"""What one prompt contributes, as a function of its chance p of a correct sample.

The policy is a Bernoulli one in its logit, whose score is the reward less p, so expectations
are sums over the number of correct samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.core.transforms import advantages
from pkpo.core.weights import Baseline


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
    """What a group of n samples tells about the gradient in the logit.

    Args:
        mean: (len(p),) of the group's estimate, the exact gradient.
        variance: (len(p),) of the estimate.
        chance: (len(p),) that not all advantages of the group are 0.
    """

    mean: np.ndarray
    variance: np.ndarray
    chance: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Signal to noise: squared mean over variance. Its inverse is the number of groups whose
        mean estimate is as large as its own standard deviation."""
        return self.mean**2 / self.variance


def signal(n: int, objective: Objective, baseline: Baseline, p: np.ndarray) -> Signal:
    """Exact moments of the estimate from one group.

    Args:
        n: samples in the group.
        objective, baseline: of `pkpo.advantages`.
        p: (m,) chances strictly between 0 and 1.
    """
    rewards = np.tri(n + 1, n, -1)
    a = advantages(rewards, objective, baseline=baseline)
    c = np.arange(n + 1)
    binomials = np.array([math.comb(n, i) for i in c], dtype=float)
    law = binomials * p[:, None] ** c * (1 - p[:, None]) ** (n - c)
    estimates = (a * rewards).sum(axis=-1) - p[:, None] * a.sum(axis=-1)
    mean = (law * estimates).sum(axis=-1)
    variance = (law * (estimates - mean[:, None]) ** 2).sum(axis=-1)
    return Signal(mean, variance, law @ (a != 0).any(axis=-1))
