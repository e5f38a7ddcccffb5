"""Samples -> unbiased values with intervals, for this benchmark and for problems like its."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from scipy.special import ndtr

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.evaluate.between import between_problems
from pkpo.evaluate.counts import bounds, covariance, is_chance
from pkpo.evaluate.evaluation import Evaluation, Row
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import (
    Interval,
    Moments,
    allow_for_selection,
    bound,
    exactly,
    interval_of,
    none,
)
from pkpo.evaluate.read_result import ReadResult
from pkpo.evaluate.samples import Measured, SolveProbabilities
from pkpo.evaluate.selection import Selection, as_objectives, name_of
from pkpo.evaluate.support import ENOUGH, Support, events, skewness_doubt, support
from pkpo.evaluate.within import EXACT, within_problems

TooFew = Literal["error", "nan", "drop"]
_DRAWS = 20_000


def evaluate(
    samples: Measured | ReadResult,
    objectives: Selection | None = None,
    *,
    too_few: TooFew = "error",
    confidence: float = 0.95,
    simultaneous: bool = False,
    seed: int = 0,
) -> Evaluation:
    """pass@k, max@k and their kin, with two intervals for each.

    The value is the mean over problems of each problem's unbiased estimate, all problems
    weighing the same however many samples they have. Problems with more samples are known
    better; the value's meaning doesn't depend on n, and neither does its expectation as long
    as n wasn't chosen by looking at the rewards.

    Args:
        samples: rewards by problem, exact `SolveProbabilities`, or what `read` gave.
        objectives: k for max@k (pass@k), text such as "pass^4" or "mean", Objectives, or a
            sequence of these. By default powers of two up to the smallest n.
        too_few: for problems with fewer than k samples, which have no unbiased estimate:
            "error", "nan" (the whole value is NaN) or "drop" (they are left out of this value
            and counted, which changes what the value is about).
        confidence: of the intervals, in (0, 1).
        simultaneous: widen the intervals so that those of all objectives hold together.
        seed: of the random numbers that simultaneous intervals, and variances for rewards
            other than 0 and 1 with n < 2k, need. The same seed gives the same result.

    Returns:
        One row for each objective; see `Row`.

    Raises:
        UndefinedEstimateError: a problem has n < k under too_few="error"; names it.
        InvalidInputError: no problems, no objective, or confidence outside (0, 1).

    Source: docs/intervals.md.

    >>> from pkpo.evaluate.samples import Samples
    >>> samples = Samples.from_counts(16, [0, 1, 3, 16, 8, 2, 0, 5, 1, 12, 4, 2])
    >>> print(evaluate(samples, [1, 4]))
    12 problems, 192 samples; intervals at 95 %
            value   these problems    problems like these  used
    pass@1  0.2812  [0.2345, 0.3319]  [0.1004, 0.5583]     12
    pass@4  0.5429  [0.4407, 0.6425]  [0.3092, 0.7966]     12
    """
    samples = samples.samples if isinstance(samples, ReadResult) else samples
    grouped = checked(samples, too_few, confidence)
    chosen = as_objectives(samples.ks if objectives is None else objectives)
    used = [used_problems(samples, objective, too_few) for objective in chosen]
    columns = [grouped.estimates(objective) for objective in chosen]
    fixed_level = population_level = confidence
    if simultaneous and len(chosen) > 1:
        common = np.logical_and.reduce(used)
        apart = _between_correlation(columns, common), _within_correlation(grouped, common, chosen)
        population_level, fixed_level = (
            _critical_level(correlation, len(chosen), confidence, seed) for correlation in apart
        )
    levels = (fixed_level, population_level, confidence)
    rows = tuple(
        _row(grouped, objective, used_P, values_P, levels, seed)
        for objective, used_P, values_P in zip(chosen, used, columns)
    )
    sizes = len(samples.problems), samples.num_samples
    return Evaluation(rows, *sizes, confidence, simultaneous, samples.source)


def checked(samples: Measured, too_few: str, confidence: float) -> Grouped | SolveProbabilities:
    """The samples arranged for estimation, once the arguments are found right."""
    if too_few not in get_args(TooFew):
        raise InvalidInputError(f"too_few must be one of {get_args(TooFew)}, got {too_few!r}")
    if not 0.0 < confidence < 1.0:
        raise InvalidInputError(f"confidence must be in (0, 1), got {confidence!r}")
    if not samples.problems:
        raise InvalidInputError(f"there are no samples{_of(samples)}")
    return samples if isinstance(samples, SolveProbabilities) else Grouped(samples)


def used_problems(samples: Measured, objective: Objective, too_few: str) -> np.ndarray:
    """(P,) bools: the problems that the value is over; none where it is undefined. Raises
    UndefinedEstimateError where some have n < k under "error"."""
    enough = samples.sizes_P >= objective.k
    if enough.all() or too_few == "drop":
        return enough
    if too_few == "nan":
        return np.zeros_like(enough)
    first = int(np.flatnonzero(~enough)[0])
    raise UndefinedEstimateError(
        f"{int((~enough).sum())} of {len(enough)} problems{_of(samples)} have fewer than "
        f"k = {objective.k} samples, the first {samples.problems[first]!r} with "
        f"{samples.sizes_P[first]}, so {objective} has no unbiased estimate there; too_few='drop' "
        "(--too-few drop) leaves them out, too_few='nan' gives NaN"
    )


def _row(
    grouped: Grouped | SolveProbabilities,
    objective: Objective,
    used_P: np.ndarray,
    values_P: np.ndarray,
    levels: tuple[float, float, float],
    seed: int,
) -> Row:
    samples = grouped.samples
    head = (name_of(objective, grouped.binary), objective, objective.k)
    number, dropped = int(used_P.sum()), int((samples.sizes_P < objective.k).sum())
    if number == 0:
        note = f"{dropped} of {len(used_P)} problems have fewer than k = {objective.k} samples"
        nothing = none(levels[-1], note)
        return Row(*head, np.nan, 0, dropped, nothing, nothing, note)
    estimates = values_P[used_P]
    intervals = _intervals(grouped, objective, used_P, estimates, levels, seed)
    note = f"problems with fewer than k samples, left out: {dropped}" if dropped else ""
    return Row(*head, float(estimates.mean()), number, dropped, *intervals, note)


def _intervals(
    grouped: Grouped | SolveProbabilities,
    objective: Objective,
    used_P: np.ndarray,
    estimates: np.ndarray,
    levels: tuple[float, float, float],
    seed: int,
) -> tuple[Interval, Interval]:
    """For these problems and for problems like these, or bounds in their places; `levels` are
    those of the two, and of bounds."""
    fixed_level, population_level, confidence = levels
    value_bounds = bounds(objective) if grouped.binary else None
    sizes = grouped.samples.sizes_P[used_P]
    blocks = int(sizes.min()) // objective.k
    clusters = clusters_of(used_P, grouped)
    between, units = between_problems(estimates, value_bounds, clusters)
    problems, subsets = support(estimates, value_bounds)
    rare = np.inf if grouped.binary else events(between.skewness, units, False)
    carried = Support(min(problems, units), subsets, rare, units, "problems like these")
    population = interval_of(between, carried, population_level, "between problems", True)
    population = allow_for_selection(population, between, carried, units)
    within = within_problems(grouped, used_P, objective, seed)
    if isinstance(within, str):
        fixed = none(fixed_level, within)
    elif within is EXACT:
        fixed = exactly(float(estimates.mean()), fixed_level)
    else:
        moments = Moments(
            float(estimates.mean()),
            within.variance,
            within.skewness,
            within.df,
            value_bounds,
            1.0 if within.method == "unbiased" and grouped.binary else 0.0,
            0.0 if grouped.binary else skewness_doubt(within.units),
        )
        problems, subsets = support(estimates, value_bounds, blocks)
        problems = max(problems, subsets)  # subsets are independent trials, many a problem
        rare = events(within.skewness, within.units, grouped.binary)
        each = float(np.median(sizes))
        carried = Support(problems, subsets, rare, each, "samples of each problem")
        fixed = interval_of(moments, carried, fixed_level, within.method, True)
        fixed = allow_for_selection(fixed, moments, carried, len(estimates) * blocks)
    if grouped.binary and is_chance(objective):
        binomial = bool((sizes == objective.k).all())
        if not fixed.given:
            fixed = bound(estimates, confidence, fixed.note, blocks, binomial)
        if not population.given and clusters is None:
            population = bound(estimates, confidence, population.note, 1, binomial)
    return fixed, population


def clusters_of(used_P: np.ndarray, *runs: Grouped | SolveProbabilities) -> list[str] | None:
    """The clusters of the used problems, from the first run that has any."""
    for clusters in (run.samples.clusters_P for run in runs):
        if clusters is not None:
            return [cluster for cluster, use in zip(clusters, used_P) if use]
    return None


def _of(samples: Measured) -> str:
    return f" of {samples.source}" if samples.source else ""


def _critical_level(
    correlation: np.ndarray | None, number: int, confidence: float, seed: int
) -> float:
    """The confidence for each of so many intervals at which all hold together: the largest of
    normal deviates with this correlation is simulated; Bonferroni's level where it is unknown."""
    if correlation is None:
        return 1.0 - (1.0 - confidence) / number
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    largest = np.abs(_draws(seed, len(values)) @ root.T).max(axis=1)
    level = 1.0 - 2.0 * float(ndtr(-np.quantile(largest, confidence)))
    return max(level, confidence)


