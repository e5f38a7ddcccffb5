"""How two runs differ on the same problems: for one objective, over k, and problem by problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import gammaln

from pkpo.core.objectives import MaxAt, Mean, Objective
from pkpo.evaluate.between import between_differences
from pkpo.evaluate.comparison import (
    TARGETS,
    Contrast,
    Crossing,
    Difference,
    Moved,
    MovedProblem,
    Target,
)
from pkpo.evaluate.counts import bounds
from pkpo.evaluate.estimates import clusters_of
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import Moments, exactly, interval_of, none, two_sided_p
from pkpo.evaluate.samples import Samples, SolveProbabilities
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
    means = (float(values.mean()), float(baseline_values.mean()), float(differences.mean()))
    return Difference(*head, *means, number, dropped, of_these, like_these)


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
    for target in TARGETS:
        p = holm(np.array([d.contrast(target).p for d in differences]))
        contrasts = [
            replace(d.contrast(target), adjusted_p=float(q)) for d, q in zip(differences, p)
        ]
        differences = [replace(d, **{target: c}) for d, c in zip(differences, contrasts)]
    return tuple(differences)


def crossing(differences: Sequence[Difference], target: Target) -> Crossing | None:
    """The crossing of one run with the baseline, over its pass@k or max@k rows; None where
    fewer than two of these have a value."""
    rows = sorted(
        (d for d in differences if _is_best_of_k(d) and d.num_problems > 0), key=lambda d: d.k
    )
    if len(rows) < 2:
        return None
    ks = [d.k for d in rows]
    signs = [d.contrast(target).sign for d in rows]
    found = Crossing(
        rows[0].run,
        rows[0].baseline,
        target,
        tuple(b.k for a, b in pairwise(rows) if a.difference * b.difference < 0),
        *(_from(ks, signs, sign) for sign in (1, -1)),
        *(_from(ks[::-1], signs[::-1], sign) for sign in (1, -1)),
        text="",
    )
    return replace(found, text=_in_words(found, ks))


def _is_best_of_k(difference: Difference) -> bool:
    (weight, term), *others = difference.objective.terms
    return not others and weight == 1 and isinstance(term, MaxAt | Mean)


def _from(ks: Sequence[int], signs: Sequence[int], sign: int) -> int | None:
    """The first k after which all signs, its own included, are `sign`."""
    result = None
    for k, found in zip(reversed(ks), reversed(signs)):
        if found != sign:
            break
        result = k
    return result


def _in_words(found: Crossing, ks: Sequence[int]) -> str:
    run, baseline = found.run, found.baseline
    if found.better_from == ks[0]:
        return f"{run} is better than {baseline} at every k asked for"
    if found.worse_from == ks[0]:
        return f"{baseline} is better than {run} at every k asked for"
    parts = []
    for name, up_to in ((run, found.better_up_to), (baseline, found.worse_up_to)):
        if up_to is not None:
            where = "at" if up_to == ks[0] else "up to"
            parts.append(f"{name} is better {where} k = {up_to}")
    for name, start in ((run, found.better_from), (baseline, found.worse_from)):
        if start is not None:
            where = f"at k = {start}" if start == ks[-1] else f"from k = {start} on"
            parts.append(f"{name} is better {where}")
    told = [k for k in (found.better_up_to, found.worse_up_to) if k is not None]
    last = max(told, default=0)
    start = min((k for k in (found.better_from, found.worse_from) if k is not None), default=None)
    if all(k <= last or (start is not None and k >= start) for k in ks):
        return "; ".join(parts)
    parts.append("can't tell at the other k" if parts else f"can't tell {run} and {baseline} apart")
    if found.estimated_at and len(parts) < 3:
        where = ", ".join(map(str, found.estimated_at))
        parts.append(f"the estimates cross before k = {where}, which the intervals don't confirm")
    return "; ".join(parts)


def moved_problems(
    baseline: Samples, run: Samples, baseline_name: str, name: str, rate: float
) -> Moved:
    """The problems whose rewards differ between two runs with the same problems in the same
    order, at false discovery rate `rate`."""
    if baseline.binary and run.binary:
        p = fisher_p(run.correct_P, run.sizes_P, baseline.correct_P, baseline.sizes_P)
    else:
        p = np.array([_ranks_p(a, b) for a, b in zip(run.groups(), baseline.groups())])
    after, before = run.mean_rewards_P, baseline.mean_rewards_P
    found = np.flatnonzero(benjamini_hochberg(p) <= rate)
    order = found[np.argsort(-np.abs(after - before)[found], kind="stable")]
    gained, lost = (
        tuple(
            MovedProblem(run.problems[i], float(after[i]), float(before[i]), float(p[i]))
            for i in order
            if (after[i] - before[i]) * sign > 0
        )
        for sign in (1, -1)
    )
    return Moved(name, baseline_name, rate, len(p), gained, lost)


def fisher_p(
    correct: np.ndarray, size: np.ndarray, other_correct: np.ndarray, other_size: np.ndarray
) -> np.ndarray:
    """(P,) two-sided p-values of Fisher's exact test."""
    tables, inverse = np.unique(
        np.stack([correct, size, other_correct, other_size], axis=-1), axis=0, return_inverse=True
    )
    values = np.empty(len(tables))
    log_factorials = gammaln(np.arange(1, 2 + int((size + other_size).max(initial=0))))
    for place, (c, n, d, m) in enumerate(tables.tolist()):
        possible = np.arange(max(0, c + d - m), min(n, c + d) + 1)
        rest = np.stack([possible, n - possible, c + d - possible, m - c - d + possible])
        logs = -log_factorials[rest].sum(axis=0)  # of the hypergeometric law, up to a constant
        law = np.exp(logs - logs.max())
        law /= law.sum()
        seen = law[c - possible[0]]
        values[place] = min(1.0, law[law <= seen * (1 + 1e-9)].sum())
    return values[inverse.reshape(-1)]


def _ranks_p(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(np.concatenate([first, second])) == 0:
        return 1.0
    from scipy.stats import mannwhitneyu  # slow to import

    return float(mannwhitneyu(first, second).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values; NaN stays, and counts as a test that found nothing.

    >>> holm(np.array([0.01, 0.04, np.nan])).tolist()
    [0.03, 0.08, nan]
    """
    order = np.argsort(p)  # NaN last
    scaled = p[order] * np.arange(len(p), 0, -1)
    result = np.empty(len(p))
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return result


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values for the false discovery rate.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    result = np.empty(len(p))
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result
