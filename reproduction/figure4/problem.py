"""The one-dimensional problem of eq. (35): a Gaussian policy, and a reward on [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_erf = np.vectorize(math.erf, otypes=[float])


@dataclass(frozen=True)
class GaussianProblem:
    """x ~ N(theta, sigma), reward x^2 on [0, 1] and 0 elsewhere.

    A *level* x in [0, 1] stands for the reward x^2; a sample is at most at level x if it lies in
    [0, x], below 0 or above 1.

    Args:
        theta: mean, the parameter.
        sigma: standard deviation.
    """

    theta: float = 1.0
    sigma: float = 0.1

    def samples(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Independent samples of the policy."""
        return rng.normal(self.theta, self.sigma, shape)

    def reward(self, x: np.ndarray) -> np.ndarray:
        return np.where((x >= 0.0) & (x <= 1.0), x * x, 0.0)

    def score(self, x: np.ndarray) -> np.ndarray:
        """d log p(x) / d theta."""
        return (x - self.theta) / self.sigma**2

    def density(self, x: np.ndarray) -> np.ndarray:
        z = (x - self.theta) / self.sigma
        return np.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * self.sigma)

    def at_most(self, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """E[1], E[score] and E[score^2] of a sample, each where its reward is at most level^2.

        Args:
            level: in [0, 1], any shape.
        """
        below, above = self._below(level), self._below(np.ones(()))
        total = (1.0, 0.0, self.sigma**-2)
        first, second, third = (b + t - a for b, t, a in zip(below, total, above))
        return first, second, third

    def _below(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same three where the sample is below x."""
        z, density = (x - self.theta) / self.sigma, self.density(x)
        chance = 0.5 * (1.0 + _erf(z / math.sqrt(2.0)))
        return chance, -density, (chance - z * self.sigma * density) / self.sigma**2
