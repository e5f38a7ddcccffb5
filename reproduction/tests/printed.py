"""The paper's equations as a text version of it prints them, and mended where they have to be,
in rational numbers.

Rewards are sorted ascending except where a function says otherwise; samples, as in the paper,
count from 1. What is by definition a sum over subsets is in `oracles`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import oracles

Rewards = Sequence[Fraction]


def over_subsets(g: Rewards, k: int) -> list[Fraction]:
    """S(i, k, ...) of eq. (27) and (28), rewards in any order."""
    return oracles.advantages(g, oracles.maximum(k), "none")


def binary_effective(correct: Rewards, k: int) -> list[Fraction]:
    """r_i of eq. (8), for 0/1 rewards in any order."""
    n, c = len(correct), int(sum(correct))
    share = Fraction(k, n)

    def rho(n: int, c: int, k: int) -> Fraction:
        return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))

    # rho(n-1, c, k-1) is asked for wrong samples alone, so c <= n - 1.
    return [share if f else share * rho(n - 1, c, k - 1) for f in correct]


def value_weights(n: int, k: int) -> list[Fraction]:
    """Eq. (12) and (13): the weight of each sorted reward."""
    return [Fraction(math.comb(i - 1, k - 1), math.comb(n, k)) for i in range(1, n + 1)]


def value_weights_by_products(n: int, k: int) -> list[Fraction]:
    """Eq. (14): the same by products of ratios."""
    found = []
    for i in range(1, n + 1):
        ratios = (Fraction(i - j, n - j + 1) for j in range(1, k))
        weight = Fraction(k, n - k + 1) * math.prod(ratios, start=Fraction(1))
        found.append(weight if i >= k else Fraction(0))
    return found


def diagonal(i: int, k: int) -> int:
    """m_ii of eq. (20), under its printed condition; 0 for i = 0."""
    return math.comb(i - 1, k - 1) if i >= max(1, k - 1) else 0


def shared(j: int, k: int) -> int:
    """m_ij of eq. (21) for i < j, the same for all of them."""
    return math.comb(j - 2, k - 2) if j >= k >= 2 else 0


def effective(g: Rewards, k: int) -> list[Fraction]:
    """s of eq. (19)."""
    n = len(g)
    sums = (
        diagonal(i, k) * g[i - 1] + sum(shared(j, k) * g[j - 1] for j in range(i + 1, n + 1))
        for i in range(1, n + 1)
    )
    return [total / Fraction(math.comb(n, k)) for total in sums]


def effective_from_right(g: Rewards, k: int) -> list[Fraction]:
    """s by eq. (48) and (49)."""
    n = len(g)
    subsets = math.comb(n, k)
    found = [Fraction(diagonal(n, k), subsets) * g[-1]]
    for i in range(n - 1, 0, -1):
        step = g[i - 1] * diagonal(i, k) + g[i] * (shared(i + 1, k) - diagonal(i + 1, k))
        found.append(found[-1] + step / subsets)
    return found[::-1]


def without(g: Rewards, i: int) -> list[Fraction]:
    """The rewards but that at index i, counted from 0."""
    return [*g[:i], *g[i + 1 :]]


def baselines(g: Rewards, k: int) -> list[Fraction]:
    """b_i of eq. (30) by its definition, rewards in any order."""
    return [sum(over_subsets(without(g, i), k), Fraction(0)) for i in range(len(g))]


def leave_one_out_mean(values: Rewards) -> list[Fraction]:
    """Eq. (26) on any numbers: each less the mean of the others."""
    total = sum(values, Fraction(0))
    return [v - (total - v) / (len(values) - 1) for v in values]


def first_baseline(g: Rewards, k: int, *, mended: bool) -> Fraction:
    """b_1 by eq. (31). Mended, sample i has rank i - 1 among the others."""
    total = Fraction(0)
    for i in range(2, len(g) + 1):
        rank = i - 1 if mended else i
        total += (diagonal(rank, k) + (i - 2) * shared(rank, k)) * g[i - 1]
    return total / math.comb(len(g) - 1, k)


def next_baseline(g: Rewards, k: int, i: int, before: Fraction, *, mended: bool) -> Fraction:
    """b_(i+1) from b_i by eq. (32). Mended, its factor i - 2 is i - 1."""
    above = shared(i, k) * (i - 1 if mended else i - 2)
    step = (g[i - 1] - g[i]) * (diagonal(i, k) + above)
    return before + step / math.comb(len(g) - 1, k)


def smaller_subsets_left(g: Rewards, k: int, i: int, *, mended: bool) -> Fraction:
    """The leftmost sum of eq. (34), which runs over all subsets J of size k. Mended, over those
    with i; i from 0."""
    total = Fraction(0)
    for subset in itertools.combinations(range(len(g)), k):
        if i in subset or not mended:
            total += max(g[b] for b in subset if b != i)
    return total / math.comb(len(g), k)


def smaller_subsets(g: Rewards, k: int, i: int) -> Fraction:
    """The middle sum of eq. (34), over the subsets of k - 1 of the others; i from 0."""
    best = [max(subset) for subset in itertools.combinations(without(g, i), k - 1)]
    return sum(best, Fraction(0)) / math.comb(len(g), k)
