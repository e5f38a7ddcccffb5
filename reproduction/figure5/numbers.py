"""What the baselines do to n uniform rewards: averages by raw reward, exact and sampled.

Let u = x + 1/2 be uniform on [0, 1]. A sample is in a share k/n of the subsets, and the largest of
it and k - 1 others has mean (k-1 + u^k) / k - 1/2, so that E[s | x] = (u^k + k/2 - 1) / n. The
baselines are made from the other samples and lower this by a constant, which the mean of the
largest of k (or k - 1) rewards gives. All four curves are (u^k + constant) / n.

Transformed rewards are linear in the n + 1 spacings d that the samples cut [0, 1] into, which have
a flat Dirichlet law: exponential variables e over their sum. A quadratic form has the moments

    E[d'Qd] = E[e'Qe] / ((n+1)(n+2)),    E[(d'Qd)^2] = E[(e'Qe)^2] / ((n+1)(n+2)(n+3)(n+4)),

and E[e_i e_j e_k e_l] is the number of permutations whose cycles join only equal indices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import pkpo
from pkpo.core.weights import Baseline

N = 32
KS = (1, 2, 4, 8, 16)
BINS = 40
GROUPS, QUICK_GROUPS = 50_000, 5_000
SEED = 5


@dataclass(frozen=True)
class Transform:
    """Transformed rewards with one of the baselines.

    Args:
        label: its name.
        baseline: as in `pkpo.advantages`.
        panel: of the paper's figure, "" for ours.
        first_k: the smallest k that this defines it for.
    """

    label: str
    baseline: Baseline
    panel: str
    first_k: int = 1

    @property
    def ks(self) -> tuple[int, ...]:
        return tuple(k for k in KS if k >= self.first_k)

    def apply(self, rewards: np.ndarray, k: int) -> np.ndarray:
        """Transformed rewards, of the shape (..., n) of the raw ones."""
        return np.asarray(pkpo.advantages(rewards, k, baseline=self.baseline))


S = Transform("s", "none", "(a)")
SLOO = Transform("s(loo)", "paper_loo", "(b)")
MINUS_ONE = Transform("s(loo-1)", "loo_minus_one", "(c)", first_k=2)
CENTRED = Transform("centred loo (ours)", "loo", "")
TRANSFORMS = (S, SLOO, MINUS_ONE, CENTRED)

Key = tuple[Transform, int]
KEYS: tuple[Key, ...] = tuple((transform, k) for transform in TRANSFORMS for k in transform.ks)


def mean_of_largest(k: int) -> float:
    """Of k rewards uniform on [-1/2, 1/2]."""
    return k / (k + 1) - 0.5


def constant(transform: Transform, k: int, n: int = N) -> float:
    """The constant c of the curve (u^k + c) / n."""
    match transform.baseline:
        case "none":
            return k / 2 - 1.0
        case "paper_loo":
            return k / 2 - 1.0 - n / (n - 1) * k * mean_of_largest(k)
        case "loo_minus_one":
            return 0.0
        case "loo":
            return -1.0 / (k + 1)


def expected_curve(transform: Transform, k: int, x: np.ndarray, n: int = N) -> np.ndarray:
    """Mean transformed reward of a sample with raw reward x in [-1/2, 1/2]."""
    return ((x + 0.5) ** k + constant(transform, k, n)) / n


def expected_bins(transform: Transform, k: int, edges: np.ndarray, n: int = N) -> np.ndarray:
    """The same, averaged over each bin between the edges (B+1,)."""
    powers = (edges + 0.5) ** (k + 1) / (k + 1)
    return (np.diff(powers) / np.diff(edges) + constant(transform, k, n)) / n


def expected_mean(transform: Transform, k: int, n: int = N) -> float:
    """Mean transformed reward: the vertical offset of the curve."""
    return (1.0 / (k + 1) + constant(transform, k, n)) / n


@dataclass(frozen=True)
class Exact:
    """Exact moments of one transform at one k.

    Args:
        square: mean square of a transformed reward. Times n, it is the variance of the gradient
            for a sample's score of length 1 in a direction that has nothing to do with its reward.
        gradient: mean of the gradient estimate of `tilt_gradient`.
        variance: of that estimate.
    """

    square: float
    gradient: float
    variance: float


def exact_moments(transform: Transform, k: int, n: int = N) -> Exact:
    """By quadratic forms in the spacings."""
    # Row j has ones from rank j on: what spacing j adds to the sorted rewards plus one half.
    steps = 1.0 - np.tri(n + 1, n, -1)
    of_steps = transform.apply(steps, k)
    transformed, rewards = of_steps - 0.5 * of_steps[0], steps - 0.5
    square, _ = _moments(transformed @ transformed.T / n)
    gradient, gradient_square = _moments(transformed @ rewards.T)
    return Exact(square, gradient, gradient_square - gradient**2)


def _moments(form: np.ndarray) -> tuple[float, float]:
    """Mean and mean square of d'Qd for spacings d (n+1,)."""
    q = 0.5 * (form + form.T)
    cells = len(q)
    total, trace, rows, diagonal = q.sum(), np.trace(q), q.sum(axis=0), np.diag(q)
    square = (
        total**2
        + 2.0 * total * trace
        + 4.0 * rows @ rows
        + trace**2
        + 2.0 * (q * q).sum()
        + 8.0 * diagonal @ rows
        + 6.0 * diagonal @ diagonal
    )
    pairs = cells * (cells + 1)
    return float(total + trace) / pairs, float(square) / (pairs * (cells + 2) * (cells + 3))


