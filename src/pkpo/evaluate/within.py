"""Sampling error within problems: the variance of the mean of U-statistics, problems fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective, SimpleTerm, max_at, min_at
from pkpo.core.weights import estimate_weights, top_bernstein
from pkpo.evaluate.counts import central_moment, unbiased_variance
from pkpo.evaluate.grouped import Grouped, l_statistic, weights_of
from pkpo.evaluate.solve_probabilities import SolveProbabilities

SPLITS = 16
"""Random divisions of the samples that a split variance averages over."""

NO_VARIATION = "samples of the same problem show no variation"


@dataclass(frozen=True)
class Within:
    """Variance of one estimate, the mean over M problems, over new samples of the same problems.

    Args:
        variance: of the mean.
        skewness: of the mean.
        df: degrees of freedom: 2 over the squared relative error of `variance`.
        method: "unbiased" (n >= 2k), "mixture" (0/1 rewards with n < 2k), "extrapolated"
            (other rewards with n < 2k) or "exact" (probabilities in place of samples).
    """

    variance: float
    skewness: float
    df: float
    method: str


EXACT = Within(0.0, 0.0, np.inf, "exact")


def within_problems(
    grouped: Grouped | SolveProbabilities,
    used_P: np.ndarray,
    objective: Objective,
    seed: int,
) -> Within | str:
    """The sampling variance of the mean of the estimates of the used problems.

    Args:
        grouped: the samples.
        used_P: which problems the mean is over; all have n >= k.
        objective: what is estimated.
        seed: for the random divisions of samples that some rewards and objectives need.

    Returns:
        The variance, or why there is none.
    """
    if isinstance(grouped, SolveProbabilities):
        return EXACT
    sizes = grouped.sizes_P[used_P]
    enough = bool((sizes >= 2 * objective.k).all())
    if grouped.binary and not enough:
        return _by_mixture(grouped, used_P, objective)
    if not grouped.binary and not grouped.varies(used_P):
        return NO_VARIATION
    if enough:
        return _by_average(_unbiased(grouped, used_P, objective, seed))
    if not all(isinstance(term, MaxAt | MinAt | Mean) for _, term in objective.simple_terms):
        return f"the variance of {objective} needs n >= 2k = {2 * objective.k} samples a problem"
    if sizes.min() < 4:
        return "fewer than 4 samples a problem, and n < 2k"
    return _extrapolated(grouped, used_P, objective, seed)


def _by_mixture(grouped: Grouped, used_P: np.ndarray, objective: Objective) -> Within | str:
    """The exact variance averaged over the solve rates of the problems with n < 2k, and the
    unbiased one for the others."""
    short_P = used_P & (grouped.sizes_P < 2 * objective.k)
    sizes = grouped.sizes_P[short_P]
    if np.median(sizes) < 2:
        return "most problems have one sample, which shows nothing of its sampling error"
    rates = grouped.rates(short_P)
    second, third = np.zeros_like(rates.grid_G), np.zeros_like(rates.grid_G)
    for n, number in zip(*np.unique(sizes, return_counts=True)):
        second += number * central_moment(int(n), objective, rates.grid_G, 2)
        third += number * central_moment(int(n), objective, rates.grid_G, 3)
    variance, uncertainty = rates.mean(second), rates.variance_of_mean(second)
    others = used_P & ~short_P
    if others.any():
        unbiased = _unbiased(grouped, others, objective, 0)
        variance += float(unbiased.sum())
        uncertainty += float(unbiased.var(ddof=1) * len(unbiased)) if len(unbiased) > 1 else np.inf
    if variance <= 0:
        return NO_VARIATION
    number = int(used_P.sum())
    skewness = rates.mean(third) / variance**1.5
    return Within(variance / number**2, skewness, 2.0 * variance**2 / uncertainty, "mixture")


def _by_average(variance_P: np.ndarray) -> Within | str:
    mean = float(variance_P.mean())
    if mean <= 0:
        return NO_VARIATION
    spread = variance_P.var(ddof=1) / len(variance_P) if len(variance_P) > 1 else np.inf
    df = float(2.0 * mean**2 / spread) if spread > 0 else np.inf
    return Within(mean / len(variance_P), 0.0, df, "unbiased")


def _unbiased(grouped: Grouped, used_P: np.ndarray, objective: Objective, seed: int) -> np.ndarray:
    result = np.full(len(grouped.sizes_P), np.nan)
    for n, places in grouped.by_size.items():
        if n < 2 * objective.k:
            continue
        if grouped.binary:
            result[places] = unbiased_variance(n, objective)[grouped.samples.correct_P[places]]
        else:
            result[places] = unbiased_variance_of_rewards(grouped.rectangles[n], objective, seed)
    return result[used_P]


def unbiased_variance_of_rewards(
    sorted_PN: np.ndarray, objective: Objective, seed: int = 0
) -> np.ndarray:
    """Unbiased estimate of Var rho for each row, rho^2 less the average of h(I) h(I') over
    disjoint pairs of subsets of size k.

    For a multiple of max@k, min@k or the mean the average is over all pairs. With
    g_(i) <= g_(j) the largest of two disjoint subsets, C(i-1, k-1) C(j-1-k, k-1) pairs have
    them, which is a product of a function of i and one of j. Otherwise it is over random
    divisions of the samples into halves.

    Args:
        sorted_PN: (P, n) sorted rows, n >= 2k.
        objective: any.
        seed: of the random halves.

    Returns:
        (P,) float64; may be negative.

    Cost: O(n) a row for all pairs, O(SPLITS n log n) for halves.
    """
    n = sorted_PN.shape[1]
    centred = sorted_PN - np.median(sorted_PN, axis=1, keepdims=True)
    (weight, term), *others = objective.terms
    if others or not isinstance(term, MaxAt | MinAt | Mean):
        rho = l_statistic(centred, weights_of(n, objective), estimate_weights(n, objective).level)
        first, second = np.split(_random_parts(centred, 2, seed), 2, axis=1)
        weights = weights_of(n // 2, objective)
        products = np.einsum("psn,n->ps", first[:, 0], weights) * np.einsum(
            "psn,n->ps", second[:, 0], weights
        )
        return rho**2 - products.mean(axis=1)
    if isinstance(term, MinAt):
        centred = -centred[:, ::-1]
    k = term.k
    rho = l_statistic(centred, weights_of(n, max_at(k)), 1.0)
    smaller, larger = _pair_weights(n, k)
    below = np.cumsum(centred * smaller, axis=1)[:, :-1]
    pairs = (centred[:, 1:] * below) @ larger[1:]
    return weight**2 * (rho**2 - pairs)


def _pair_weights(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) each, whose product at i < j is
    2 C(i-1, k-1) C(j-1-k, k-1) / (C(n, k) C(n-k, k)), by ratios."""
    smaller = k / n * top_bernstein(k, n - 1)
    rest = n - k
    larger = np.zeros(n)
    larger[k:] = 2.0 * k / rest * top_bernstein(k, rest - 1)
    return smaller, larger


def _random_parts(rows_PN: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """(P, parts, SPLITS, n // parts): each row divided at random, SPLITS times, parts sorted."""
    rng = np.random.default_rng([seed, parts])
    number, n = rows_PN.shape
    size = n // parts
    result = np.empty((number, parts, SPLITS, size))
    for split in range(SPLITS):
        order = np.argsort(rng.random((number, n)), axis=1)[:, : parts * size]
        chosen = np.take_along_axis(rows_PN, order, axis=1)
        result[:, :, split] = np.sort(chosen.reshape(number, parts, size), axis=2)
    return result


def _extrapolated(
    grouped: Grouped, used_P: np.ndarray, objective: Objective, seed: int
) -> Within | str:
    """Var rho(n, k) as V(n/2, k/2)^2 / V(n/4, k/4), each V the variance between random halves
    or quarters of the samples: exact where the variance is a power of the size."""
    halves, quarters = np.zeros(len(grouped.sizes_P)), np.zeros(len(grouped.sizes_P))
    for n, places in grouped.by_size.items():
        if n < max(4, objective.k) or not used_P[places].any():
            continue
        rows = grouped.rectangles[n]
        for parts, into in ((2, halves), (4, quarters)):
            weights = _shrunk_weights(objective, n, n // parts)
            values = np.einsum("pqsn,n->pqs", _random_parts(rows, parts, seed), weights)
            into[places] = values.var(axis=1, ddof=1).mean(axis=1)
    halves_M, quarters_M = halves[used_P], quarters[used_P]
    half, quarter = halves_M.mean(), quarters_M.mean()
    if half <= 0 or quarter <= 0:
        return NO_VARIATION
    variance = half**2 / quarter
    relative = (2 * halves_M / half - quarters_M / quarter - 1.0).var() / len(halves_M)
    df = 2.0 / relative if relative > 0 else np.inf
    return Within(float(variance / len(halves_M)), 0.0, float(df), "extrapolated")


def _shrunk_weights(objective: Objective, n: int, size: int) -> np.ndarray:
    """(size,) weights of the objective with each k times size / n, interpolated."""
    total = np.zeros(size)
    for weight, term in objective.simple_terms:
        exact = max(1.0, term.k * size / n)
        low = min(int(exact), size)
        share = exact - low
        total += weight * (1.0 - share) * weights_of(size, _with_k(term, low))
        if share > 0:
            total += weight * share * weights_of(size, _with_k(term, low + 1))
    return total


def _with_k(term: SimpleTerm, k: int) -> Objective:
    return min_at(k) if isinstance(term, MinAt) else max_at(k)
