"""Weights: the coefficients that turn sorted rewards into values and advantages.

With the rewards of a group sorted, g_(1) <= ... <= g_(n), and gaps d_i = g_(i+1) - g_(i):

    value        rho   = sum_i w_i * g_(i)
    advantages   a_(j) = sum_{i<j} above_i * d_i + sum_{i>=j} below_i * d_i

where a shift of the rewards leaves the advantages alone. Where it doesn't, rewards are
measured from zero: the gaps' parts below and above zero have weights of their own, and so
has the reward next to zero where all have one sign. Each sum then has the size of the terms
that make up a_(j), whatever the other rewards are: nothing cancels.

The weights depend on (n, objective, baseline) alone. All of them follow from one
operation. A term E[sum_r c_r g_(r:k)] has the weight density phi(t) = k sum_r c_r B_{r-1}(t)
over the quantiles t of the reward, a polynomial of degree k - 1 in Bernstein form; and the
chance that a sample of rank m + 1 among N + 1 has rank r among k drawn from them is
hypergeometric, which is degree elevation of that polynomial from k - 1 to N
(`bernstein`). Elevation only averages neighbours, so nothing overflows, and errors stay
within rounding of the largest coefficient.
docs/mathematics.md derives each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective, SimpleTerm
from pkpo.errors import InvalidInputError, UndefinedEstimateError

Baseline = Literal["none", "loo", "loo_minus_one", "paper_loo"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@dataclass(frozen=True)
class ValueWeights:
    """Weights of the value of groups of n.

    Args:
        level: sum of `of_rewards`.
        pivot: index of their weighted median. A sorted reward there is never much larger
            than the weighted mean of all rewards' sizes, so taking differences from it
            loses nothing to outliers, and groups of equal rewards come out exactly.
        of_rewards: (n,) float64, by rank.
    """

    level: Any
    pivot: Any
    of_rewards: Any


@dataclass(frozen=True)
class GapWeights:
    """Weights of the advantages in groups of n.

    Columns 1, ..., n - 1 belong to the gaps. There is one row, or, where a shift of the
    rewards changes the advantages, one for what lies below zero and one for what lies above;
    column 0 then belongs to the reward next to zero if all have one sign.

    Args:
        above: (1 or 2, n) float64, in the advantages of the samples above the gap.
        below: (1 or 2, n) float64, in those of the samples below it; column 0 is zero.
    """

    above: Any
    below: Any

    def __add__(self, other: GapWeights) -> GapWeights:
        return GapWeights(self.above + other.above, self.below + other.below)

    def __mul__(self, factor: float) -> GapWeights:
        return GapWeights(factor * self.above, factor * self.below)


def _gap_weights(above: Any, below: Any, level: float = 0.0) -> GapWeights:
    """From rows (1 or 2, n-1) and what every advantage rises by if all rewards rise by 1."""
    return GapWeights(np.insert(above, 0, level, axis=-1), np.insert(below, 0, 0.0, axis=-1))


def top_bernstein(k: int, degree: int) -> np.ndarray:
    """C(m, k-1) / C(degree, k-1) for m = 0..degree, by ratios from the top."""
    values = np.zeros(degree + 1)
    values[degree] = 1.0
    m = np.arange(degree, k - 1, -1, dtype=np.float64)
    values[k - 1 : degree] = np.cumprod((m - k + 1) / m)[::-1]
    return values


def elevate(coefficients: np.ndarray, degree: int) -> np.ndarray:
    """Bernstein coefficients of the same polynomial at a higher degree, O(degree^2)."""
    values = coefficients
    for m in range(len(coefficients), degree + 1):
        share = np.arange(m + 1) / m
        lower = np.append(0.0, values)
        upper = np.append(values, 0.0)
        values = share * lower + (1.0 - share) * upper
    return values


def bernstein(coefficients: Sequence[float], degree: int) -> np.ndarray:
    """E[c_{1+H}] with H ~ Hypergeometric(degree, m, k-1), for m = 0..degree; degree >= k-1."""
    c = np.asarray(coefficients)
    if not c[:-1].any():
        return c[-1] * top_bernstein(len(c), degree)
    if not c[1:].any():
        return c[0] * top_bernstein(len(c), degree)[::-1]
    return elevate(c, degree)


def required_size(objective: Objective, baseline: Baseline) -> int:
    """The smallest group for which every term has an unbiased estimate with this baseline."""
    if baseline == "none":
        return objective.k
    if baseline == "loo_minus_one":
        has_mean = any(isinstance(term, Mean) for _, term in objective.simple_terms)
        return max(objective.k, 2 if has_mean else 1)
    return objective.k + 1


def check_baseline(objective: Objective, baseline: str) -> None:
    """Raise where `baseline` is unknown, or undefined for `objective` at every n."""
    if baseline not in BASELINES:
        raise InvalidInputError(f"baseline must be one of {BASELINES}, got {baseline!r}")
    if baseline != "loo_minus_one":
        return
    for _, term in objective.simple_terms:
        if not isinstance(term, MaxAt | MinAt | Mean):
            raise UndefinedEstimateError(
                f"baseline 'loo_minus_one' is defined for max, min, mean and their mixtures, "
                f"not for {term}; use baseline='loo' (needs k < n) or 'none'"
            )


def _sum_of_subsets(term: SimpleTerm, n: int) -> GapWeights:
    """s, eq. (19) and (27): the sum over all subsets of size k that hold the sample.

    It weighs the sample itself by its rank, and the others by theirs and by which side of
    them the sample is on. All weights are >= 0 if the objective's are.
    """
    k, c = term.k, term.coefficients
    own = k / n * bernstein(c, n - 1)
    lower = higher = np.zeros(n - 1)
    if k > 1:
        share = k * (k - 1) / (n * (n - 1))
        lower, higher = share * bernstein(c[:-1], n - 2), share * bernstein(c[1:], n - 2)
    up_to, beyond = np.cumsum(lower), np.cumsum(higher[::-1])[::-1]
    return _gap_weights(
        above=[-up_to, own[1:] + np.append(beyond[1:], 0.0)[: n - 1]],
        below=[-own[:-1] - np.append(0.0, up_to[:-1])[: n - 1], beyond],
        level=k / n * sum(c),
    )


def _centred_leave_one_out(term: SimpleTerm, n: int) -> GapWeights:
    """s_i - (k/n) rho(g without i) = n/(n-k) (s_i - mean of s); sums to zero over the group."""
    step = term.k / (n - 1) * bernstein(term.coefficients, n - 2)
    share = np.arange(1, n) / n
    return _gap_weights([share * step], [-share[::-1] * step])


def _leave_one_out_of_subset(term: SimpleTerm, n: int) -> GapWeights:
    """s^(loo-1), eq. (33): the subset's value less its value without the sample."""
    if isinstance(term, Mean):
        # With k = 1 the smaller subset is empty; its place takes the others' mean, eq. (26) over n.
        return _centred_leave_one_out(term, n)
    step = term.k / n * top_bernstein(term.k, n - 1)[1:]
    zeros = np.zeros((1, n - 1))
    if isinstance(term, MaxAt):
        return _gap_weights([step], zeros)
    return _gap_weights(zeros, [-step[::-1]])


