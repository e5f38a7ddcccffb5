"""Sums over all subsets of k samples, weighted by products of ratios >= 0 of any size.

The elementary symmetric polynomials of the ratios are

    e_j(r_1, ..., r_i) = sum over the subsets of size j of the product of their numbers
                       = e_j(r_1, ..., r_(i-1)) + r_i e_(j-1)(r_1, ..., r_(i-1))

The recursion adds and multiplies numbers >= 0, so nothing cancels and each result is
right to about i roundings. Arrays here have positions first and groups last, so that one
step of a recursion treats all groups at once.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pkpo.offpolicy.scaled import Scaled, add_product, cumulative_sum, quotient


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
        found[i + 1, 1 : top + 1] = add_product(upper, numbers[i], lower)
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
        found[m, 1 : top + 1] = add_product(upper, numbers[m], lower)
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
        total = add_product(total, before[:-1, j], after[1:, degree - j])
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
        grown = add_product(sums[1:], joins_first, sums[:-1])
        new = Scaled(sums.mantissa.copy(), sums.exponent.copy())
        new[1:] = grown
        new[:, 1:] = add_product(new[:, 1:], joins_second, sums[:, :-1])
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
