"""Slow, exact references for `pkpo.offpolicy`, with which they share no code.

As in `oracles`: fractions, and sums over all subsets by definition; for larger groups, sums
over subsets by the recursion over samples in exact arithmetic, where what a sample
contributes is the sum over all samples less the sum without it.
"""

import itertools
import math
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

from oracles import Kernel, Number, Term

BASELINES = ("none", "loo", "loo_minus_one")


def exp(logarithm: float) -> Fraction:
    """To 80 digits."""
    context = Context(prec=80, Emax=10**9, Emin=-(10**9))
    return Fraction(context.exp(Decimal(logarithm)))


# Enumeration. `ratios` are fractions, one a sample; `members` are sets of positions.


def weight(ratios: Sequence[Number], members: Sequence[int]) -> Fraction:
    return math.prod((Fraction(ratios[j]) for j in members), start=Fraction(1))


def _subsets(n: int, k: int, without: int | None = None) -> list[tuple[int, ...]]:
    return list(itertools.combinations([j for j in range(n) if j != without], k))


def _worth(rewards: Sequence[Number], term: Term, members: Sequence[int]) -> Fraction:
    return Fraction(term.of([rewards[j] for j in members]))


@lru_cache(maxsize=5000)
def _value(rewards: tuple[Number, ...], ratios: tuple[Number, ...], term: Term) -> Fraction:
    subsets = _subsets(len(rewards), term.k)
    total = sum(
        (weight(ratios, members) * _worth(rewards, term, members) for members in subsets),
        Fraction(0),
    )
    return total / len(subsets)


def estimate(
    rewards: Sequence[Number],
    ratios: Sequence[Number],
    kernel: Kernel,
    normalise: bool = False,
) -> Fraction:
    total = Fraction(0)
    for term in kernel:
        part = _value(tuple(rewards), tuple(ratios), term.unit)
        if normalise:
            part /= _value((1,) * len(rewards), tuple(ratios), term.unit)
        total += term.coefficient * part
    return total


def advantages(
    rewards: Sequence[Number], ratios: Sequence[Number], kernel: Kernel, baseline: str
) -> list[Fraction]:
    found = [Fraction(0)] * len(rewards)
    for term in kernel:
        for i in range(len(rewards)):
            of_term = _advantage(tuple(rewards), tuple(ratios), term.unit, baseline, i)
            found[i] += term.coefficient * of_term
    return found


@lru_cache(maxsize=5000)
def _advantage(
    rewards: tuple[Number, ...], ratios: tuple[Number, ...], term: Term, baseline: str, i: int
) -> Fraction:
    n, k = len(rewards), term.k
    of_others = Fraction(0)
    if baseline == "loo" or (baseline == "loo_minus_one" and k == 1):
        others = _subsets(n, k, without=i)
        mass = sum((weight(ratios, members) for members in others), Fraction(0))
        of_others = (
            sum((weight(ratios, m) * _worth(rewards, term, m) for m in others), Fraction(0)) / mass
        )
    total = Fraction(0)
    for rest in _subsets(n, k - 1, without=i):
        members = (*rest, i)
        subtracted = of_others
        if baseline == "loo_minus_one" and k > 1:
            chosen = [rewards[j] for j in rest]
            subtracted = Fraction(max(chosen) if term.is_maximum else min(chosen))
        total += weight(ratios, members) * (_worth(rewards, term, members) - subtracted)
    return total / math.comb(n, k)


def unbiased_variance(
    rewards: Sequence[Number], ratios: Sequence[Number], kernel: Kernel
) -> Fraction:
    """The squared estimate less its average over pairs of disjoint subsets."""
    n = len(rewards)
    square = Fraction(0)
    for one, two in itertools.product(kernel, repeat=2):
        total, count = Fraction(0), 0
        for first in _subsets(n, one.k):
            left = [j for j in range(n) if j not in first]
            for second in itertools.combinations(left, two.k):
                count += 1
                total += (
                    weight(ratios, first + second)
                    * _worth(rewards, one, first)
                    * _worth(rewards, two, second)
                )
        square += one.coefficient * two.coefficient * total / count
    return estimate(rewards, ratios, kernel) ** 2 - square


def jackknife_variance(
    rewards: Sequence[Number], ratios: Sequence[Number], kernel: Kernel
) -> Fraction:
    n = len(rewards)
    full = estimate(rewards, ratios, kernel)
    total = Fraction(0)
    for i in range(n):
        left = [j for j in range(n) if j != i]
        without = estimate([rewards[j] for j in left], [ratios[j] for j in left], kernel)
        total += (without - full) ** 2
    return total * Fraction(n - 1, n)


def effective_sample_size(ratios: Sequence[Number], k: int) -> Fraction:
    weights = [weight(ratios, members) for members in _subsets(len(ratios), k)]
    share = sum(weights, Fraction(0)) ** 2 / (len(weights) * sum(w * w for w in weights))
    return len(ratios) * share


# Recursion, for max@k.


@lru_cache(maxsize=200)
def _totals(pairs: tuple[tuple[Fraction, Fraction], ...], k: int) -> tuple[Fraction, Fraction]:
    """Over the subsets of size k of (reward, ratio) sorted by reward: the sum of their weights,
    and that of weight times largest reward."""
    sums = [Fraction(1)] + [Fraction(0)] * k
    value = Fraction(0)
    for reward, ratio in pairs:
        if k:
            value += reward * ratio * sums[k - 1]
        for j in range(k, 0, -1):
            sums[j] += ratio * sums[j - 1]
    return sums[k], value


def exact_estimate(rewards: Sequence[float], ratios: Sequence[Fraction], k: int) -> Fraction:
    pairs = tuple(sorted(zip(map(Fraction, rewards), ratios, strict=True)))
    return _totals(pairs, k)[1] / math.comb(len(rewards), k)


def exact_advantages(
    rewards: Sequence[float], ratios: Sequence[Fraction], k: int, baseline: str
) -> list[Fraction]:
    pairs = list(zip(map(Fraction, rewards), ratios, strict=True))
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    everything = _totals(tuple(pairs[j] for j in order), k)[1]
    found = []
    for i in range(len(pairs)):
        others = tuple(pairs[j] for j in order if j != i)
        mass_k, value_k = _totals(others, k)
        mass, value = _totals(others, k - 1)
        result = everything - value_k
        if baseline == "loo" or (baseline == "loo_minus_one" and k == 1):
            result -= pairs[i][1] * mass * value_k / mass_k
        elif baseline == "loo_minus_one":
            result -= pairs[i][1] * value
        found.append(result / math.comb(len(pairs), k))
    return found