@lru_cache(maxsize=1)
def _draws(seed: int, number: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((_DRAWS, number))


def _between_correlation(columns: list[np.ndarray], common_P: np.ndarray) -> np.ndarray | None:
    """Correlation of the objectives' estimates over problems; None where it isn't known."""
    if common_P.sum() < ENOUGH:
        return None
    spread = np.stack([column[common_P] for column in columns])
    spread = spread[spread.std(axis=1) > 0]
    return np.atleast_2d(np.corrcoef(spread)) if len(spread) else None


def _within_correlation(
    grouped: Grouped | SolveProbabilities, used_P: np.ndarray, objectives: tuple[Objective, ...]
) -> np.ndarray | None:
    """Correlation of the objectives' sampling errors on fixed problems, for 0/1 rewards from
    exact covariances averaged over the fitted solve rates; None for other rewards."""
    if isinstance(grouped, SolveProbabilities) or not grouped.binary or not used_P.any():
        return None
    rates = grouped.rates(used_P)
    result = np.zeros((len(objectives), len(objectives)))
    for n, number in zip(*np.unique(grouped.sizes_P[used_P], return_counts=True)):
        for i, first in enumerate(objectives):
            for j, second in enumerate(objectives[: i + 1]):
                along = covariance(int(n), (first, second), rates.grid_G)
                result[i, j] += number * rates.mean(along)
                result[j, i] = result[i, j]
    scale = np.sqrt(np.diag(result))
    return result / np.outer(scale, scale) if (scale > 0).all() else None
