"""The difference of two runs on the same problems, for one objective."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.evaluate.counts import bounds
from pkpo.evaluate.estimates import interval_of
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import (
    Interval,
    Moments,
    Support,
    between_differences,
    effective_number,
    events,
    exactly,
    none,
    two_sided_p,
)
from pkpo.evaluate.selection import name_of
from pkpo.evaluate.solve_probabilities import SolveProbabilities
from pkpo.evaluate.within import EXACT, NO_VARIATION, Within, within_problems


@dataclass(frozen=True)
class Contrast:
    """A difference, with what can be said of it.

    Args:
        interval: for this difference alone.
        simultaneous: at Bonferroni's level, so that those of all objectives and runs of the
            comparison hold together.
        p: two-sided p-value of no difference; NaN without an interval.
        adjusted_p: by Holm over all objectives and runs; differences without a p-value count
            as tests that found nothing.
    """

    interval: Interval
    simultaneous: Interval
    p: float
    adjusted_p: float

    @property
    def sign(self) -> int:
        """1 or -1 where the simultaneous interval excludes 0 on that side, else 0."""
        if not self.simultaneous.given:
            return 0
        return int(self.simultaneous.lower > 0) - int(self.simultaneous.upper < 0)


@dataclass(frozen=True)
class Difference:
    """One objective, one run against the baseline.

    Args:
        name, objective, k: what is compared.
        run, baseline: names of the two; differences are run minus baseline.
        value, baseline_value: of each, over the problems used; NaN if undefined.
        difference: of these.
        num_problems: used, the same for both.
        num_dropped: left out because a run has fewer than k samples for them.
        fixed: for these problems; samples of both runs vary independently.
        population: for problems like these; pairs of estimates vary.
    """

    name: str
    objective: Objective
    k: int
    run: str
    baseline: str
    value: float
    baseline_value: float
    difference: float
    num_problems: int
    num_dropped: int
    fixed: Contrast
    population: Contrast


@dataclass(frozen=True)
class RunData:
    """What differences need of one run.

    Args:
        name: the run's.
        grouped: its samples, problems in the order of all runs.
        seed: see `within_problems`.
    """

    name: str
    grouped: Grouped | SolveProbabilities
    seed: int

    def within(self, used_P: np.ndarray, objective: Objective) -> Within | str:
        """The sampling variance; 0 where nothing varies, which only the other run's can save."""
        found = within_problems(self.grouped, used_P, objective, self.seed)
        return Within(0.0, 0.0, np.inf, np.inf, "none") if found == NO_VARIATION else found


def difference_of(
    run: RunData,
    baseline: RunData,
    objective: Objective,
    used_P: np.ndarray,
    confidence: float,
    level: float,
) -> Difference:
    """Run minus baseline over the used problems, p-values not yet adjusted.

    Args:
        run, baseline: with the same problems in the same order.
        used_P: (P,) bools; none where the value is undefined.
        confidence: of the single intervals.
        level: of the simultaneous ones.
    """
    binary = run.grouped.binary and baseline.grouped.binary
    name = name_of(objective, binary)
    number = int(used_P.sum())
    enough = (run.grouped.sizes_P >= objective.k) & (baseline.grouped.sizes_P >= objective.k)
    dropped = int((~enough).sum())
    if number == 0:
        note = f"{dropped} of {len(used_P)} problems have fewer than k = {objective.k} samples"
        nothing = _no_contrast(note, confidence, level)
        keys = (name, objective, objective.k, run.name, baseline.name)
        return Difference(*keys, np.nan, np.nan, np.nan, 0, dropped, nothing, nothing)
    values = run.grouped.estimates(objective)[used_P]
    baseline_values = baseline.grouped.estimates(objective)[used_P]
    differences = values - baseline_values
    clusters = run.grouped.samples.clusters_P or baseline.grouped.samples.clusters_P
    if clusters is not None:
        clusters = [cluster for cluster, use in zip(clusters, used_P) if use]
    between, units, skewness = between_differences(differences, clusters)
    problems, subsets, blocks = effective_number(differences), np.inf, 1
    sizes = np.minimum(run.grouped.sizes_P, baseline.grouped.sizes_P)[used_P]
    if binary:
        low, high = bounds(objective)
        subsets = float(np.abs(differences).sum()) / (high - low)
        blocks = int(sizes.min()) // objective.k
    rare = events(skewness, units, binary)
    over_problems = Support(min(problems, units), subsets, rare, units, "problems like these")
    known = run.within(used_P, objective), baseline.within(used_P, objective)
    fixed = _fixed(*known, differences)
    if known == (EXACT, EXACT):
        known_exactly = exactly(float(differences.mean()), confidence)
        of_these = Contrast(known_exactly, known_exactly, np.nan, np.nan)
    elif isinstance(fixed, str):
        of_these = _no_contrast(fixed, confidence, level)
    else:
        in_samples = Support(
            max(problems, subsets * blocks),
            subsets * blocks,
            events(fixed.skewness, float((sizes // objective.k).sum()), binary),
            float(np.median(sizes)),
            "samples of each problem",
        )
        of_these = _contrast(fixed, in_samples, confidence, level)
    return Difference(
        name,
        objective,
        objective.k,
        run.name,
        baseline.name,
        float(values.mean()),
        float(baseline_values.mean()),
        float(differences.mean()),
        number,
        dropped,
        of_these,
        _contrast(between, over_problems, confidence, level),
    )


def _fixed(first: Within | str, second: Within | str, differences: np.ndarray) -> Moments | str:
    """Moments of the difference of two independent means, degrees of freedom by Satterthwaite."""
    if isinstance(first, str) or isinstance(second, str):
        return first if isinstance(first, str) else str(second)
    variance = first.variance + second.variance
    if variance <= 0:
        return NO_VARIATION
    df = variance**2 / max(first.variance**2 / first.df + second.variance**2 / second.df, 1e-300)
    third = first.skewness * first.variance**1.5 - second.skewness * second.variance**1.5
    return Moments(float(differences.mean()), variance, third / variance**1.5, float(df))


def _contrast(moments: Moments, support: Support, confidence: float, level: float) -> Contrast:
    interval = interval_of(moments, support, confidence, "")
    simultaneous = interval_of(moments, support, level, "")
    p = two_sided_p(moments) if interval.given else np.nan
    return Contrast(interval, simultaneous, p, p)


def _no_contrast(note: str, confidence: float, level: float) -> Contrast:
    return Contrast(none(confidence, note), none(level, note), np.nan, np.nan)


def adjusted(differences: list[Difference]) -> tuple[Difference, ...]:
    """The differences with Holm's p-values, for each target over all of them."""
    fixed = holm(np.array([d.fixed.p for d in differences]))
    population = holm(np.array([d.population.p for d in differences]))
    return tuple(
        replace(
            d,
            fixed=replace(d.fixed, adjusted_p=float(p)),
            population=replace(d.population, adjusted_p=float(q)),
        )
        for d, p, q in zip(differences, fixed, population)
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values; NaN stays, and counts as a test that found nothing.

    >>> holm(np.array([0.01, 0.04, np.nan])).tolist()
    [0.03, 0.08, nan]
    """
    order = np.argsort(p)  # NaN last
    factors = np.arange(len(p), 0, -1)
    sorted_p = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    result = np.empty(len(p))
    result[order] = sorted_p
    return result
