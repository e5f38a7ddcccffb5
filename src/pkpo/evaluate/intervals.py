"""Confidence intervals for a mean of problems' estimates, and bounds where there is none.

docs/intervals.md derives each and shows how often they cover.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import betainc, betaincinv, ndtri, rel_entr, stdtr, stdtrit

from pkpo.digits import decimal_text
from pkpo.evaluate.support import ENOUGH, MOST_SKEWED, Support

LARGEST_DF = 1e9
Kind = Literal["interval", "lower bound", "upper bound", "none", "exact"]


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with the given confidence, or why that can't be said.

    Args:
        lower, upper: the limits. NaN where there is none: both for kind "none", one for a
            bound.
        kind: "interval" is two-sided; a "lower bound" or "upper bound" holds with at least
            the given confidence by itself, and is all that is given where the data can't
            support an interval; "exact" means that nothing is uncertain, and both limits are
            the value.
        confidence: such as .95.
        note: why there is no interval; empty if there is one.
        method: how the variance was found.
        standard_error: of the value; NaN where unknown.
    """

    lower: float
    upper: float
    kind: Kind
    confidence: float
    note: str = ""
    method: str = ""
    standard_error: float = np.nan

    @property
    def given(self) -> bool:
        """Whether this is a two-sided interval, of width 0 for an exact value."""
        return self.kind in ("interval", "exact")

    def __contains__(self, value: float) -> bool:
        """Whether `value` is not excluded."""
        return not (value < self.lower or value > self.upper)

    def __str__(self) -> str:
        if self.kind == "interval":
            return f"[{self.lower:.4f}, {self.upper:.4f}]"
        if self.kind in ("none", "exact"):
            return self.kind
        if self.kind == "lower bound":
            return f">= {decimal_text(self.lower, 4, towards='below')}"
        return f"<= {decimal_text(self.upper, 4, towards='above')}"


@dataclass(frozen=True)
class Moments:
    """What an interval is made from.

    Args:
        mean: the estimate.
        variance: of the estimate.
        skewness: of the estimate.
        df: degrees of freedom of `variance`.
        bounds: of the values, for 0/1 rewards; None otherwise.
        beta_share: 0..1, how much the values are like 0 and 1 alone; see `limits`.
        doubt: the share of `skewness` by which it may be larger or smaller: each limit is
            taken with the one that makes the interval wider.
    """

    mean: float
    variance: float
    skewness: float
    df: float
    bounds: tuple[float, float] | None = None
    beta_share: float = 0.0
    doubt: float = 0.0


def limits(moments: Moments, confidence: float) -> tuple[float, float]:
    """Lower and upper limit.

    The weighted mean, with weights `beta_share` and the rest, of two intervals: Jeffreys' for
    a chance, with the number of trials that gives the variance; and Student's, with Hall's
    correction for skewness (see `hall`). Both have equal tails.
    """
    tail = (1.0 - confidence) / 2
    t = float(stdtrit(min(moments.df, LARGEST_DF), 1.0 - tail))
    scale = np.sqrt(moments.variance)
    doubt = moments.doubt * abs(moments.skewness)
    low = moments.mean - hall(t, moments.skewness - doubt) * scale
    high = moments.mean - hall(-t, moments.skewness + doubt) * scale
    if moments.bounds is None:
        return float(low), float(high)
    floor, ceiling = moments.bounds
    share = moments.beta_share
    if share > 0:
        width = ceiling - floor
        mean = (moments.mean - floor) / width
        z = float(ndtri(1.0 - tail))
        trials = mean * (1.0 - mean) / (moments.variance / width**2) * (z / t) ** 2
        beta = betaincinv(trials * mean + 0.5, trials * (1.0 - mean) + 0.5, (tail, 1.0 - tail))
        low = share * (floor + width * beta[0]) + (1.0 - share) * low
        high = share * (floor + width * beta[1]) + (1.0 - share) * high
    return float(max(low, floor)), float(min(high, ceiling))


def hall(q: float, skewness: float) -> float:
    """The studentised mean t at which Hall's transform is q.

    With a = skewness / 3 of the mean, ((1 + a t - ...)^3 - 1) / (3 a) + a / 2 is closer to
    Student's law than t is (Hall 1992, J. R. Statist. Soc. B 54, 221-228).
    """
    a = skewness / 3.0
    if abs(a) < 1e-6:
        return q
    return float((np.cbrt(1.0 + 3.0 * a * (q - a / 2)) - 1.0) / a)


def two_sided_p(moments: Moments) -> float:
    """p-value of a mean of 0: one less the largest confidence whose `limits`, without bounds,
    leave 0 out."""
    t = moments.mean / np.sqrt(moments.variance)
    a = moments.skewness / 3.0
    q = t if abs(a) < 1e-6 else ((1.0 + a * t) ** 3 - 1.0) / (3.0 * a) + a / 2
    return float(2.0 * stdtr(min(moments.df, LARGEST_DF), -abs(q)))


def interval_of(
    moments: Moments, support: Support, level: float, method: str, one_sided: bool = False
) -> Interval:
    """The two-sided interval, or the reason why the data can't support one.

    With `one_sided`, rewards without bounds get a bound where all that the data lack is
    knowledge of a long tail.
    """
    note = support.lacks(moments.variance, moments.df)
    if not note:
        lower, upper = limits(moments, level)
        error = float(np.sqrt(moments.variance))
        return Interval(lower, upper, "interval", level, "", method, error)
    but_for_tails = replace(support, events=np.inf)
    if (
        one_sided
        and moments.bounds is None
        and not but_for_tails.lacks(moments.variance, moments.df)
    ):
        return _tail_bound(moments, level, note)
    return none(level, note)


