"""The difference of two runs on the same problems, for one objective."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.evaluate.between import between_differences
from pkpo.evaluate.comparison import Contrast, Difference
from pkpo.evaluate.counts import bounds
from pkpo.evaluate.estimates import clusters_of
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import Moments, exactly, interval_of, none, two_sided_p
from pkpo.evaluate.samples import SolveProbabilities
from pkpo.evaluate.selection import name_of
from pkpo.evaluate.support import Support, effective_number, events
from pkpo.evaluate.within import EXACT, NO_VARIATION, Within, within_problems


@dataclass(frozen=True)
class RunData:
    """What differences need of one run, its problems in the order of all runs."""

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
    """Run minus baseline over the used problems, of which there are none where the value is
    undefined; p-values not yet adjusted. `level` is that of the simultaneous intervals."""
    binary = run.grouped.binary and baseline.grouped.binary
    enough = (run.grouped.sizes_P >= objective.k) & (baseline.grouped.sizes_P >= objective.k)
    number, dropped = int(used_P.sum()), int((~enough).sum())
    head = (run.name, baseline.name, name_of(objective, binary), objective, objective.k)
    if number == 0:
        note = f"{dropped} of {len(used_P)} problems have fewer than k = {objective.k} samples"
        nothing = _no_contrast(note, confidence, level)
        return Difference(*head, np.nan, np.nan, np.nan, 0, dropped, nothing, nothing)
    values = run.grouped.estimates(objective)[used_P]
    baseline_values = baseline.grouped.estimates(objective)[used_P]
    differences = values - baseline_values
    clusters = clusters_of(used_P, run.grouped, baseline.grouped)
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
    like_these = _contrast(between, over_problems, confidence, level)
    return Difference(
        *head,
        float(values.mean()),
        float(baseline_values.mean()),
        float(differences.mean()),
        number,
        dropped,
        of_these,
        like_these,
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
