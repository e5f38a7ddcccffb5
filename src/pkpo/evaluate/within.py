"""Sampling error within problems: the variance of the mean of U-statistics, problems fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective, SimpleTerm, max_at, min_at
from pkpo.core.weights import estimate_weights, top_bernstein
from pkpo.evaluate.counts import central_moment, covariance_of, unbiased_variance, values
from pkpo.evaluate.grouped import Grouped, l_statistic, weights_of
from pkpo.evaluate.samples import SolveProbabilities

SPLITS = 16
"""Random divisions of the samples that a split variance averages over."""

MOST_SIZES = 16
"""Numbers of samples a problem for which moments are averaged over the solve rates."""

NO_VARIATION = "samples of the same problem show no variation; more of them may"


@dataclass(frozen=True)
class Within:
    """Variance of one estimate, the mean over M problems, over new samples of the same problems.

    Args:
        variance: of the mean.
        skewness: of the mean.
        df: degrees of freedom: 2 over the squared relative error of `variance`.
        units: how many disjoint subsets of k samples there are.
        method: "unbiased" (n >= 2k), "mixture" (0/1 rewards with n < 2k), "extrapolated"
            (other rewards with n < 2k) or "exact" (probabilities in place of samples).
    """

    variance: float
    skewness: float
    df: float
    units: float
    method: str


EXACT = Within(0.0, 0.0, np.inf, np.inf, "exact")


def within_problems(
    grouped: Grouped | SolveProbabilities,
    used_P: np.ndarray,
    objective: Objective,
    seed: int,
) -> Within | str:
    """The sampling variance of the mean of the estimates of the used problems, which all have
    n >= k, or why there is none. The seed is for the random divisions of samples that some
    rewards and objectives need."""
    if isinstance(grouped, SolveProbabilities):
        return EXACT
    if np.median(grouped.sizes_P[used_P]) < 2:
        missing = _named(grouped, used_P & (grouped.sizes_P < 2), 2 * objective.k)
        return (
            f"most problems have one sample, which shows nothing of its sampling error: {missing}"
        )
    if grouped.binary:
        return _of_counts(grouped, used_P, objective)
    if not grouped.varies(used_P):
        return NO_VARIATION
    return _of_rewards(grouped, used_P, objective, seed)


def _named(grouped: Grouped, few_P: np.ndarray, wanted: int) -> str:
    """What to do about problems with few samples."""
    places = np.flatnonzero(few_P)
    names = ", ".join(repr(grouped.samples.problems[place]) for place in places[:3])
    more = ", ..." if len(places) > 3 else ""
    return f"take {wanted} samples of problems {names}{more} ({len(places)} of {len(few_P)})"


def _of_counts(grouped: Grouped, used_P: np.ndarray, objective: Objective) -> Within | str:
    """The unbiased variance of the problems with n >= 2k, and for the others the exact one
    averaged over the solve rates fitted to all problems.

    The third moment, and how far the unbiased variance errs, are averages over the solve
    rates too: what carries them may be too rare to be among the samples.
    """
    rates, number = grouped.rates(used_P), int(used_P.sum())
    second, third, error, common = (np.zeros_like(rates.grid_G) for _ in range(4))
    variance, short = 0.0, 0
    for n, places in grouped.by_size.items():
        correct = grouped.samples.correct_P[places[used_P[places]]]
        if n >= 2 * objective.k:
            variance += float(unbiased_variance(n, objective)[correct].sum())
        elif len(correct):
            short += len(correct)
            second += len(correct) * central_moment(n, objective, rates.grid_G, 2)
    for n, count in _typical(grouped.sizes_P[used_P]):
        third += count * central_moment(n, objective, rates.grid_G, 3)
        if n >= 2 * objective.k:
            table = unbiased_variance(n, objective)
            error += count * covariance_of([table, table], rates.grid_G)
            common += count * covariance_of([table, values(n, objective)], rates.grid_G)
    uncertainty = float(error @ rates.fitted_G)
    if short:
        variance += rates.mean(second)
        spread = rates.mean(second**2) - rates.mean(second) ** 2
        uncertainty += rates.variance_of_mean(second) + spread * (1 / short - 1 / number)
    if variance <= 0:
        return NO_VARIATION
    uncertainty -= min(float(common @ rates.fitted_G) ** 2 / variance, (1 - 1e-9) * uncertainty)
    skewness = float(third @ (rates.weights_G if short else rates.fitted_G)) / variance**1.5
    df = 2.0 * variance**2 / uncertainty if uncertainty > 0 else np.inf
    units = float((grouped.sizes_P[used_P] // objective.k).sum())
    return Within(variance / number**2, skewness, df, units, "mixture" if short else "unbiased")


def _typical(sizes: np.ndarray) -> list[tuple[int, int]]:
    """The sizes and how many problems have each; of many, quantiles in their place."""
    distinct, counts = np.unique(sizes, return_counts=True)
    if len(distinct) <= MOST_SIZES:
        return list(zip(distinct.tolist(), counts.tolist()))
    parts = np.array_split(np.sort(sizes), MOST_SIZES)
    return [(int(part[len(part) // 2]), len(part)) for part in parts]


def _of_rewards(
    grouped: Grouped, used_P: np.ndarray, objective: Objective, seed: int
) -> Within | str:
    """The unbiased variance of the problems with n >= 2k. The others are taken to vary like
    these where they are the minority; else all are extrapolated."""
    sizes, number = grouped.sizes_P, int(used_P.sum())
    long_P = used_P & (sizes >= 2 * objective.k)
    short_P = used_P & ~long_P
    units = float((sizes[used_P] // objective.k).sum())
    simple = all(isinstance(term, MaxAt | MinAt | Mean) for _, term in objective.simple_terms)
    if 2 * short_P.sum() > number:
        missing = _named(grouped, short_P, 2 * objective.k)
        if not simple:
            return f"the variance of {objective} needs n >= 2k: {missing}"
        if sizes[used_P].min() < 4:
            return f"fewer than 4 samples a problem, and n < 2k: {missing}"
        variance, skewness, df = _extrapolated(grouped, used_P, objective, seed)
        method = "extrapolated"
    else:
        variance = float(_variances(grouped, long_P, objective, seed).sum())
        for m, count in zip(*np.unique(sizes[short_P], return_counts=True)):
            variance += count * _variances(grouped, long_P, objective, seed, int(m)).mean()
        skewness, df = _jackknife(grouped, long_P, objective)
        if simple and objective.k > 1:  # interactions of samples, which a jackknife leaves out
            _, of_quarters = _between_parts(grouped, long_P, objective, 4, seed, splits=4)
            skewness = (skewness + of_quarters) / 2
        method = "unbiased"
    if not variance > 0:
        return NO_VARIATION
    return Within(variance / number**2, skewness, df, units, method)


def _variances(
    grouped: Grouped, used_P: np.ndarray, objective: Objective, seed: int, size: int | None = None
) -> np.ndarray:
    """The unbiased variances of the used problems' estimates, all with n >= 2k; with `size`, of
    those from so many of their samples, which is larger by the mean square of the difference."""
    result = np.full(len(grouped.sizes_P), np.nan)
    for n, places in grouped.by_size.items():
        rows = grouped.rectangles[n]
        if n < 2 * objective.k:
            continue
        result[places] = unbiased_variance_of_rewards(rows, objective, seed)
        if size is not None:
            centred = rows - np.median(rows, axis=1, keepdims=True)
            some = _random_parts(centred, n // size, seed, size) @ weights_of(size, objective)
            whole = centred @ weights_of(n, objective)
            result[places] += ((some - whole[:, None, None]) ** 2).mean(axis=(1, 2))
    return result[used_P]


def _jackknife(grouped: Grouped, used_P: np.ndarray, objective: Objective) -> tuple[float, float]:
    """The skewness of the sum of the estimates, and the degrees of freedom of its variance,
    from what each sample contributes.

    With L_i the loss without sample i, times n - 1, the moments of rho are about those of the
    mean of independent L. No problem's variance counts as better known than that of n // k
    normal values.
    """
    third = square = error = 0.0
    for n, places in grouped.by_size.items():
        rows = grouped.rectangles[n][used_P[places]]
        if n < 2 or not len(rows):
            continue
        influence = _influences(rows, weights_of(n - 1, objective))
        squares = (influence**2).sum(axis=1) / (n - 1)
        third += float((influence**3).sum() / (n * (n - 1) * max(n - 2, 1)))
        square += float(squares.sum() / n)
        spread = (influence**4).sum(axis=1) / (n - 1) - squares**2
        normal = 2.0 * squares**2 * n / max(n // objective.k - 1, 1)
        error += float(np.maximum(spread, normal).sum() / n**3)
    if not square > 0:
        return 0.0, 0.0
    return third / square**1.5, 2.0 * square**2 / error if error > 0 else np.inf


def _influences(sorted_PN: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
    """(P, n): n - 1 times what each row's estimate loses without each sample; (n - 1,) weights."""
    centred = sorted_PN - np.median(sorted_PN, axis=1, keepdims=True)
    without = np.zeros_like(centred)
    without[:, 1:] += np.cumsum(centred[:, :-1] * weights_N, axis=1)
    without[:, :-1] += np.cumsum((centred[:, 1:] * weights_N)[:, ::-1], axis=1)[:, ::-1]
    return weights_N.size * (without.mean(axis=1, keepdims=True) - without)


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