def none(confidence: float, note: str) -> Interval:
    return Interval(np.nan, np.nan, "none", confidence, note)


def exactly(value: float, confidence: float) -> Interval:
    return Interval(value, value, "exact", confidence, "", "exact", 0.0)


def allow_for_selection(
    interval: Interval, moments: Moments, support: Support, trials: float
) -> Interval:
    """The interval of a value, wider by what it takes that it is given only where enough is seen.

    Where little is to be seen, the data sets that show enough are those that show too much. For
    chances, the limit on the nearer bound's side moves as Jeffreys' does when what carries the
    value, binomial of so many trials, is known to be at least `ENOUGH`; no further than to the
    limit of `ENOUGH` itself, beyond which hardly a data set gets an interval. For rewards without
    bounds, the limit on the longer tail's side recedes: the bound that takes the interval's place
    where the tail gets too long has none.
    """
    if interval.kind != "interval":
        return interval
    lower, upper, mean = interval.lower, interval.upper, moments.mean
    if moments.bounds is None:
        skewness = abs(moments.skewness)
        spare = MOST_SKEWED * (1.0 - np.sqrt(ENOUGH / support.events))
        recedes = 1.0 / max(1.0 - (skewness / max(skewness + spare, 1e-300)) ** 2, 1e-300)
        if moments.skewness < 0:
            return replace(interval, lower=mean - (mean - lower) * recedes)
        return replace(interval, upper=mean + (upper - mean) * recedes)
    floor, ceiling = moments.bounds
    near_floor = mean - floor <= ceiling - mean
    distance = mean - floor if near_floor else ceiling - mean
    shift = _selection_shift(support.problems, trials, interval.confidence)
    moved = shift * distance / (support.problems / trials)
    if near_floor:
        return replace(interval, lower=max(lower - moved, floor))
    return replace(interval, upper=min(upper + moved, ceiling))


def _selection_shift(hits: float, trials: float, confidence: float) -> float:
    """How much lower Jeffreys' lower limit is if fewer than `ENOUGH` hits would not be seen."""
    tail = (1.0 - confidence) / 2

    def chance_of(least: float, chance: float) -> float:
        return float(betainc(least + 0.5, trials - least + 0.5, chance))

    least, alone = (
        float(betaincinv(count + 0.5, trials - count + 0.5, tail)) for count in (ENOUGH, hits)
    )

    def excess(chance: float) -> float:  # all misses may be on this side
        return chance_of(hits, chance) - (1.0 - confidence) * chance_of(ENOUGH, chance)

    return alone - _root(excess, least, alone)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function changes its sign, to 1e-15 of the range."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return high


def _tail_bound(moments: Moments, confidence: float, note: str) -> Interval:
    """Student's one-sided bound for a mean of rewards without known bounds, on the side away
    from the longer tail: what the tail may hide moves the mean to the other side.

    Like `bound`, it holds with 1 - (1 - confidence) / 2.
    """
    confidence = (1.0 + confidence) / 2
    step = float(stdtrit(moments.df, confidence) * np.sqrt(moments.variance))
    if moments.skewness < 0:
        return Interval(np.nan, moments.mean + step, "upper bound", confidence, note)
    return Interval(moments.mean - step, np.nan, "lower bound", confidence, note)


def bound(
    estimates: np.ndarray, confidence: float, note: str, blocks: int, binomial: bool
) -> Interval:
    """A one-sided bound for the mean of chances, on the side that the data can exclude.

    With `binomial` each estimate is 0 or 1, and the bound is Clopper and Pearson's, which
    holds for fixed problems too, whose chances differ (Hoeffding 1956). Otherwise it is
    Chernoff's: the values whose relative entropy from the estimate is at most
    -log(1 - confidence) / (M blocks), for estimates in [0, 1] and for U-statistics of
    `blocks` disjoint subsets (Hoeffding 1963). Both hold for any M.

    It holds with 1 - (1 - confidence) / 2, like each side of an interval, so that intervals
    and the bounds in their place together miss no more often than they should.

    Args:
        estimates: of M independent problems, in [0, 1].
        confidence: of the interval in whose place it stands.
        note: why there is none.
        blocks: the number of disjoint subsets of k samples that each fixed problem has; 1 if
            problems are sampled.
        binomial: k = n for all problems.
    """
    confidence = (1.0 + confidence) / 2
    size, mean = len(estimates), float(estimates.mean())
    upper = mean <= 0.5
    rare = mean if upper else 1.0 - mean
    if binomial:
        hits = round(size * rare)
        limit = float(betaincinv(hits + 1, size - hits, confidence))
    else:
        limit = _chernoff(rare, -np.log1p(-confidence) / (size * blocks))
    if upper:
        return Interval(np.nan, limit, "upper bound", confidence, note)
    return Interval(1.0 - limit, np.nan, "lower bound", confidence, note)


def _chernoff(mean: float, entropy: float) -> float:
    """The largest chance whose relative entropy from `mean` is at most `entropy`."""
    return _root(
        lambda chance: rel_entr(mean, chance) + rel_entr(1.0 - mean, 1.0 - chance) - entropy,
        mean,
        1.0,
    )