def _leave_one_out(term: SimpleTerm, n: int) -> GapWeights:
    """s^(loo), eq. (29): the centred form less k / (n (n-1)) * rho(g without i)."""
    factor = term.k / (n * (n - 1))
    level, of_rewards = _value(term, n - 1)
    up_to = factor * np.cumsum(of_rewards)
    beyond = factor * np.cumsum(of_rewards[::-1])[::-1]
    baseline = _gap_weights(
        above=[up_to, -np.append(beyond[1:], 0.0)],
        below=[np.append(0.0, up_to[:-1]), -beyond],
        level=-factor * level,
    )
    return _centred_leave_one_out(term, n) + baseline


_WEIGHTS_OF_BASELINE = {
    "none": _sum_of_subsets,
    "loo": _centred_leave_one_out,
    "loo_minus_one": _leave_one_out_of_subset,
    "paper_loo": _leave_one_out,
}


def _value(term: SimpleTerm, n: int) -> tuple[float, np.ndarray]:
    """Sum of the weights, and the weight of each sorted reward (n,), eq. (12)."""
    return float(sum(term.coefficients)), term.k / n * bernstein(term.coefficients, n - 1)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=1024)
def estimate_weights(n: int, objective: Objective) -> ValueWeights:
    """Weights of the unbiased value, eq. (12) for max@k.

    Raises:
        UndefinedEstimateError: n < k. A polynomial of degree k in the chance of success has
            no unbiased estimate from fewer than k samples (Theorem 8); sums of terms whose
            leading powers cancel are refused as well.
    """
    if n < objective.k:
        raise UndefinedEstimateError(
            f"an unbiased estimate of {objective} needs groups of at least {objective.k} "
            f"samples, got {n}"
        )
    level, of_rewards = 0.0, np.zeros(n)
    for weight, term in objective.simple_terms:
        total, of_term = _value(term, n)
        level, of_rewards = level + weight * total, of_rewards + weight * of_term
    mass = np.cumsum(np.abs(of_rewards))
    pivot = int(np.searchsorted(mass, mass[-1] / 2))
    return ValueWeights(level, pivot, _frozen(of_rewards))


@lru_cache(maxsize=1024)
def advantage_weights(n: int, objective: Objective, baseline: Baseline) -> GapWeights:
    """Weights of the advantages whose sum_i a_i grad log p(x_i) is an unbiased gradient.

    Cost: O(n) for each max, min and mean term, O(n^2) for the others, once.

    Raises:
        UndefinedEstimateError: the group is too small for the objective and baseline.
        InvalidInputError: unknown baseline.
    """
    check_baseline(objective, baseline)
    size = required_size(objective, baseline)
    if n < size:
        hint = "; at k = n use baseline='loo_minus_one' or 'none'" if n == objective.k > 1 else ""
        raise UndefinedEstimateError(
            f"{objective} with baseline {baseline!r} needs at least {size} samples a group, "
            f"got {n}{hint}"
        )
    total = GapWeights(np.zeros((1, n)), np.zeros((1, n)))
    for weight, term in objective.simple_terms:
        total = total + _WEIGHTS_OF_BASELINE[baseline](term, n) * weight
    return GapWeights(_frozen(total.above), _frozen(total.below))
