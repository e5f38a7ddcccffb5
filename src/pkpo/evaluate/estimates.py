"""Samples -> unbiased values with intervals, for this benchmark and for problems like its."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.evaluate.counts import bounds, is_chance
from pkpo.evaluate.formats import EvaluationFormats
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import (
    ENOUGH,
    Interval,
    Moments,
    Support,
    between_problems,
    bound,
    events,
    exactly,
    limits,
    none,
    skewness_doubt,
    support,
    tail_bound,
)
from pkpo.evaluate.read import ReadResult
from pkpo.evaluate.selection import Selection, as_objectives, name_of
from pkpo.evaluate.simultaneous import critical_level, within_correlation
from pkpo.evaluate.solve_probabilities import Measured, SolveProbabilities
from pkpo.evaluate.within import EXACT, Within, within_problems

TooFew = Literal["error", "nan", "drop"]


@dataclass(frozen=True)
class Row:
    """One objective on one set of samples.

    Args:
        name: "pass@8", "max@8", ...
        objective: what is estimated.
        k: the number of samples it is about.
        value: mean over the problems used of the unbiased estimate of each; NaN if undefined.
        num_problems: how many problems the value is over.
        num_dropped: problems left out for having fewer than k samples.
        fixed: where the value of these very problems lies; only samples vary.
        population: where the mean over all problems of this kind lies; problems and samples
            vary.
        note: why `value` is NaN, or what else to know.
    """

    name: str
    objective: Objective
    k: int
    value: float
    num_problems: int
    num_dropped: int
    fixed: Interval
    population: Interval
    note: str = ""


@dataclass(frozen=True)
class Evaluation(EvaluationFormats):
    """Values and intervals; `print` shows them as a table.

    Args:
        rows: one for each objective, in the order asked for.
        num_problems, num_samples: in the samples; no samples stand behind exact values.
        confidence: of the intervals.
        simultaneous: whether all intervals of a kind hold together with that confidence.
        source: what was evaluated.
    """

    rows: tuple[Row, ...]
    num_problems: int
    num_samples: int
    confidence: float
    simultaneous: bool
    source: str = ""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, key: str | int | Objective) -> Row:
        """The row of a name, an objective, or the only row with this k."""
        found = [r for r in self.rows if key in (r.name, str(r.objective)) or key == r.objective]
        if isinstance(key, int):
            found = [row for row in self.rows if row.k == key]
        if len(found) != 1:
            names = ", ".join(row.name for row in self.rows)
            raise KeyError(f"{key!r} names {len(found)} of the rows: {names}")
        return found[0]

    def __str__(self) -> str:
        head = f"{self.num_problems} problems, {self.num_samples or 'exact, no'} samples"
        if self.source:
            head = f"{self.source}: {head}"
        percent = f"{100 * self.confidence:g} %"
        together = ", simultaneous" if self.simultaneous else ""
        title = ("", "value", "these problems", "problems like these", "used")
        table = [title] + [
            (r.name, f"{r.value:.4f}", str(r.fixed), str(r.population), str(r.num_problems))
            for r in self.rows
        ]
        widths = [max(len(line[i]) for line in table) for i in range(len(title))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in table]
        notes = [
            f"{row.name}, {what}: {note}"
            for row in self.rows
            for what, note in (
                ("value", row.note),
                ("these problems", row.fixed.note),
                ("problems like these", row.population.note),
            )
            if note
        ]
        return "\n".join([f"{head}; intervals at {percent}{together}", *lines, *notes])

    __repr__ = __str__


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
    pass@1  0.2812  [0.2345, 0.3319]  [0.1213, 0.5583]     12
    pass@4  0.5429  [0.4407, 0.6425]  [0.3092, 0.7617]     12
    """
    samples = samples.samples if isinstance(samples, ReadResult) else samples
    grouped = checked(samples, too_few, confidence)
    chosen = as_objectives(samples.ks if objectives is None else objectives)
    used = [used_problems(samples, objective, too_few) for objective in chosen]
    columns = [grouped.estimates(objective) for objective in chosen]
    fixed_level = population_level = confidence
    if simultaneous and len(chosen) > 1:
        common = np.logical_and.reduce(used)
        number = len(chosen)
        between = _correlation(columns, common)
        population_level = critical_level(between, number, confidence, seed)
        within = within_correlation(grouped, common, chosen)
        fixed_level = critical_level(within, number, confidence, seed)
    levels = (fixed_level, population_level, confidence)
    rows = tuple(
        _row(grouped, objective, used_P, values_P, levels, seed)
        for objective, used_P, values_P in zip(chosen, used, columns)
    )
    return Evaluation(
        rows,
        len(samples.problems),
        samples.num_samples,
        confidence,
        simultaneous,
        samples.source,
    )


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
    """(P,) bools: the problems that the value is over; none where it is undefined.

    Raises:
        UndefinedEstimateError: some have n < k under "error".
    """
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


