"""The one-dimensional problem of eq. (35), gradient estimators, and their exact variances on it.

Estimators that sum over all subsets are U-statistics: averages of a kernel over all subsets of
some order m of the n samples. By Hoeffding's formula their variance is

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
from functools import cached_property, lru_cache, partial

import numpy as np
from numpy.polynomial import legendre
from scipy.special import ndtr

import pkpo
from pkpo.core import paper

_NODES = 96

Three = tuple[np.ndarray, np.ndarray, np.ndarray]
"""E[1], E[S] and E[S^2] of a sum S of scores, on some event."""

Projection = Three
"""A kernel's expectation given some samples: (const, on_best, on_rest) stand for const + on_best *
score of the best of them + on_rest * sum of the other scores."""

Kernel = Callable[[int, np.ndarray, np.ndarray], Projection]
"""From c, the level of the best of c samples and that of the second best."""

_ZERO = np.zeros(())


@dataclass(frozen=True)
class GaussianProblem:
    """x ~ N(theta, sigma), reward x^2 on [0, 1] and 0 elsewhere.

    A *level* x in [0, 1] stands for the reward x^2; a sample is at most at level x if it lies in
    [0, x], below 0 or above 1.
    """

    theta: float = 1.0
    sigma: float = 0.1

    def samples(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(self.theta, self.sigma, shape)

    def reward(self, x: np.ndarray) -> np.ndarray:
        return np.where((x >= 0.0) & (x <= 1.0), x * x, 0.0)

    def score(self, x: np.ndarray) -> np.ndarray:
        """d log p(x) / d theta."""
        return (x - self.theta) / self.sigma**2

    def density(self, x: np.ndarray) -> np.ndarray:
        z = (x - self.theta) / self.sigma
        return np.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * self.sigma)

    def at_most(self, level: np.ndarray) -> Three:
        """E[1], E[score] and E[score^2] of a sample, each where it is at most at `level`."""
        below, above = self._below(level), self._below(np.ones(()))
        total = (1.0, 0.0, self.sigma**-2)
        first, second, third = (b + t - a for b, t, a in zip(below, total, above))
        return first, second, third

    def _below(self, x: np.ndarray) -> Three:
        """The same three where the sample is below x."""
        z, density = (x - self.theta) / self.sigma, self.density(x)
        chance = ndtr(z)
        return chance, -density, (chance - z * self.sigma * density) / self.sigma**2


class ExactVariances:
    """Variances of unbiased estimators of d max@k / d theta from n samples.

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
        return float(self._slope(self.k, _ZERO))

    def all_subsets(self, n: int) -> float:
        """No baseline, eq. (19)."""
        return self._u_statistic(self._plain, self.k, n)

    def all_subsets_baselined(self, n: int) -> float:
        """k/(n-1) times the estimate from the others as the baseline, eq. (29); n > k."""
        return self._u_statistic(self._left_out(n * self.k / (n - 1)), self.k + 1, n)

    def all_subsets_centred(self, n: int) -> float:
        """k/n times the estimate from the others as the baseline; n > k."""
        return self._u_statistic(self._left_out(self.k), self.k + 1, n)

    def all_subsets_minus_one(self, n: int) -> float:
        """Each subset without the sample as the baseline, eq. (33)."""
        return self._u_statistic(self._minus_one, self.k, n)

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
        both = self._second_moment(self._plain, k) - 2.0 * best * mixed + best**2 * square_score
        spread = square_score * (best_square - best**2) + self.gradient**2
        return float((both - self.gradient**2) / blocks + spread / (blocks * (blocks - 1)))

    def _u_statistic(self, kernel: Kernel, m: int, n: int) -> float:
        shares = (
            math.comb(m, c) * math.comb(n - m, m - c) / math.comb(n, m) for c in range(1, m + 1)
        )
        zetas = (self._second_moment(kernel, c) - self.gradient**2 for c in range(1, m + 1))
        return sum(share * zeta for share, zeta in zip(shares, zetas))

    def _plain(self, c: int, best: np.ndarray, second: np.ndarray) -> Projection:
        """max * sum of scores."""
        value = self._value(self.k - c, best)
        return self._slope(self.k - c, best), value, value

    def _minus_one(self, c: int, best: np.ndarray, second: np.ndarray) -> Projection:
        """(largest - second largest) * score of the largest."""
        above = self._value(self.k - c, best) - self._value(self.k - c, second)
        return self._slope(self.k - c, best), above, _ZERO

    def _left_out(self, factor: float) -> Kernel:
        """The mean over which of k+1 samples is left out of
        max of the others * (sum of their scores - factor * score of the one left out)."""

        def project(c: int, best: np.ndarray, second: np.ndarray) -> Projection:
            size, fresh = self.k + 1, self.k + 1 - c
            without_fresh, slope = _ZERO, _ZERO
            if fresh:
                without_fresh = fresh * self._value(fresh - 1, best)
                slope = fresh * self._slope(fresh - 1, best)
            value, out = self._value(fresh, best), self._value(fresh, second)
            slope = slope + (c - 1) * self._slope(fresh, best) + self._slope(fresh, second)
            on_best = without_fresh + (c - 1) * value - factor * out
            on_rest = without_fresh + (c - 2 - factor) * value + out
            return slope / size, on_best / size, on_rest / size

        return project

    def _second_moment(self, kernel: Kernel, c: int) -> float:
        """Of the kernel's expectation given c samples."""
        problem, nodes, weights = self.problem, self._levels, self._weights
        best = nodes[:, None]
        second, nothing = best * nodes[None, :], np.zeros((1, 1))
        score = problem.score(best)
        inner = _square(kernel(c, best, second), score, self._with_second(c, second))
        at_zero = _square(kernel(c, best, nothing), score, self._sums(c - 1, nothing))
        given_best = nodes * (inner @ weights) + at_zero[:, 0]
        total = c * (weights @ (problem.density(nodes) * given_best))
        const, _, on_rest = kernel(c, _ZERO, _ZERO)
        return float(total + _square((const, _ZERO, on_rest), _ZERO, self._sums(c, _ZERO)))

    def _with_second(self, c: int, second: np.ndarray) -> Three:
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

    def _sums(self, count: int, level: np.ndarray) -> Three:
        """Of the sum of `count` scores, where all samples are at most at `level`."""
        one, first, square = self.problem.at_most(level)
        if count == 0:
            return np.ones_like(one), np.zeros_like(one), np.zeros_like(one)
        pairs = count * (count - 1) * one ** (count - 2) * first**2 if count > 1 else 0.0
        return (
            one**count,
            count * one ** (count - 1) * first,
            count * one ** (count - 1) * square + pairs,
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


def _square(projection: Projection, score: np.ndarray, rest: Three) -> np.ndarray:
    """E[projection^2] over the rest's scores."""
    const, on_best, factor = projection
    fixed = const + on_best * score
    return fixed**2 * rest[0] + 2.0 * fixed * factor * rest[1] + factor**2 * rest[2]


def naive(blocks: np.ndarray, k: int) -> np.ndarray:
    """Every sample of a block of k gets the block's best."""
    return np.broadcast_to(blocks.max(axis=-1, keepdims=True), blocks.shape)


def partitioned(
    rewards: np.ndarray,
    k: int,
    *,
    transform: Callable[[np.ndarray, int], np.ndarray],
    baseline: bool = False,
) -> np.ndarray:
    """The mean over blocks of k of what `transform` makes of each; with a baseline, each less the
    mean of the other blocks' transformed rewards, n > k."""
    transformed = transform(rewards.reshape(len(rewards), -1, k), k)
    blocks = transformed.shape[1]
    if baseline:
        means = transformed.mean(axis=-1, keepdims=True)
        transformed = transformed - (means.sum(axis=1, keepdims=True) - means) / (blocks - 1)
    return transformed.reshape(rewards.shape) / blocks


@dataclass(frozen=True)
class Estimator:
    """One line of Fig. 4: rewards (groups, n) become advantages, whose products with the scores
    add up to the estimate."""

    label: str  # in the paper's words where it has the estimator
    advantages: Callable[[np.ndarray, int], np.ndarray]
    exact: Callable[[ExactVariances, int], float] | None  # variance by n, where it is worked out
    more_than_k: bool = False  # whether it is undefined for n = k


S = Estimator("all subsets no baseline: s", paper.s, ExactVariances.all_subsets)
SLOO = Estimator(
    "all subsets baselined: s(loo)", paper.sloo, ExactVariances.all_subsets_baselined, True
)
MINUS_ONE = Estimator(
    "loo minus one all subsets: s(loo-1)",
    paper.sloo_minus_one,
    ExactVariances.all_subsets_minus_one,
)
NAIVE = Estimator(
    "naive partitioned no baseline",
    partial(partitioned, transform=naive),
    ExactVariances.partitioned,
)
NAIVE_BASELINED = Estimator(
    "naive partitioned baselined",
    partial(partitioned, transform=naive, baseline=True),
    ExactVariances.partitioned_baselined,
    True,
)
PARTITIONED = Estimator(
    "loo minus one partitioned",
    partial(partitioned, transform=paper.sloo_minus_one),
    ExactVariances.partitioned_minus_one,
)
CENTRED = Estimator(
    "all subsets, centred loo (ours)",
    partial(pkpo.advantages, baseline="loo"),
    ExactVariances.all_subsets_centred,
    True,
)
PARTITIONED_BASELINED = Estimator(
    "loo minus one partitioned, baselined across blocks",
    partial(partitioned, transform=paper.sloo_minus_one, baseline=True),
    None,
    True,
)

IN_PAPER = (SLOO, S, NAIVE_BASELINED, NAIVE, PARTITIONED, MINUS_ONE)
"""In the order of the caption."""

DRAWN = (*IN_PAPER, CENTRED)

SHORT = {
    S: "s",
    SLOO: "s(loo)",
    MINUS_ONE: "s(loo-1)",
    NAIVE: "naive partitioned",
    NAIVE_BASELINED: "naive partitioned baselined",
    PARTITIONED: "s(loo-1) partitioned",
    CENTRED: "the centred loo",
    PARTITIONED_BASELINED: "s(loo-1) partitioned and baselined",
}
"""What measures call them."""