def tilt_gradient(k: int) -> float:
    """d max@k / d theta at theta = 0 of the policy whose density is proportional to exp(theta x)
    on [-1/2, 1/2]. The score of a sample is then its raw reward x."""
    return k / (2.0 * (k + 1) * (k + 2))


@dataclass(frozen=True)
class Estimate:
    """A sampled mean with its standard error."""

    mean: float
    error: float

    @staticmethod
    def of(values: np.ndarray) -> Estimate:
        """From independent values (G,)."""
        return Estimate(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


@dataclass(frozen=True)
class Sampled:
    """One transform at one k, over all groups.

    Args:
        bins: (B,) mean transformed reward by raw reward.
        bin_errors: (B,) standard errors.
        offset: of the mean transformed reward.
        largest_sum: the largest sum over a group, in absolute value.
        square: of the mean square of a transformed reward.
        variance: of that of the gradient estimate of `tilt_gradient`.
    """

    bins: np.ndarray
    bin_errors: np.ndarray
    offset: Estimate
    largest_sum: float
    square: Estimate
    variance: Estimate


def bin_edges() -> np.ndarray:
    """The edges (BINS + 1,) of the bins of raw rewards."""
    return np.linspace(-0.5, 0.5, BINS + 1)


def sample(groups: int, seed: int = SEED) -> Mapping[Key, Sampled]:
    """All transforms of the same random groups of N rewards."""
    rewards = np.random.default_rng(seed).uniform(-0.5, 0.5, (groups, N))
    places = np.minimum((BINS * (rewards + 0.5)).astype(np.int64), BINS - 1)
    return {
        (transform, k): _averages(rewards, places, transform.apply(rewards, k), tilt_gradient(k))
        for transform, k in KEYS
    }


def _averages(
    rewards: np.ndarray, places: np.ndarray, transformed: np.ndarray, gradient: float
) -> Sampled:
    groups = len(rewards)
    flat = places.ravel()
    counts = np.bincount(flat, minlength=BINS)
    bins = np.bincount(flat, transformed.ravel(), minlength=BINS) / counts
    # Samples of one group depend on each other; their deviations are added up before squaring.
    cells = (np.arange(groups)[:, None] * BINS + places).ravel()
    deviations = (transformed - bins[places]).ravel()
    by_group = np.bincount(cells, deviations, minlength=groups * BINS).reshape(groups, BINS)
    return Sampled(
        bins=bins,
        bin_errors=np.sqrt((by_group**2).sum(axis=0)) / counts,
        offset=Estimate.of(transformed.mean(axis=1)),
        largest_sum=float(np.abs(transformed.sum(axis=1)).max()),
        square=Estimate.of((transformed**2).mean(axis=1)),
        variance=Estimate.of(((transformed * rewards).sum(axis=1) - gradient) ** 2),
    )
