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
from typing import Any, Literal, Self, get_args

import numpy as np

from pkpo.core.backends import Array, Backend
from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective, SimpleTerm
from pkpo.errors import InvalidInputError, UndefinedEstimateError

Baseline = Literal["none", "loo", "loo_minus_one", "paper_loo"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@dataclass(frozen=True)
class _Weights:
    """For groups of one size; or, in arrays with a first axis more, for rows of groups."""

    def rows(self, rows: Array, backend: Backend) -> Self:
        """Those of each group, from those of each size."""
        fields = vars(self).values()
        return type(self)(
            *(None if f is None else backend.xp.take(f, rows, axis=0) for f in fields)
        )


@dataclass(frozen=True)
class ValueWeights(_Weights):
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

    def on(self, backend: Backend) -> ValueWeights:
        """In the backend's arrays."""
        pivot = self.pivot if isinstance(self.pivot, int) else backend.asarray(self.pivot)
        return ValueWeights(backend.floats(self.level), pivot, backend.floats(self.of_rewards))

    def __call__(self, ordered: Array, backend: Backend) -> Array:
        """(R, n) sorted rewards -> (R, 1)."""
        if isinstance(self.pivot, int):
            pivot = ordered[:, self.pivot : self.pivot + 1]
        else:
            pivot = backend.xp.take_along_axis(ordered, self.pivot, axis=-1)
        return self.level * pivot + backend.weighted_sum(ordered - pivot, self.of_rewards)


@dataclass(frozen=True)
class GapWeights(_Weights):
    """Weights of the advantages in groups of n.

    Columns 1, ..., n - 1 belong to the gaps. There is one row, or, where a shift of the
    rewards changes the advantages, one for what lies below zero and one for what lies above;
    column 0 then belongs to the reward next to zero if all have one sign.

    Args:
        above: (1 or 2, n) float64, in the advantages of the samples above the gap; None if
            all are zero, which needs no work.
        below: (1 or 2, n) float64, in those of the samples below it; column 0 is zero.
    """

    above: Any
    below: Any

    @classmethod
    def of_gaps(cls, above: Any, below: Any, level: float = 0.0) -> GapWeights:
        """From (1 or 2, n-1) and what every advantage rises by if all rewards rise by 1."""
        return cls(np.insert(above, 0, level, axis=-1), np.insert(below, 0, 0.0, axis=-1))

    def __add__(self, other: GapWeights) -> GapWeights:
        return GapWeights(self.above + other.above, self.below + other.below)

    def __mul__(self, factor: float) -> GapWeights:
        return GapWeights(factor * self.above, factor * self.below)

    def on(self, backend: Backend) -> GapWeights:
        """In the backend's arrays."""
        above, below = (backend.floats(w) if w.any() else None for w in (self.above, self.below))
        return GapWeights(backend.floats(self.above) if below is None else above, below)

    def __call__(self, ordered: Array, backend: Backend) -> Array:
        """(R, n) sorted rewards -> (R, n) advantages in that order."""
        shape = (self.below if self.above is None else self.above).shape
        if shape[-2] == 1:
            parts = [backend.gaps(ordered, None)]
        else:
            zero = backend.xp.zeros_like(ordered)
            lower, upper = backend.xp.minimum(ordered, zero), backend.xp.maximum(ordered, zero)
            parts = [backend.gaps(lower, lower[:, -1:]), backend.gaps(upper, upper[:, :1])]
        return backend.sum_both_ways(_terms(self.above, parts), _terms(self.below, parts))


def _terms(weights: Array | None, parts: Sequence[Array]) -> Array | None:
    if weights is None:
        return None
    terms = weights[..., 0, :] * parts[0]
    return terms if len(parts) == 1 else terms + weights[..., 1, :] * parts[1]


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


def check_baseline(objective: Objective, baseline: object) -> None:
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


def _average_of_subsets(term: SimpleTerm, n: int) -> np.ndarray:
    """rho, eq. (12): the weights (n,) of the sorted rewards in the mean over all subsets of k.

    For max@k C(i-1,k-1) / C(n,k), the share of subsets of which the i-th is the largest.
    """
    return term.k / n * bernstein(term.coefficients, n - 1)


def _sum_of_subsets(term: SimpleTerm, n: int) -> GapWeights:
    """s_i, eq. (19): the sum over all subsets that hold the sample, over their number C(n,k).

    The sample itself weighs m_ii = C(i-1,k-1) for max@k, one above it m_ij = C(j-2,k-2), one
    below it nothing; for other terms the ones below weigh something too, by their rank. All
    weights are >= 0 if the objective's are.
    """
    k, c = term.k, term.coefficients
    own = _average_of_subsets(term, n)
    lower = higher = np.zeros(n - 1)
    if k > 1:
        share = k * (k - 1) / (n * (n - 1))
        lower, higher = share * bernstein(c[:-1], n - 2), share * bernstein(c[1:], n - 2)
    up_to, beyond = np.cumsum(lower), np.cumsum(higher[::-1])[::-1]
    return GapWeights.of_gaps(
        above=[-up_to, own[1:] + np.append(beyond[1:], 0.0)[: n - 1]],
        below=[-own[:-1] - np.append(0.0, up_to[:-1])[: n - 1], beyond],
        level=k / n * sum(c),
    )


def _centred(term: SimpleTerm, n: int) -> GapWeights:
    """s_i - (k/n) rho(g without i) = n/(n-k) (s_i - mean of s); sums to zero over the group."""
    step = term.k / (n - 1) * bernstein(term.coefficients, n - 2)
    share = np.arange(1, n) / n
    return GapWeights.of_gaps([share * step], [-share[::-1] * step])


def _leave_one_out(term: SimpleTerm, n: int) -> GapWeights:
    """s_i^(loo), eq. (29): s_i - k/(n-1) rho(g without i), which is the centred form less
    k / (n (n-1)) rho(g without i)."""
    factor = term.k / (n * (n - 1))
    of_others = _average_of_subsets(term, n - 1)
    up_to = factor * np.cumsum(of_others)
    beyond = factor * np.cumsum(of_others[::-1])[::-1]
    baseline = GapWeights.of_gaps(
        above=[up_to, -np.append(beyond[1:], 0.0)],
        below=[np.append(0.0, up_to[:-1]), -beyond],
        level=-factor * float(sum(term.coefficients)),
    )
    return _centred(term, n) + baseline


def _leave_one_out_of_subset(term: SimpleTerm, n: int) -> GapWeights:
    """s_i^(loo-1), eq. (33): each subset's value less its value without the sample.

    For max@k a subset loses something only by its largest sample: the gap above the i-th is
    lost in the C(i-1,k-1) subsets that hold its upper end and k-1 of the i below it.
    """
    if isinstance(term, Mean):
        # With k = 1 the smaller subset is empty; its place takes the others' mean, eq. (26) over n.
        return _centred(term, n)
    step = term.k / n * top_bernstein(term.k, n - 1)[1:]
    zeros = np.zeros((1, n - 1))
    if isinstance(term, MaxAt):
        return GapWeights.of_gaps([step], zeros)
    return GapWeights.of_gaps(zeros, [-step[::-1]])


_WEIGHTS_OF_BASELINE = {
    "none": _sum_of_subsets,
    "loo": _centred,
    "loo_minus_one": _leave_one_out_of_subset,
    "paper_loo": _leave_one_out,
}


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=1024)
def estimate_weights(n: int, objective: Objective) -> ValueWeights:
    """Weights of the unbiased value.

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
        level += weight * float(sum(term.coefficients))
        of_rewards += weight * _average_of_subsets(term, n)
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
