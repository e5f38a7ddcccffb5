"""Confidence intervals for a mean of problems' estimates, and when there is none.

docs/intervals.md derives each and shows how often they cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, ndtri, rel_entr, stdtr, stdtrit

from pkpo.digits import decimal_text

ENOUGH = 5.0
"""Problems that have to carry the value, and the variance, for an interval to be given."""

ENOUGH_SUBSETS = 1.5
"""Failed (or passed, near 0) disjoint subsets of k samples that a value has to amount to."""

MOST_SKEWED = 0.3
"""Skewness, with what `events` adds to it, of a mean of rewards without known bounds for which
an interval is given."""

FEWEST_DF = 3.0
"""Degrees of freedom below which the variance counts as unknown."""

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


def effective_number(values: np.ndarray) -> float:
    """How many of the numbers carry their sum: (sum |y|)^2 / sum y^2, 0 if all are 0."""
    total = np.abs(values).sum()
    return float(total**2 / (values**2).sum()) if total > 0 else 0.0


def skewness_doubt(units: float) -> float:
    """The share of itself by which the skewness of so many units may be wrong."""
    return 0.5 * float(np.sqrt(6.0 / units))


def events(skewness: float, units: float, bounded: bool) -> float:
    """How many rare events would make a mean as skewed: 1 / skewness^2, as for a Poisson law.

    Values without known bounds may have a tail that few units don't show, which is allowed for
    by half a unit of skewness, and need more; this is scaled so that `ENOUGH` is enough.
    """
    if bounded:
        return 1.0 / max(skewness**2, 1e-300)
    return ENOUGH * (MOST_SKEWED / (abs(skewness) + 0.5 / np.sqrt(units))) ** 2


@dataclass(frozen=True)
class Support:
    """What a value and its error rest on.

    Args:
        problems: that carry the value, or its distance from the nearer bound.
        subsets: of k samples that this distance amounts to, of all disjoint ones.
        events: rare ones that would make the value as skewed; see `events`.
        number, more: how many there are of what would help.
    """

    problems: float
    subsets: float
    events: float
    number: float
    more: str

    def lacks(self, moments: Moments) -> str:
        """Why there can't be an interval, and how much more would do; empty if there can."""
        if moments.variance <= 0 < self.number - 1:
            return "all values are equal, so nothing shows how much they vary"
        found = (
            (self.problems, ENOUGH, "the value rests on about {:.1f} problems; {:g} are needed"),
            (
                self.subsets,
                ENOUGH_SUBSETS,
                "all that is seen amounts to {:.2g} subsets of k samples; {:g} are needed",
            ),
            (self.events, ENOUGH, "its error rests on about {:.1f} rare events; {:g} are needed"),
            (
                moments.df,
                FEWEST_DF,
                "the variance is hardly known: {:.1f} degrees of freedom; {:g} are needed",
            ),
        )
        for amount, needed, text in found:
            if amount < needed:
                factor = needed / max(amount, 1e-9)
                missing = max(2, math.ceil(self.number * (factor - 1.0)))
                how_many = f"about {missing}" if factor < 100 else "far"
                return f"{text.format(amount, needed)}: {how_many} more {self.more} would do"
        return ""


def support(
    estimates: np.ndarray, bounds: tuple[float, float] | None, blocks: int = 1
) -> tuple[float, float]:
    """What the mean's distance from the nearer bound rests on.

    Returns:
        How many problems carry it; and how many of all disjoint subsets of k samples, `blocks`
        a problem, it amounts to. Without bounds both are infinite.
    """
    if bounds is None:
        return np.inf, np.inf
    low, high = bounds
    nearer_low = estimates.mean() - low <= high - estimates.mean()
    distances = estimates - low if nearer_low else high - estimates
    return effective_number(distances), float(distances.sum() / (high - low)) * blocks


