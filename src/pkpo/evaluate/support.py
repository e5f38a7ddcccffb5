"""What a value and its error rest on, and when that is too little for an interval.

docs/intervals.md has the reasons and the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ENOUGH = 5.0
"""Problems that have to carry the value, and the variance, for an interval to be given."""

ENOUGH_SUBSETS = 1.5
"""Failed (or passed, near 0) disjoint subsets of k samples that a value has to amount to."""

MOST_SKEWED = 0.3
"""Skewness, with what `events` adds to it, of a mean of rewards without known bounds for which
an interval is given."""

FEWEST_DF = 3.0
"""Degrees of freedom below which the variance counts as unknown."""


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

    def lacks(self, variance: float, df: float) -> str:
        """Why there can't be an interval for a value of this variance, known with so many degrees
        of freedom, and how much more would do; empty if there can."""
        if variance <= 0 < self.number - 1:
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
                df,
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
