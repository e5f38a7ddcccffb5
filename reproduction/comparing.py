"""Paired comparisons over seeds, and verdicts by rules that are fixed beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkpo.errors import InvalidInputError
from reproduction.old_results import Verdict


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, with its 95 % interval by Student's t.

    Args:
        mean: over seeds.
        standard_error: of it; NaN for one seed.
        half_width: of the interval; infinite for one seed.
    """

    mean: float
    standard_error: float
    half_width: float

    @property
    def above(self) -> bool:
        """Whether the interval lies above zero."""
        return self.mean - self.half_width > 0

    @property
    def below(self) -> bool:
        """Whether the interval lies below zero."""
        return self.mean + self.half_width < 0

    def text(self, scale: float = 100.0) -> str:
        """Such as "+3.2 ± 0.4"; the number after ± is the standard error."""
        if math.isnan(self.standard_error):
            return f"{scale * self.mean:+.1f}"
        return f"{scale * self.mean:+.1f} ± {scale * self.standard_error:.1f}"


def difference(first: Sequence[float] | np.ndarray, second: object) -> Difference:
    """`first` - `second`, seed by seed.

    Args:
        first, second: one number a seed, the same seeds in the same order; `second` may be a
            number.

    Raises:
        InvalidInputError: the lengths differ, or there is nothing.
    """
    left, right = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if left.ndim != 1 or not len(left) or right.shape not in ((), left.shape):
        raise InvalidInputError(
            f"paired differences need one number a seed on both sides, got shapes {left.shape} "
            f"and {right.shape}"
        )
    gaps = left - right
    count = len(gaps)
    if count == 1:
        return Difference(float(gaps[0]), math.nan, math.inf)
    error = float(gaps.std(ddof=1)) / math.sqrt(count)
    return Difference(float(gaps.mean()), error, t_quantile(0.975, count - 1) * error)


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t, by bisection on its distribution function.

    Args:
        probability: in (0.5, 1).
        degrees: of freedom, at least 1.
    """
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        if _t_probability(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def _t_probability(x: float, degrees: int) -> float:
    """P(T <= x), x >= 0, by the closed forms for even and odd degrees (A&S 26.7.3-4)."""
    angle = math.atan(x / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    if degrees % 2:
        term, total = cosine, 0.0
        for j in range(1, (degrees + 1) // 2):
            total += term
            term *= cosine**2 * (2 * j) / (2 * j + 1)
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 0.0
        for j in range(1, degrees // 2 + 1):
            total += term
            term *= cosine**2 * (2 * j - 1) / (2 * j)
        inside = sine * total
    return (1 + inside) / 2


def is_above(found: Difference) -> Verdict:
    """For the claim "first is above second": beyond the error, by the mean alone, or not."""
    return all_above([found])


def all_above(found: Sequence[Difference]) -> Verdict:
    """For the claim that each difference is positive.

    See ABOVE_RULE; can't tell otherwise, nor from nothing.
    """
    if not found:
        return Verdict.OPEN
    if all(d.above for d in found):
        return Verdict.HOLDS
    if any(d.above for d in found):
        return Verdict.IN_PART
    if any(d.below for d in found) or all(d.mean <= 0 for d in found):
        return Verdict.NO
    return Verdict.OPEN


ABOVE_RULE = (
    "holds: every paired difference over seeds is above zero beyond its 95 % interval; in part: "
    "some are; does not hold: none is, and one is below zero beyond its interval or all means are"
)


def mean_and_error(values: Sequence[float] | np.ndarray, scale: float = 100.0) -> str:
    """Such as "12.3 ± 0.4": the mean over seeds and its standard error."""
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return f"{scale * found.mean():.1f}"
    error = found.std(ddof=1) / math.sqrt(len(found))
    return f"{scale * found.mean():.1f} ± {scale * error:.1f}"
