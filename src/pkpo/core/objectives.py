"""Objectives: what a group of samples is worth.

Every objective here is linear in the order statistics of k samples,

    J = E[ sum_r c_r g_(r:k) ],      g_(1:k) <= ... <= g_(k:k)  the rewards of k i.i.d. samples,

or a weighted sum of such terms. The best of k is c = (0, ..., 0, 1), all of k is
c = (1, 0, ..., 0). Gradients are linear in the objective, so sums of objectives need no
new estimator.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

from pkpo.errors import InvalidInputError, UndefinedEstimateError


@dataclass(frozen=True)
class MaxAt:
    """Best of k."""

    k: int

    @property
    def coefficients(self) -> tuple[float, ...]:
        return (0.0,) * (self.k - 1) + (1.0,)

    def __str__(self) -> str:
        return f"max@{self.k}"


@dataclass(frozen=True)
class MinAt:
    """Worst of k; for 0/1 rewards pass^k, the chance that all k are correct."""

    k: int

    @property
    def coefficients(self) -> tuple[float, ...]:
        return (1.0,) + (0.0,) * (self.k - 1)

    def __str__(self) -> str:
        return f"min@{self.k}"


@dataclass(frozen=True)
class TopMean:
    """Mean of the best m of k."""

    m: int
    k: int

    @property
    def coefficients(self) -> tuple[float, ...]:
        return (0.0,) * (self.k - self.m) + (1.0 / self.m,) * self.m

    def __str__(self) -> str:
        return f"top_mean({self.m}, {self.k})"


@dataclass(frozen=True)
class OrderStatistics:
    """Weighted sum of the sorted rewards of k samples."""

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", tuple(map(_float, self.coefficients)))

    @property
    def k(self) -> int:
        return len(self.coefficients)

    def __str__(self) -> str:
        return f"order_statistics({', '.join(map(repr, self.coefficients))})"


@dataclass(frozen=True)
class LogPass:
    """Log-likelihood of success truncated after `terms` terms: sum_{j<=terms} max@j / j."""

    terms: int

    @property
    def k(self) -> int:
        return self.terms

    def __str__(self) -> str:
        return f"log_pass({self.terms})"


@dataclass(frozen=True)
class Mean:
    """Expected reward, pass@1."""

    k: ClassVar[int] = 1
    coefficients: ClassVar[tuple[float, ...]] = (1.0,)

    def __str__(self) -> str:
        return "mean"


SimpleTerm = MaxAt | MinAt | TopMean | OrderStatistics | Mean
Term = SimpleTerm | LogPass
_ORDER = (MaxAt, MinAt, TopMean, OrderStatistics, LogPass, Mean)


def _shrunk(term: Term, k: int) -> Objective:
    """The term with its k lowered to at most `k`."""
    match term:
        case MaxAt(own):
            return max_at(min(own, k))
        case MinAt(own):
            return min_at(min(own, k))
        case TopMean(m, own):
            return top_mean(min(m, own, k), min(own, k))
        case LogPass(own):
            return log_pass(min(own, k))
        case OrderStatistics(weights) if k < len(weights):
            raise UndefinedEstimateError(
                f"{term} can't be shrunk to k = {k}: its weights name {len(weights)} ranks; "
                "drop or zero the small groups instead"
            )
    return _single(term)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms. Build it with `max_at`, `mean_reward` and the like, then
    combine with `+`, `-` and multiplication by a number.

    Objectives are immutable, compare and hash by value, and `str` gives text that
    `parse_objective` reads back. Terms are merged and put into one order, and the
    spellings of the mean (`max_at(1)`, `min_at(1)`, `top_mean(k, k)`) and of the
    maximum (`top_mean(1, k)`) are one objective; other algebraic identities, such as
    max@2 + min@2 = 2 mean, are not looked for.

    Args:
        terms: pairs (weight, term).

    Raises:
        InvalidInputError: a weight is no finite number, or nothing is left after merging.

    >>> 0.5 * max_at(8) + 0.5 * mean_reward()
    Objective('0.5*max@8 + 0.5*mean')
    >>> max_at(4) + max_at(4) == 2 * max_at(4)
    True
    """

    terms: tuple[tuple[float, Term], ...]

    def __post_init__(self) -> None:
        merged: dict[Term, float] = {}
        for weight, term in self.terms:
            merged[term] = merged.get(term, 0.0) + _float(weight)
        if not all(map(math.isfinite, merged.values())):
            raise InvalidInputError(f"objective weights must be finite, got {self.terms}")
        kept = [(weight, term) for term, weight in merged.items() if weight != 0]
        if not kept:
            raise InvalidInputError("an objective needs at least one term with a nonzero weight")
        kept.sort(key=lambda pair: (_ORDER.index(type(pair[1])), -pair[1].k, str(pair[1])))
        object.__setattr__(self, "terms", tuple(kept))

    @property
    def k(self) -> int:
        """The largest number of samples that any term draws."""
        return max(term.k for _, term in self.terms)

    @property
    def simple_terms(self) -> tuple[tuple[float, SimpleTerm], ...]:
        """The terms with `log_pass` written out as its mixture of max@j."""
        pairs: list[tuple[float, SimpleTerm]] = []
        for weight, term in self.terms:
            if isinstance(term, LogPass):
                pairs.append((weight, Mean()))
                pairs += [(weight / j, MaxAt(j)) for j in range(2, term.terms + 1)]
            else:
                pairs.append((weight, term))
        return tuple(pairs)

    def shrink(self, k: int) -> Objective | None:
        """The objective with every term's k lowered to at most `k` (k >= 1), or None where
        the smaller terms cancel, as those of max@3 - max@2 do at k = 2.

        Raises:
            UndefinedEstimateError: a term has no natural smaller form (`order_statistics`).
        """
        totals: dict[Term, float] = {}
        for weight, term in self.terms:
            for inner_weight, inner in _shrunk(term, k).terms:
                totals[inner] = totals.get(inner, 0.0) + weight * inner_weight
        if not any(totals.values()):
            return None
        return Objective(tuple((weight, term) for term, weight in totals.items()))

    def __add__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return Objective(self.terms + other.terms)

    def __radd__(self, other: object) -> Objective:
        """0 + self, with which `sum` begins."""
        return self if type(other) is int and other == 0 else NotImplemented

    def __sub__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return self + -1.0 * other

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __mul__(self, factor: float) -> Objective:
        if not isinstance(factor, Real) or isinstance(factor, bool):
            return NotImplemented
        return Objective(tuple((_float(factor) * weight, term) for weight, term in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Objective:
        if not isinstance(divisor, Real) or isinstance(divisor, bool):
            return NotImplemented
        if divisor == 0:
            raise InvalidInputError("an objective can't be divided by zero")
        return self * (1.0 / _float(divisor))

    def __str__(self) -> str:
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = abs(weight)
            factor = "" if size == 1 else f"{repr(size).removesuffix('.0')}*"
            joint = f" {sign} " if text else ("-" if weight < 0 else "")
            text += f"{joint}{factor}{term}"
        return text

    def __repr__(self) -> str:
        return f"Objective({str(self)!r})"


def _float(weight: object) -> float:
    if isinstance(weight, Real) and not isinstance(weight, bool):
        try:
            return float(weight)
        except OverflowError:
            pass
    raise InvalidInputError(f"objective weights must be finite numbers, got {weight!r:.60}")


def checked_k(value: object, name: str = "k") -> int:
    """`value` as an int >= 1, or InvalidInputError. Bools and floats are refused."""
    try:
        k = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        k = None
    if k is None or isinstance(value, bool) or k < 1:
        raise InvalidInputError(f"{name} must be an integer >= 1, got {value!r}")
    return k


def _single(term: Term) -> Objective:
    return Objective(((1.0, term),))


def mean_reward() -> Objective:
    """Expected reward of one sample, pass@1: what REINFORCE, PPO and GRPO maximise.

    >>> str(mean_reward())
    'mean'
    """
    return _single(Mean())


def max_at(k: int) -> Objective:
    """Expected best reward of k samples; pass@k where rewards are 0 or 1.

    Source: 2505.15201, eq. (1) and (11).

    >>> str(max_at(8)), max_at(1) == mean_reward()
    ('max@8', True)
    """
    k = checked_k(k)
    return mean_reward() if k == 1 else _single(MaxAt(k))


pass_at = max_at


def min_at(k: int) -> Objective:
    """Expected worst reward of k samples; for 0/1 rewards pass^k, all of k correct.

    >>> str(min_at(4))
    'min@4'
    """
    k = checked_k(k)
    return mean_reward() if k == 1 else _single(MinAt(k))


def top_mean(m: int, k: int) -> Objective:
    """Expected mean of the best m of k samples.

    >>> str(top_mean(2, 8)), top_mean(1, 8) == max_at(8)
    ('top_mean(2, 8)', True)
    """
    m, k = checked_k(m, "m"), checked_k(k)
    if m > k:
        raise InvalidInputError(f"top_mean needs m <= k, got m = {m}, k = {k}")
    if m == k:
        return mean_reward()
    return max_at(k) if m == 1 else _single(TopMean(m, k))


def order_statistics(weights: Sequence[float] | Iterable[float]) -> Objective:
    """E[sum_r weights[r-1] * (r-th smallest reward of k samples)], k = len(weights).

    >>> str(order_statistics([0, 1, 0]))  # the median of three
    'order_statistics(0.0, 1.0, 0.0)'
    """
    try:
        coefficients = tuple(float(weight) + 0.0 for weight in weights)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"order_statistics needs numbers, got {weights!r}") from error
    if not coefficients:
        raise InvalidInputError("order_statistics needs at least one weight")
    if not all(map(math.isfinite, coefficients)):
        raise InvalidInputError(f"order_statistics weights must be finite, got {coefficients}")
    k = len(coefficients)
    if len(set(coefficients)) == 1:
        return k * coefficients[0] * mean_reward()
    if not any(coefficients[:-1]):
        return coefficients[-1] * max_at(k)
    if not any(coefficients[1:]):
        return coefficients[0] * min_at(k)
    return _single(OrderStatistics(coefficients))


def log_pass(terms: int) -> Objective:
    """log P(success) truncated after `terms` terms: sum_{j=1..terms} max@j / j, up to a constant.

    From log p = -sum_j (1-p)^j / j; MaxRL's objective. `terms=1` is the mean.

    >>> str(log_pass(8))
    'log_pass(8)'
    """
    terms = checked_k(terms, "terms")
    return mean_reward() if terms == 1 else _single(LogPass(terms))