def fixed_moments(
    estimates: np.ndarray, within: Within, objective: Objective, binary: bool
) -> Moments:
    """What the interval for these problems is made from."""
    return Moments(
        float(estimates.mean()),
        within.variance,
        within.skewness,
        within.df,
        bounds(objective) if binary else None,
        1.0 if within.method == "unbiased" and binary else 0.0,
        0.0 if binary else skewness_doubt(within.units),
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
    name = name_of(objective, grouped.binary)
    number = int(used_P.sum())
    dropped = int((samples.sizes_P < objective.k).sum())
    fixed_level, population_level, confidence = levels
    if number == 0:
        note = f"{dropped} of {len(used_P)} problems have fewer than k = {objective.k} samples"
        nothing = none(confidence, note)
        return Row(name, objective, objective.k, np.nan, 0, dropped, nothing, nothing, note)
    estimates = values_P[used_P]
    value_bounds = bounds(objective) if grouped.binary else None
    sizes = samples.sizes_P[used_P]
    blocks = int(sizes.min()) // objective.k
    clusters = samples.clusters_P
    if clusters is not None:
        clusters = [cluster for cluster, use in zip(clusters, used_P) if use]
    between, units = between_problems(estimates, value_bounds, clusters)
    problems, subsets = support(estimates, value_bounds)
    rare = np.inf if grouped.binary else events(between.skewness, units, False)
    carried = Support(min(problems, units), subsets, rare, units, "problems like these")
    population = interval_of(between, carried, population_level, "between problems", True)
    within = within_problems(grouped, used_P, objective, seed)
    if isinstance(within, str):
        fixed = none(fixed_level, within)
    elif within is EXACT:
        fixed = exactly(float(estimates.mean()), fixed_level)
    else:
        moments = fixed_moments(estimates, within, objective, grouped.binary)
        problems, subsets = support(estimates, value_bounds, blocks)
        problems = max(problems, subsets)  # subsets are independent trials, many a problem
        rare = events(within.skewness, within.units, grouped.binary)
        each = float(np.median(sizes))
        carried = Support(problems, subsets, rare, each, "samples of each problem")
        fixed = interval_of(moments, carried, fixed_level, within.method, True)
    if grouped.binary and is_chance(objective):
        binomial = bool((sizes == objective.k).all())
        if not fixed.given:
            fixed = bound(estimates, confidence, fixed.note, blocks, binomial)
        if not population.given and clusters is None:
            population = bound(estimates, confidence, population.note, 1, binomial)
    note = f"problems with fewer than k samples, left out: {dropped}" if dropped else ""
    value = float(estimates.mean())
    return Row(name, objective, objective.k, value, number, dropped, fixed, population, note)


def interval_of(
    moments: Moments, support: Support, level: float, method: str, one_sided: bool = False
) -> Interval:
    """The two-sided interval, or the reason why the data can't support one.

    Args:
        moments: of the estimate.
        support: what it rests on.
        level: the confidence.
        method: how the variance was found.
        one_sided: whether rewards without bounds get a bound where all that the data lack is
            knowledge of a long tail.
    """
    note = support.lacks(moments)
    if not note:
        lower, upper = limits(moments, level)
        error = float(np.sqrt(moments.variance))
        return Interval(lower, upper, "interval", level, "", method, error)
    if one_sided and moments.bounds is None and not replace(support, events=np.inf).lacks(moments):
        return tail_bound(moments, level, note)
    return none(level, note)


def _correlation(columns: list[np.ndarray], common_P: np.ndarray) -> np.ndarray | None:
    """Between the objectives' estimates over problems; None where it isn't known."""
    if common_P.sum() < ENOUGH:
        return None
    spread = np.stack([column[common_P] for column in columns])
    spread = spread[spread.std(axis=1) > 0]
    return np.atleast_2d(np.corrcoef(spread)) if len(spread) else None


def _of(samples: Measured) -> str:
    return f" of {samples.source}" if samples.source else ""
