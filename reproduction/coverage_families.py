"""The populations of problems that the intervals of `pkpo.evaluate` are tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from pkpo.evaluate.samples import Samples

EXPONENT, FACTOR = 0.7, 1.2
Rng = np.random.Generator
Draw = Callable[[Rng, int], np.ndarray]


@dataclass(frozen=True)
class Family:
    """A population of problems.

    Args:
        group: what it stands for; a heading of the report.
        draw: (rng, M) -> (M,) the problems' parameter.
        rewards: (rng, (M,), n) -> (M, n) rewards.
        values: ((M,), k) -> (M,) true E of the best of k.
        binary: whether rewards are 0 and 1, and the parameter the chance of 1.
        samples: the n that are studied.
        sizes: M -> (M,) shares of n that the problems have, at least one sample each.
        clusters: M -> (M,) the problems' clusters.
        differences: whether differences of two runs are studied too.
    """

    group: str
    draw: Draw
    rewards: Callable[[Rng, np.ndarray, int], np.ndarray]
    values: Callable[[np.ndarray, int], np.ndarray]
    binary: bool = False
    samples: tuple[int, ...] = (16,)
    sizes: Callable[[int], np.ndarray] | None = None
    clusters: Callable[[int], np.ndarray] | None = None
    differences: bool = False

    def sample(self, rng: Rng, parameter: np.ndarray, n: int, factor: float = 1.0) -> Samples:
        """A benchmark's rewards, times a factor."""
        problems = len(parameter)
        rows = list(factor * self.rewards(rng, parameter, n))
        if self.sizes is not None:
            shares = self.sizes(problems)
            rows = [row[: max(1, round(n * share))] for row, share in zip(rows, shares)]
        given = Samples.from_groups(rows)
        if self.clusters is None:
            return given
        return replace(given, clusters_P=tuple(map(str, self.clusters(problems))))

    def ks(self, n: int) -> list[int]:
        """The k studied: 1, 4, 8 and n, as far as all problems have as many samples."""
        least = 1.0 if self.sizes is None else float(self.sizes(100).min())
        return sorted({k for k in (1, 4, 8, n) if k <= max(1, round(n * least))})

    def improvement(self, parameter: np.ndarray, k: int) -> np.ndarray:
        """(M,) true differences of the second run from the first."""
        before = self.values(parameter, k)
        if self.binary:
            return self.values(parameter**EXPONENT, k) - before
        return (FACTOR - 1.0) * before


def coins(group: str, draw: Draw, **options: Any) -> Family:
    """0/1 rewards."""
    return Family(
        group,
        draw,
        lambda rng, p, n: np.where(rng.random((len(p), n)) < p[:, None], 1.0, 0.0),
        lambda p, k: 1.0 - (1.0 - p) ** k,
        binary=True,
        **options,
    )


def real(
    group: str,
    draw: Draw,
    noise: Callable[[Rng, tuple[int, int]], np.ndarray],
    best: Callable[[int], float],
    width: float | None = None,
    **options: Any,
) -> Family:
    """Rewards of one law, whose E of the best of k is `best`, times the problem's parameter; or,
    with a width, that times the law added to the parameter."""

    def rewards(rng: Rng, parameter: np.ndarray, n: int) -> np.ndarray:
        drawn, of = noise(rng, (len(parameter), n)), parameter[:, None]
        return of * drawn if width is None else of + width * drawn

    def values(parameter: np.ndarray, k: int) -> np.ndarray:
        return parameter * best(k) if width is None else parameter + best(k) * width

    return Family(group, draw, rewards, values, **options)


@cache
def best_of(law: str, shape: float, k: int) -> float:
    """E of the best of k, from the quantiles of the best at a million midpoints and more near
    the end."""
    ends = np.concatenate([np.linspace(0.0, 0.999, 200_000), 1.0 - np.geomspace(1e-3, 1e-14, 4000)])
    middles, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    return float(widths @ getattr(stats, law).ppf(middles ** (1.0 / k), shape))


def of_law(group: str, law: str, shape: float, low: float, high: float, **options: Any) -> Family:
    """Rewards of one of SciPy's laws, times a scale between two limits."""
    return real(
        group,
        lambda rng, m: rng.uniform(low, high, m),
        lambda rng, size: getattr(stats, law).ppf(rng.random(size), shape),
        partial(best_of, law, shape),
        **options,
    )


def harmonic(k: int) -> float:
    """E of the best of k exponentials."""
    return float((1.0 / np.arange(1, k + 1)).sum())


def beta(a: float, b: float, never: float = 0.0) -> Draw:
    """Chances from a beta distribution; a share of them 0."""
    if not never:
        return lambda rng, m: rng.beta(a, b, m)
    return lambda rng, m: np.where(rng.random(m) < never, 0.0, rng.beta(a, b, m))