def _random_parts(
    rows_PN: np.ndarray, parts: int, seed: int, size: int | None = None, splits: int = 0
) -> np.ndarray:
    """(P, parts, splits, size): each row divided at random, SPLITS times or as often as said,
    parts sorted; parts have n // parts samples, or `size`."""
    rng = np.random.default_rng([seed, parts])
    number, n = rows_PN.shape
    each = n // parts if size is None else size
    splits = splits or SPLITS
    result = np.empty((number, parts, splits, each))
    for split in range(splits):
        order = np.argsort(rng.random((number, n)), axis=1)[:, : parts * each]
        chosen = np.take_along_axis(rows_PN, order, axis=1)
        result[:, :, split] = np.sort(chosen.reshape(number, parts, each), axis=2)
    return result


def _extrapolated(
    grouped: Grouped, used_P: np.ndarray, objective: Objective, seed: int
) -> tuple[float, float, float]:
    """The variance of the sum of the estimates, its skewness, and the degrees of freedom of the
    variance.

    The variance is V(n/2, k/2)^2 / V(n/4, k/4), with V the one between random halves or
    quarters of the samples: exact where the variance is a power of the size. The skewness is
    that of quarters.
    """
    halves_M, _ = _between_parts(grouped, used_P, objective, 2, seed)
    quarters_M, skewness = _between_parts(grouped, used_P, objective, 4, seed)
    half, quarter = halves_M.mean(), quarters_M.mean()
    if half <= 0 or quarter <= 0:
        return 0.0, 0.0, 0.0
    relative = (2 * halves_M / half - quarters_M / quarter - 1.0).var() / len(halves_M)
    df = 2.0 / relative if relative > 0 else np.inf
    return float(half**2 / quarter * len(halves_M)), skewness, float(df)


