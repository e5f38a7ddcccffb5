"""Fig. 4's gradient estimators, and their sample variances."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import pkpo
from pkpo.core import paper
from reproduction.figure4.exact import ExactVariances
from reproduction.figure4.problem import GaussianProblem

Advantages = Callable[[np.ndarray, int], np.ndarray]
"""(rewards (groups, n), k) -> (groups, n), to be multiplied by the scores and added up."""


def naive_partitioned(rewards: np.ndarray, k: int) -> np.ndarray:
    """Every sample of a block of k gets the block's best; the mean over blocks."""
    blocks = _blocks(rewards, k)
    best = np.broadcast_to(blocks.max(axis=-1, keepdims=True), blocks.shape)
    return _mean_over_blocks(best, rewards)


def naive_partitioned_baselined(rewards: np.ndarray, k: int) -> np.ndarray:
    """The same less the mean of the other blocks' bests; n > k."""
    blocks = _blocks(rewards, k)
    best = blocks.max(axis=-1, keepdims=True)
    return _mean_over_blocks(np.broadcast_to(best - _others(best), blocks.shape), rewards)


def partitioned_minus_one(rewards: np.ndarray, k: int) -> np.ndarray:
    """Eq. (33) in each block of k; the mean over blocks."""
    return _mean_over_blocks(paper.sloo_minus_one(_blocks(rewards, k), k), rewards)


def partitioned_minus_one_baselined(rewards: np.ndarray, k: int) -> np.ndarray:
    """The same less the mean of the other blocks' transformed rewards; n > k."""
    transformed = paper.sloo_minus_one(_blocks(rewards, k), k)
    baseline = _others(transformed.mean(axis=-1, keepdims=True))
    return _mean_over_blocks(transformed - baseline, rewards)


def centred(rewards: np.ndarray, k: int) -> np.ndarray:
    """The package's own leave-one-out baseline, k/n times the estimate from the others."""
    return pkpo.advantages(rewards, k, baseline="loo")


def _blocks(rewards: np.ndarray, k: int) -> np.ndarray:
    """(groups, n) -> (groups, n/k, k)."""
    return rewards.reshape(len(rewards), -1, k)


def _mean_over_blocks(transformed: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    return transformed.reshape(rewards.shape) / transformed.shape[1]


def _others(of_block: np.ndarray) -> np.ndarray:
    """(groups, blocks, 1) -> the mean over the other blocks."""
    blocks = of_block.shape[1]
    return (of_block.sum(axis=1, keepdims=True) - of_block) / (blocks - 1)


@dataclass(frozen=True)
class Method:
    """One line of the figure.

    Args:
        label: in the paper's words where it has the method.
        advantages: what it makes of rewards.
        exact: its variance by the number of samples n, or None where that is not worked out.
        more_than_k: whether it is undefined for n = k.
    """

    label: str
    advantages: Advantages
    exact: Callable[[ExactVariances, int], float] | None
    more_than_k: bool

    def sizes(self, ns: tuple[int, ...], k: int) -> tuple[int, ...]:
        """Those of `ns` for which it is defined."""
        return tuple(n for n in ns if n > k or not self.more_than_k)


S = Method("all subsets no baseline: s", paper.s, ExactVariances.all_subsets, False)
SLOO = Method(
    "all subsets baselined: s(loo)", paper.sloo, ExactVariances.all_subsets_baselined, True
)
MINUS_ONE = Method(
    "loo minus one all subsets: s(loo-1)",
    paper.sloo_minus_one,
    ExactVariances.all_subsets_minus_one,
    False,
)
NAIVE = Method(
    "naive partitioned no baseline", naive_partitioned, ExactVariances.partitioned, False
)
NAIVE_BASELINED = Method(
    "naive partitioned baselined",
    naive_partitioned_baselined,
    ExactVariances.partitioned_baselined,
    True,
)
PARTITIONED = Method(
    "loo minus one partitioned", partitioned_minus_one, ExactVariances.partitioned_minus_one, False
)
CENTRED = Method(
    "all subsets, centred loo (ours)", centred, ExactVariances.all_subsets_centred, True
)
PARTITIONED_BASELINED = Method(
    "loo minus one partitioned, baselined across blocks",
    partitioned_minus_one_baselined,
    None,
    True,
)

PAPER_METHODS = (SLOO, S, NAIVE_BASELINED, NAIVE, PARTITIONED, MINUS_ONE)
"""In the order of the caption."""


@dataclass(frozen=True)
class Moments:
    """What independent estimates of one gradient say.

    Args:
        mean, mean_error: sample mean and its standard error.
        variance, variance_error: sample variance, and its standard error from the fourth moment.
    """

    mean: float
    mean_error: float
    variance: float
    variance_error: float

    @classmethod
    def of(cls, estimates: np.ndarray) -> Moments:
        """Of estimates (groups,), at least four."""
        count = len(estimates)
        mean, variance = float(estimates.mean()), float(estimates.var(ddof=1))
        fourth = float(((estimates - mean) ** 4).mean())
        spread = (fourth - variance**2 * (count - 3) / (count - 1)) / count
        return cls(mean, math.sqrt(variance / count), variance, math.sqrt(max(spread, 0.0)))


Estimates = Mapping[tuple[Method, int], np.ndarray]
"""By method and n, (groups,) gradient estimates."""


def sample_estimates(
    problem: GaussianProblem,
    k: int,
    methods: tuple[Method, ...],
    ns: tuple[int, ...],
    groups: int,
    seed: int,
) -> Estimates:
    """Independent gradient estimates of max@k for each n; all methods see the same samples.

    Args:
        problem: policy and reward.
        k: of max@k; every n is a multiple of it.
        methods: to compare.
        ns: sizes of a group.
        groups: estimates for each n.
        seed: each n has a stream of its own, whatever the others are.
    """
    found = {}
    for n in ns:
        x = problem.samples(np.random.default_rng((seed, n)), (groups, n))
        rewards, scores = problem.reward(x), problem.score(x)
        for method in methods:
            if n in method.sizes(ns, k):
                found[method, n] = (method.advantages(rewards, k) * scores).sum(axis=-1)
    return found


def over_random_partitions(
    problem: GaussianProblem, k: int, n: int, partitions: int, groups: int, seed: int
) -> np.ndarray:
    """`naive_partitioned_baselined` averaged over random partitions of the same samples.

    Returns:
        (partitions, groups) gradient estimates; row r averages over r + 1 partitions.
    """
    rng = np.random.default_rng((seed, n))
    x = problem.samples(rng, (groups, n))
    total, found = np.zeros(groups), np.empty((partitions, groups))
    for done in range(partitions):
        x = rng.permuted(x, axis=-1)
        advantages = naive_partitioned_baselined(problem.reward(x), k)
        total += (advantages * problem.score(x)).sum(axis=-1)
        found[done] = total / (done + 1)
    return found


def lower_by(lower: np.ndarray, higher: np.ndarray, mean: float) -> float:
    """How many standard errors the first variance lies below the second's, of estimates from
    the same samples with this known mean."""
    difference = (higher - mean) ** 2 - (lower - mean) ** 2
    return float(difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference))))