def best_of_tests(p: np.ndarray, k: int) -> np.ndarray:
    below = stats.binom.cdf(np.arange(10), 10, p[:, None])
    return (1.0 - below**k).sum(axis=1) / 10


def never_or(chance: float, never: float) -> Draw:
    """0 for a share of the problems, else `chance`."""
    return lambda rng, m: np.where(rng.random(m) < never, 0.0, chance)


def clustered(labels: Callable[[int], np.ndarray]) -> Family:
    """Chances that are half the cluster's and half the problem's own."""

    def draw(rng: Rng, m: int) -> np.ndarray:
        of = labels(m)
        of_cluster = rng.beta(0.5, 0.5, of.max() + 1)
        return (of_cluster[of] + rng.beta(0.5, 0.5, m)) / 2

    return coins("clusters", draw, clusters=labels, differences=True)


def unequal_clusters(problems: int) -> np.ndarray:
    """Clusters of 1, 2, 4, 8, 1, 2, ... problems."""
    return np.repeat(np.arange(problems), np.resize([1, 2, 4, 8], problems))[:problems]


MANY: dict[str, Any] = {"samples": (8, 16, 64), "differences": True}
FEW: dict[str, Any] = {"samples": (8, 16)}
SHORT: dict[str, Any] = {"sizes": lambda problems: np.where(np.arange(problems) == 0, 0.0, 1.0)}
MIXED: dict[str, Any] = {
    "sizes": lambda problems: np.resize([1 / 16, 1 / 4, 1.0], problems),
    "samples": (64,),
}
NEVER = [*product((0.1, 0.5, 0.9), (0.9, 0.99, 0.999)), (0.3, 0.97), (0.7, 0.97)]
COINS = {
    "easy": beta(8, 1.5),
    "hard": beta(0.3, 3),
    "hard, zeros": beta(0.5, 2, never=0.4),
    "mixed": beta(0.5, 0.5),
    "alike": lambda rng, m: np.full(m, 0.3),
}
FAMILIES = {
    **{name: coins("0/1 rewards", draw, **MANY) for name, draw in COINS.items()},
    **{
        f"{never:.0%} never, else {chance:g}": coins(
            "never or nearly always solved", never_or(chance, never), differences=never == 0.5
        )
        for never, chance in NEVER
    },
    "normal": real(
        "real rewards",
        Rng.standard_normal,
        Rng.standard_normal,
        partial(best_of, "norm", 0.0),
        0.7,
        **FEW,
    ),
    "speed-up": real(
        "real rewards",
        lambda rng, m: rng.gamma(2.0, 0.5, m),
        Rng.standard_exponential,
        harmonic,
        **FEW,
    ),
    "tests": Family(
        "real rewards",
        beta(0.7, 1.0),
        lambda rng, p, n: rng.binomial(10, p[:, None], (len(p), n)) / 10,
        best_of_tests,
        **FEW,
    ),
    "uniform": of_law("real rewards", "powerlaw", 1.0, 0.5, 1.0),
    "bell": of_law("real rewards", "powerlaw", 2.0, 0.5, 1.0),
    **{
        f"lognormal {sigma:g}": of_law(
            "heavy tails", "lognorm", sigma, 0.5, 1.5, differences=sigma == 1
        )
        for sigma in (0.5, 1.0, 2.0)
    },
    "wide scales": real(
        "heavy tails",
        lambda rng, m: np.exp(1.5 * rng.standard_normal(m)),
        Rng.standard_exponential,
        harmonic,
    ),
    "Pareto 2.5": of_law("heavy tails", "pareto", 2.5, 0.5, 1.5),
    "Student 3": real(
        "heavy tails",
        lambda rng, m: rng.standard_t(3, m),
        lambda rng, size: rng.standard_t(3, size),
        partial(best_of, "t", 3.0),
        1.0,
    ),
    "mixed, one with n = 1": coins("unequal n", beta(0.5, 0.5), **SHORT),
    "mixed, n = 4, 16, 64": coins("unequal n", beta(0.5, 0.5), **MIXED),
    "hard, n = 4, 16, 64": coins("unequal n", beta(0.3, 3), **MIXED),
    "uniform, one with n = 1": of_law("unequal n", "powerlaw", 1.0, 0.5, 1.0, **SHORT),
    "uniform, n = 4, 16, 64": of_law("unequal n", "powerlaw", 1.0, 0.5, 1.0, **MIXED),
    "clusters of 5": clustered(lambda problems: np.arange(problems) // 5),
    "unequal clusters": clustered(unequal_clusters),
}