def _between_parts(
    grouped: Grouped,
    used_P: np.ndarray,
    objective: Objective,
    parts: int,
    seed: int,
    splits: int = 0,
) -> tuple[np.ndarray, float]:
    """Each problem's variance between estimates from random parts of its samples, with k as much
    smaller as they are, and the skewness of the sum over problems of such estimates."""
    variance, third = np.zeros(len(grouped.sizes_P)), np.zeros(len(grouped.sizes_P))
    for n, places in grouped.by_size.items():
        if n < parts or not used_P[places].any():
            continue
        size = n // parts
        weights = _shrunk_weights(objective, size / n, size)
        divided = _random_parts(grouped.rectangles[n], parts, seed, splits=splits)
        values = np.einsum("pqsn,n->pqs", divided, weights)
        deviations = values - values.mean(axis=1, keepdims=True)
        variance[places] = (deviations**2).sum(axis=1).mean(axis=1) / (parts - 1)
        unbiased = parts / ((parts - 1) * max(parts - 2, 1))
        third[places] = unbiased * (deviations**3).sum(axis=1).mean(axis=1)
    total = float(variance[used_P].sum())
    return variance[used_P], float(third[used_P].sum()) / total**1.5 if total > 0 else 0.0


def _shrunk_weights(objective: Objective, share: float, size: int) -> np.ndarray:
    """(size,) weights of the objective with each k times `share`, interpolated."""
    total = np.zeros(size)
    for weight, term in objective.simple_terms:
        exact = max(1.0, term.k * share)
        low = min(int(exact), size)
        rest = exact - low
        total += weight * (1.0 - rest) * weights_of(size, _with_k(term, low))
        if rest > 0:
            total += weight * rest * weights_of(size, _with_k(term, low + 1))
    return total


def _with_k(term: SimpleTerm, k: int) -> Objective:
    return min_at(k) if isinstance(term, MinAt) else max_at(k)