def between_problems(
    estimates: np.ndarray,
    bounds: tuple[float, float] | None,
    clusters: Sequence[str] | None = None,
) -> tuple[Moments, float]:
    """Moments of the mean over new problems, and how many independent units there are.

    The variance between problems holds that within them. With clusters, deviations are
    summed within each, and the clusters are the units (the sandwich estimator, each sum over
    sqrt(1 - its share of the problems)). The variance's degrees of freedom are those that
    remain once its dependence on the mean, which skewness measures, is taken out:
    2 M / (kurtosis - 1 - skewness^2).
    """
    mean, shape = float(estimates.mean()), _shape(estimates, clusters)
    size, second = shape.units, shape.second
    if second == 0:
        return Moments(mean, 0.0, 0.0, np.inf, bounds), shape.effective
    rest = shape.kurtosis - 1.0 - shape.skewness**2
    df = 2.0 * size / rest if rest > 1e-9 else np.inf
    if size < 20 or clusters is not None:
        df = min(df, shape.most_df)
    share = 0.0
    if bounds is not None:
        low, high = bounds
        share = min(1.0, second / max((mean - low) * (high - mean), 1e-300))
    skewness = shape.skewness / np.sqrt(size)
    doubt = skewness_doubt(size) if bounds is None else 0.0
    moments = Moments(mean, second / (size - 1), skewness, df, bounds, share, doubt)
    return moments, shape.effective


def between_differences(
    differences: np.ndarray, clusters: Sequence[str] | None = None
) -> tuple[Moments, float, float]:
    """Moments of the mean of paired differences over new problems, the number of independent
    units, and the skewness that the moments leave out.

    As `between_problems`, but for Student's interval: differences have little skewness, and
    an estimate of it does more harm than good. The variance's degrees of freedom are
    2 M / (kurtosis - 1), at most the M - 1 of a normal law.
    """
    mean, shape = float(differences.mean()), _shape(differences, clusters)
    if shape.second == 0:
        return Moments(mean, 0.0, 0.0, np.inf), shape.effective, 0.0
    size = shape.units
    df = min(2.0 * size / max(shape.kurtosis - 1.0, 1e-9), shape.most_df)
    moments = Moments(mean, shape.second / (size - 1), 0.0, df)
    return moments, shape.effective, shape.skewness / np.sqrt(size)


@dataclass(frozen=True)
class _Shape:
    """How independent units vary: their number, mean square, and scale-free third and fourth
    moments; zeros where they don't vary by more than rounding. For clusters of unequal size,
    how many equal ones would be as good, for the mean and for its variance."""

    units: int
    effective: float
    most_df: float
    second: float = 0.0
    skewness: float = 0.0
    kurtosis: float = 0.0


def _shape(values: np.ndarray, clusters: Sequence[str] | None) -> _Shape:
    units = values - values.mean()
    effective, most_df = float(len(values)), len(values) - 1.0
    if clusters is not None:
        _, codes = np.unique(np.asarray(clusters), return_inverse=True)
        shares = np.bincount(codes) / len(values)
        number = len(shares)
        scale = np.sqrt((number - 1) * number / np.maximum(1.0 - shares, 1e-300))
        units = np.bincount(codes, units) * scale / len(values)
        effective = float(1.0 / (shares**2).sum())
        most_df = min(float((shares**2).sum() ** 2 / (shares**4).sum()), number) - 1.0
    second = float((units**2).mean())
    rounding = (1e-12 * float(np.abs(values).max())) ** 2
    if len(units) < 2 or second <= rounding:
        return _Shape(len(units), effective, most_df)
    skewness = float((units**3).mean() / second**1.5)
    kurtosis = float((units**4).mean() / second**2)
    return _Shape(len(units), effective, most_df, second, skewness, kurtosis)


def none(confidence: float, note: str) -> Interval:
    return Interval(np.nan, np.nan, "none", confidence, note)


def exactly(value: float, confidence: float) -> Interval:
    return Interval(value, value, "exact", confidence, "", "exact", 0.0)


def tail_bound(moments: Moments, confidence: float, note: str) -> Interval:
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

    low, high = mean, 1.0
    for _ in range(50):  # halves the bracket, which ends within 1e-15
        chance = (low + high) / 2
        excess = rel_entr(mean, chance) + rel_entr(1.0 - mean, 1.0 - chance) - entropy
        low, high = (low, chance) if excess > 0 else (chance, high)
    return high
