"""Exact variances of Fig. 4's estimators.

Those that sum over all subsets are U-statistics: averages of a kernel over all subsets of some
order m of the n samples. By Hoeffding's formula their variance is

    sum_c C(m, c) C(n-m, m-c) / C(n, m) * zeta_c,     c = 1..m,

where zeta_c is the variance of the kernel's expectation given c of its m samples. Here that
expectation depends on the best of the c samples, the second best, and the other scores' sum, so
zeta_c is a two-dimensional integral over smooth functions, which Gauss-Legendre quadrature gives
to about 11 digits. The partitioned estimators are averages of independent blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import legendre

from reproduction.figure4.problem import GaussianProblem

_NODES = 96

Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Projection:
    """The kernel's expectation given c samples: const + on_best * score of the best of them +
    on_rest * sum of the other scores.

    Args:
        const, on_best, on_rest: functions of the levels of the best and of the second best.
    """

    const: np.ndarray
    on_best: np.ndarray
    on_rest: np.ndarray


@dataclass(frozen=True)
class Kernel:
    """A kernel of a U-statistic.

    Args:
        order: samples that it takes.
        project: (c, level of the best, level of the second best) -> its expectation given them.
    """

    order: int
    project: Callable[[int, np.ndarray, np.ndarray], Projection]


class ExactVariances:
    """Variances of unbiased estimators of d max@k / d theta.

    Args:
        problem: policy and reward.
        k: of max@k; eq. (33) needs at least 2.
    """

    def __init__(self, problem: GaussianProblem, k: int) -> None:
        self.problem, self.k = problem, k
        nodes, weights = legendre.leggauss(_NODES)
        self._levels, self._weights = 0.5 * (nodes + 1.0), 0.5 * weights
        self._tails = lru_cache(maxsize=None)(self._tail)

    @cached_property
    def gradient(self) -> float:
        """d max@k / d theta."""
        return float(self._slope(self.k, np.zeros(())))

    def all_subsets(self, n: int) -> float:
        """No baseline, eq. (19)."""
        return self._u_statistic(Kernel(self.k, self._plain), n)

    def all_subsets_baselined(self, n: int) -> float:
        """k/(n-1) times the estimate from the others as the baseline, eq. (29); n > k."""
        return self._u_statistic(self._left_out(n * self.k / (n - 1)), n)

    def all_subsets_centred(self, n: int) -> float:
        """k/n times the estimate from the others as the baseline; n > k."""
        return self._u_statistic(self._left_out(self.k), n)

    def all_subsets_minus_one(self, n: int) -> float:
        """Each subset without the sample as the baseline, eq. (33)."""
        return self._u_statistic(Kernel(self.k, self._minus_one), n)

    def partitioned(self, n: int) -> float:
        """The mean over n/k blocks of `all_subsets(k)`."""
        return self.all_subsets(self.k) * self.k / n

    def partitioned_minus_one(self, n: int) -> float:
        """The mean over n/k blocks of `all_subsets_minus_one(k)`."""
        return self.all_subsets_minus_one(self.k) * self.k / n

    def partitioned_baselined(self, n: int) -> float:
        """Each block's best less the mean of the other blocks' bests, which is the sample
        covariance over blocks of their score and their best; n > k."""
        k, blocks = self.k, n // self.k
        x, w = self._levels, self._weights
        square_score = k / self.problem.sigma**2
        chance, _, square = self._sums(k, x)
        best = 1.0 - w @ (chance * 2.0 * x)
        best_square = 1.0 - w @ (chance * 4.0 * x**3)
        mixed = square_score - w @ (square * 2.0 * x)
        product_square = self._second_moment(Kernel(k, self._plain), k)
        both = product_square - 2.0 * best * mixed + best**2 * square_score
        spread = square_score * (best_square - best**2) + self.gradient**2
        return float((both - self.gradient**2) / blocks + spread / (blocks * (blocks - 1)))

    def _u_statistic(self, kernel: Kernel, n: int) -> float:
        m = kernel.order
        shares = [math.comb(m, c) * math.comb(n - m, m - c) / math.comb(n, m) for c in range(m + 1)]
        moments = [self._second_moment(kernel, c) for c in range(1, m + 1)]
        return sum(s * (e - self.gradient**2) for s, e in zip(shares[1:], moments))

    def _plain(self, c: int, best: np.ndarray, second: np.ndarray) -> Projection:
        """max * sum of scores."""
        value = self._value(self.k - c, best)
        return Projection(self._slope(self.k - c, best), value, value)

    def _minus_one(self, c: int, best: np.ndarray, second: np.ndarray) -> Projection:
        """(largest - second largest) * score of the largest."""
        above = self._value(self.k - c, best) - self._value(self.k - c, second)
        return Projection(self._slope(self.k - c, best), above, np.zeros(()))

    def _left_out(self, factor: float) -> Kernel:
        """The mean over which of k+1 samples is left out of
        max of the others * (sum of their scores - factor * score of the one left out)."""

        def project(c: int, best: np.ndarray, second: np.ndarray) -> Projection:
            size, fresh = self.k + 1, self.k + 1 - c
            without_fresh, slope = self._kept(fresh, best)
            value, out = self._value(fresh, best), self._value(fresh, second)
            slope = slope + (c - 1) * self._slope(fresh, best) + self._slope(fresh, second)
            on_best = without_fresh + (c - 1) * value - factor * out
            on_rest = without_fresh + (c - 2 - factor) * value + out
            return Projection(slope / size, on_best / size, on_rest / size)

        return Kernel(self.k + 1, project)

    def _kept(self, fresh: int, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`_value` and `_slope` summed over which of the fresh samples is left out."""
        if fresh == 0:
            return np.zeros(()), np.zeros(())
        return fresh * self._value(fresh - 1, best), fresh * self._slope(fresh - 1, best)

    def _second_moment(self, kernel: Kernel, c: int) -> float:
        """Of the kernel's expectation given c samples."""
        problem, nodes, weights = self.problem, self._levels, self._weights
        best = nodes[:, None]
        second = best * nodes[None, :]
        inner = self._square(
            kernel.project(c, best, second), problem.score(best), self._with_second(c, second)
        )
        at_zero = self._square(
            kernel.project(c, best, np.zeros((1, 1))),
            problem.score(best),
            self._sums(c - 1, np.zeros((1, 1))),
        )
        given_best = nodes * (inner @ weights) + at_zero[:, 0]
        total = c * (weights @ (problem.density(nodes) * given_best))
        worst = kernel.project(c, np.zeros(()), np.zeros(()))
        all_zero = Projection(worst.const, np.zeros(()), worst.on_rest)
        return float(total + self._square(all_zero, np.zeros(()), self._sums(c, np.zeros(()))))

    @staticmethod
    def _square(projection: Projection, score: np.ndarray, rest: Moments) -> np.ndarray:
        """E[projection^2] over the rest's scores."""
        fixed, factor = projection.const + projection.on_best * score, projection.on_rest
        return fixed**2 * rest[0] + 2.0 * fixed * factor * rest[1] + factor**2 * rest[2]

    def _with_second(self, c: int, second: np.ndarray) -> Moments:
        """Density of the second best's level, times 1, E[S] and E[S^2] of the sum S of the c-1
        scores below the best."""
        if c < 2:
            zero = np.zeros(second.shape)
            return zero, zero, zero
        score, density = self.problem.score(second), (c - 1) * self.problem.density(second)
        one, first, square = self._sums(c - 2, second)
        return (
            density * one,
            density * (score * one + first),
            density * (score**2 * one + 2.0 * score * first + square),
        )

    def _sums(self, count: int, level: np.ndarray) -> Moments:
        """E[1], E[S], E[S^2] of the sum S of `count` scores, each where all are at most at
        `level`."""
        one, first, square = self.problem.at_most(level)
        pairs = count * (count - 1) * one ** (count - 2) * first**2 if count > 1 else 0.0
        if count == 0:
            return np.ones_like(one), np.zeros_like(one), np.zeros_like(one)
        return (
            one**count,
            count * one ** (count - 1) * first,
            (count * one ** (count - 1) * square + pairs),
        )

    def _value(self, fresh: int, level: np.ndarray) -> np.ndarray:
        """E[max(level^2, rewards of `fresh` samples)]."""
        return 1.0 - legendre.legval(2.0 * level - 1.0, self._tails(fresh)[0])

    def _slope(self, fresh: int, level: np.ndarray) -> np.ndarray:
        """E[max(level^2, rewards of `fresh` samples) * sum of their scores]."""
        return -legendre.legval(2.0 * level - 1.0, self._tails(fresh)[1])

    def _tail(self, fresh: int) -> tuple[np.ndarray, np.ndarray]:
        """Legendre series of the integrals, from a level to 1, of what `_value` and `_slope`
        integrate."""
        chance, first, _ = self._sums(fresh, self._levels)
        return self._integral(chance), self._integral(first)

    def _integral(self, values: np.ndarray) -> np.ndarray:
        degrees = np.arange(_NODES)
        basis = legendre.legvander(2.0 * self._levels - 1.0, _NODES - 1)
        series = (2 * degrees + 1) * (basis.T @ (self._weights * values * 2.0 * self._levels))
        return -0.5 * legendre.legint(series, lbnd=1.0)
