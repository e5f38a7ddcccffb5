"""Sums over all subsets of k samples, weighted by products of ratios >= 0 of any size.

The elementary symmetric polynomials of the ratios are

    e_j(r_1, ..., r_i) = sum over the subsets of size j of the product of their numbers
                       = e_j(r_1, ..., r_(i-1)) + r_i e_(j-1)(r_1, ..., r_(i-1))

The recursion adds and multiplies numbers >= 0, so nothing cancels and each result is
right to about i roundings. Its numbers leave float64, though: C(2048, 1024) is
e_1024(1, ..., 1), and products of ratios exp(50) or exp(-50) leave it sooner. `Scaled`
numbers carry an exponent each. Arrays here have positions first and groups last, so that one
step of a recursion treats all groups at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

LARGEST_LOGARITHM = 1e12
"""Of the numbers that `Scaled.exp` takes; exponents of their products fit an int64."""

_ZERO = -(2**60)
"""The exponent of zero: below all others, so that zero never sets the scale of a sum."""

_LN2_HIGH = 6.93147180369123816490e-01  # ends in 20 zero bits: exact times integers to 2^20
_LN2_LOW = 1.90821492927058770002e-10


@dataclass(frozen=True, slots=True)
class Scaled:
    """An array of real numbers mantissa * 2**exponent, which can't overflow.

    Args:
        mantissa: float64, 1/2 <= |mantissa| < 1, or 0.
        exponent: int64 of the same shape, `_ZERO` where the mantissa is 0.
    """

    mantissa: np.ndarray
    exponent: np.ndarray

    @classmethod
    def of(cls, values: Any) -> Scaled:
        """Finite numbers."""
        values = np.asarray(values, dtype=np.float64)
        return _normal(values, np.zeros(values.shape, dtype=np.int64))

    @classmethod
    def of_integer(cls, value: int) -> Scaled:
        """A positive integer of any size, rounded."""
        shift = max(value.bit_length() - 64, 0)
        return _normal(np.asarray(float(value >> shift)), np.asarray(shift))

    @classmethod
    def exp(cls, logarithms: np.ndarray) -> Scaled:
        """exp(logarithms), for |logarithms| <= LARGEST_LOGARITHM or -inf, which gives 0."""
        zero = np.isneginf(logarithms)
        logarithms = np.where(zero, 0.0, logarithms)
        twos = np.rint(logarithms / np.log(2.0))
        rest = (logarithms - twos * _LN2_HIGH) - twos * _LN2_LOW
        return _normal(np.where(zero, 0.0, np.exp(rest)), twos.astype(np.int64))

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Scaled:
        return cls(np.zeros(shape), np.full(shape, _ZERO))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mantissa.shape

    def floats(self) -> np.ndarray:
        """float64, infinite where the number is too large and 0 where it is too small."""
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(self.mantissa, np.clip(self.exponent, -3000, 3000).astype(np.int32))

    def sum(self, axis: int) -> Scaled:
        top = self.exponent.max(axis=axis, keepdims=True)
        return _normal(_shifted(self, top).sum(axis=axis), top.squeeze(axis))

    def __add__(self, other: Scaled) -> Scaled:
        top = np.maximum(self.exponent, other.exponent)
        return _normal(_shifted(self, top) + _shifted(other, top), top)

    def __sub__(self, other: Scaled) -> Scaled:
        return self + -other

    def __neg__(self) -> Scaled:
        return Scaled(-self.mantissa, self.exponent)

    def __mul__(self, other: Scaled) -> Scaled:
        return _normal(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __truediv__(self, other: Scaled) -> Scaled:
        return _normal(self.mantissa / other.mantissa, self.exponent - other.exponent)

    def __getitem__(self, key: Any) -> Scaled:
        return Scaled(self.mantissa[key], self.exponent[key])

    def __setitem__(self, key: Any, value: Scaled) -> None:
        self.mantissa[key] = value.mantissa
        self.exponent[key] = value.exponent


def _shifted(values: Scaled, exponent: np.ndarray) -> np.ndarray:
    """Mantissas that go with `exponent`, which is nowhere below that of `values`."""
    shift = np.maximum(values.exponent - exponent, -1100).astype(np.int32)
    with np.errstate(under="ignore"):
        return np.ldexp(values.mantissa, shift)


def _normal(mantissa: np.ndarray, exponent: np.ndarray) -> Scaled:
    mantissa, shift = np.frexp(mantissa)
    return Scaled(mantissa, np.where(mantissa == 0.0, _ZERO, exponent + shift))


def _add_product(start: Scaled, left: Scaled, right: Scaled) -> Scaled:
    """start + left * right."""
    product = Scaled(left.mantissa * right.mantissa, left.exponent + right.exponent)
    top = np.maximum(start.exponent, product.exponent)
    return _normal(_shifted(start, top) + _shifted(product, top), top)


def quotient(part: Scaled, whole: Scaled, otherwise: np.ndarray | float) -> Scaled:
    """part / whole, and `otherwise` where whole is 0."""
    zero = whole.mantissa == 0.0
    found = part / Scaled(np.where(zero, 0.5, whole.mantissa), np.where(zero, 0, whole.exponent))
    other = Scaled.of(np.where(zero, otherwise, 0.0))
    return Scaled(
        np.where(zero, other.mantissa, found.mantissa),
        np.where(zero, other.exponent, found.exponent),
    )


def cumulative_sum(values: Scaled) -> Scaled:
    """Along the first axis, with a leading zero: (n, ...) -> (n+1, ...)."""
    sums = Scaled.zeros((values.shape[0] + 1, *values.shape[1:]))
    for i in range(values.shape[0]):
        sums[i + 1] = sums[i] + values[i]
    return sums


def prefixes(numbers: Scaled, degree: int) -> Scaled:
    """e_j of the first i numbers.

    Args:
        numbers: (n, P).

    Returns:
        (n+1, degree+1, P), by i and j.

    Cost: O(n degree) a group.
    """
    n, width = numbers.shape
    found = Scaled.zeros((n + 1, degree + 1, width))
    found[:, 0] = Scaled.of(1.0)
    for i in range(n):
        top = min(degree, i + 1)
        lower, upper = found[i, :top], found[i, 1 : top + 1]
        found[i + 1, 1 : top + 1] = _add_product(upper, numbers[i], lower)
    return found


def weighted_suffixes(numbers: Scaled, weights: Scaled, degree: int) -> Scaled:
    """Q_l(m) = sum_(m' >= m) weights_m' e_l(numbers m+1 ... m').

    These are the adjoints of `prefixes`: what the sum over m of weights_m e_j(first m) gains
    by a small change of e_(j-l)(first m) that all later ones inherit.

    Args:
        numbers: (n, P).
        weights: (n+1, P), for m = 0..n.

    Returns:
        (n+1, degree+1, P), by m and l.

    Cost: O(n degree) a group.
    """
    n, width = numbers.shape
    found = Scaled.zeros((n + 1, degree + 1, width))
    found[n, 0] = weights[n]
    for m in range(n - 1, -1, -1):
        top = min(degree, n - m)
        lower, upper = found[m + 1, :top], found[m + 1, 1 : top + 1]
        found[m, 0] = found[m + 1, 0] + weights[m]
        found[m, 1 : top + 1] = _add_product(upper, numbers[m], lower)
    return found


def suffixes(numbers: Scaled, degree: int) -> Scaled:
    """e_l of the numbers after the first m: (n, P) -> (n+1, degree+1, P), by m and l."""
    n, width = numbers.shape
    weights = Scaled.zeros((n + 1, width))
    weights[n] = Scaled.of(1.0)
    return weighted_suffixes(numbers, weights, degree)


def around(before: Scaled, after: Scaled, degree: int) -> Scaled:
    """sum_j before_j(i-1) after_(degree-j)(i) for each position i: (n, P), 0 for degree < 0.

    With `prefixes` and `suffixes` this is e_degree of all numbers but the i-th; with
    `weighted_suffixes` it is sum_(m >= i) weights_m e_degree(first m without the i-th).
    """
    total = Scaled.zeros((before.shape[0] - 1, before.shape[2]))
    for j in range(degree + 1):
        total = _add_product(total, before[:-1, j], after[1:, degree - j])
    return total


def disjoint_pairs(
    numbers: Scaled, values: Scaled, first: tuple[int, int], second: tuple[int, int]
) -> Scaled:
    """Sum over ordered pairs of disjoint subsets of their products of numbers, each times the
    value of one marked member.

    Args:
        numbers: (n, P).
        values: (n, P).
        first, second: (size, mark) of either subset; mark = 1 is its first member by
            position, mark = size its last.

    Returns:
        (P,).

    Cost: O(n size_1 size_2) a group.
    """
    n, width = numbers.shape
    sums = Scaled.zeros((first[0] + 1, second[0] + 1, width))
    sums[0, 0] = Scaled.of(1.0)
    for i in range(n):
        joins_first = _marked(numbers[i], values[i], *first)[:, None]
        joins_second = _marked(numbers[i], values[i], *second)[None]
        grown = _add_product(sums[1:], joins_first, sums[:-1])
        new = Scaled(sums.mantissa.copy(), sums.exponent.copy())
        new[1:] = grown
        new[:, 1:] = _add_product(new[:, 1:], joins_second, sums[:, :-1])
        sums = new
    return sums[-1, -1]


def _marked(number: Scaled, value: Scaled, size: int, mark: int) -> Scaled:
    """(size, P): the number, times the value where it becomes the marked member."""
    factors = Scaled.zeros((size, number.shape[0]))
    factors[:] = number
    factors[mark - 1] = number * value
    return factors


class SortedGroups:
    """Groups sorted by reward, positions first, and the sums over their subsets of size k.

    Each subset of size k weighs the product of its ratios and is worth its largest reward. The
    sums here are not yet divided by C(n,k).

    Args:
        rewards: (n, P), ascending.
        ratios: (n, P).
        degree: the largest k.
    """

    def __init__(self, rewards: Scaled, ratios: Scaled, degree: int) -> None:
        self.rewards, self.ratios, self.degree = rewards, ratios, degree
        self.n = rewards.shape[0]

    @cached_property
    def flipped(self) -> SortedGroups:
        """The groups with the rewards' signs changed: their max is this one's -min."""
        return SortedGroups(-self.rewards[::-1], self.ratios[::-1], self.degree)

    @cached_property
    def gaps(self) -> Scaled:
        return self.rewards[1:] - self.rewards[:-1]

    @cached_property
    def before(self) -> Scaled:
        return prefixes(self.ratios, self.degree)

    @cached_property
    def after(self) -> Scaled:
        return suffixes(self.ratios, self.degree)

    @cached_property
    def tops_after(self) -> Scaled:
        """Weighted by ratio times reward of the sample that would be the subset's top."""
        tops = Scaled.zeros((self.n + 1, *self.ratios.shape[1:]))
        tops[:-1] = self.ratios * self.rewards
        return weighted_suffixes(self.ratios, tops, self.degree)

    @cached_property
    def gaps_after(self) -> Scaled:
        gaps = Scaled.zeros((self.n + 1, *self.ratios.shape[1:]))
        gaps[1:-1] = self.gaps
        return weighted_suffixes(self.ratios, gaps, self.degree)

    def total(self, k: int) -> Scaled:
        """(P,): the sum of all weights."""
        return self.before[-1, k]

    def value(self, k: int) -> Scaled:
        """(P,): by the sample that is the subset's largest."""
        return (self.ratios * self.rewards * self.before[:-1, k - 1]).sum(axis=0)

    def sums_with(self, k: int) -> Scaled:
        """(n, P): over the subsets that hold the sample, which is the largest or isn't."""
        as_top = self.before[:-1, k - 1] * self.rewards
        return self.ratios * (as_top + around(self.before, self.tops_after, k - 2))

    def sums_above_rest(self, k: int) -> Scaled:
        """(n, P): value less the value without the sample, k >= 2; no term is negative."""
        return self.ratios * cumulative_sum(self.gaps * self.before[1:-1, k - 1])

    def sums_above_others(self, k: int) -> Scaled:
        """(n, P): value less that of k other samples, weighted by the ratios of these.

        Counted by gaps: each gap above a subset's largest is missing from its value. NaN
        where the sample counts and no k others have ratios above 0.
        """
        below = cumulative_sum(self.gaps * self.before[1:-1, k])
        missing_without = below + around(self.before, self.gaps_after, k)
        missing_with = around(self.before, self.gaps_after, k - 1)
        weight = around(self.before, self.after, k - 1)
        counts = (weight * self.ratios).mantissa != 0.0
        share = quotient(weight, around(self.before, self.after, k), np.where(counts, np.nan, 0.0))
        return self.ratios * (missing_without * share - missing_with)
