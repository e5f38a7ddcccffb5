"""The one algorithm: sort, take gaps, weigh, sum cumulatively from both ends, unsort.

A value needs the sorted rewards and their weights alone.

A `Request` says what is wanted; weights are made once for each request and size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np

from pkpo.core.backends import NUMPY, Array, Backend
from pkpo.core.objectives import Objective
from pkpo.core.weights import (
    Baseline,
    GapWeights,
    ValueWeights,
    advantage_weights,
    estimate_weights,
    required_size,
)
from pkpo.errors import UndefinedEstimateError

_BLOCK = 16384
"""Samples that NumPy transforms at a time, so that temporaries stay in cache."""

Weights = ValueWeights | GapWeights
Reduction = Literal["sum", "mean"]
SmallGroups = Literal["raise", "shrink", "zero", "nan"]


@dataclass(frozen=True, eq=False)
class Request:
    """What to calculate for each group. Hashed by identity, so that looking up is fast.

    Args:
        objective: what the group is worth.
        baseline: of the advantages, or None for the value of the objective itself.
        reduction: "mean" multiplies advantages by the number of counted samples.
        small_groups: what becomes of groups with fewer than `size` counted samples.
    """

    objective: Objective
    baseline: Baseline | None
    reduction: Reduction
    small_groups: SmallGroups

    @cached_property
    def size(self) -> int:
        """The smallest group that allows an unbiased answer."""
        if self.baseline is None:
            return self.objective.k
        return required_size(self.objective, self.baseline)

    def weights(self, n: int) -> Weights:
        """The weights of groups of n, `small_groups` and `reduction` applied."""
        if n < self.size and self.small_groups != "raise":
            return self._weights_of_small_group(n)
        if self.baseline is None:
            return estimate_weights(n, self.objective)
        weights = advantage_weights(n, self.objective, self.baseline)
        return weights if self.reduction == "sum" else weights * n

    def _weights_of_small_group(self, n: int) -> Weights:
        value = math.nan
        if self.small_groups == "shrink" and n > 0:
            spare = 1 if self.baseline in ("loo", "paper_loo") else 0
            objective = self.objective.shrink(max(n - spare, 1))
            if objective is None:
                value = 0.0
            elif n >= (smaller := replace(self, objective=objective)).size:
                return smaller.weights(n)
        if self.baseline is None:
            return ValueWeights(value, 0, np.zeros(n))
        return GapWeights(np.zeros((1, n)), np.zeros((1, n)))

    def check_sizes(self, sizes: np.ndarray, name: Callable[[int], object]) -> None:
        """Raise UndefinedEstimateError naming the first group that is too small, if that is
        what `small_groups` asks for."""
        if self.small_groups != "raise" or sizes.min(initial=self.size) >= self.size:
            return
        small = np.flatnonzero(sizes < self.size)
        place = int(small[0])
        raise UndefinedEstimateError(
            f"group {name(place)} has {sizes[place]} samples that count, but {self} needs "
            f"{self.size} ({len(small)} of {len(sizes)} groups are too small; small_groups= "
            "says how else to treat them)"
        )

    def __str__(self) -> str:
        if self.baseline is None:
            return f"an unbiased estimate of {self.objective}"
        return f"{self.objective} with baseline {self.baseline!r}"


def _on_device(weights: Weights, backend: Backend) -> Weights:
    """In the backend's arrays, with None for zero weights of gaps, which need no work."""
    floats = backend.floats
    if isinstance(weights, ValueWeights):
        pivot = weights.pivot
        pivot = pivot if isinstance(pivot, int) else backend.asarray(pivot)
        return ValueWeights(floats(weights.level), pivot, floats(weights.of_rewards))
    above, below = (floats(w) if w.any() else None for w in (weights.above, weights.below))
    return GapWeights(floats(weights.above) if below is None else above, below)


def _of_size(request: Request, n: int, backend: Backend) -> Weights:
    return _on_device(request.weights(n), backend)


def _of_sizes(request: Request, n: int, sizes: Sequence[int]) -> Weights:
    """Weights of groups of each size, one row a size, padded with zeros to groups of n."""
    rows: list[Any] = [request.weights(size) for size in sizes]
    if request.baseline is None:
        of_rewards = np.zeros((len(sizes), n))
        for row, weights in enumerate(rows):
            of_rewards[row, : sizes[row]] = weights.of_rewards
        level, pivot = (np.array([[getattr(w, f)] for w in rows]) for f in ("level", "pivot"))
        return ValueWeights(level, pivot, of_rewards)
    sides = max((len(weights.above) for weights in rows), default=1)
    above, below = np.zeros((2, len(sizes), sides, n))
    for row, weights in enumerate(rows):
        above[row, :, : sizes[row]], below[row, :, : sizes[row]] = weights.above, weights.below
    return GapWeights(above, below)


def _of_every_size(request: Request, n: int, backend: Backend) -> Weights:
    if request.small_groups == "raise":  # then there are none
        request = replace(request, small_groups="nan")
    return _on_device(_of_sizes(request, n, range(n + 1)), backend)


_cached_of_size = lru_cache(maxsize=256)(_of_size)
_cached_of_every_size = lru_cache(maxsize=16)(_of_every_size)


class _Table:
    """`_of_sizes` for the sizes seen so far."""

    def __init__(self, request: Request, n: int) -> None:
        self._request, self._n = request, n
        self._sizes: list[int] = []
        self._row_of_size = np.full(n + 1, -1)
        self._weights = _on_device(_of_sizes(request, n, []), NUMPY)
        self._lock = Lock()

    def rows(self, sizes: np.ndarray) -> tuple[np.ndarray, Weights]:
        """The rows of groups of the given sizes (R,), and the weights that they are rows of."""
        with self._lock:
            rows = self._row_of_size[sizes]
            if len(rows) and rows.min() < 0:
                new = np.unique(sizes[rows < 0])
                self._row_of_size[new] = len(self._sizes) + np.arange(len(new))
                self._sizes += new.tolist()
                made = _of_sizes(self._request, self._n, self._sizes)
                self._weights = _on_device(made, NUMPY)
                rows = self._row_of_size[sizes]
            return rows, self._weights


_table = lru_cache(maxsize=16)(_Table)


def _rows(weights: Weights, rows: Array, backend: Backend) -> Weights:
    """The weights of each group, from the weights of each size."""
    fields = [None if f is None else backend.rows(f, rows) for f in vars(weights).values()]
    return type(weights)(*fields)


def _value(weights: ValueWeights, ordered: Array, backend: Backend) -> Array:
    """(R, n) sorted -> (R, 1)."""
    if isinstance(weights.pivot, int):
        pivot = ordered[:, weights.pivot : weights.pivot + 1]
    else:
        pivot = backend.xp.take_along_axis(ordered, weights.pivot, axis=-1)
    deviations = backend.weighted_sum(ordered - pivot, weights.of_rewards)
    return weights.level * pivot + deviations


def _advantages(weights: GapWeights, ordered: Array, backend: Backend) -> Array:
    """(R, n) sorted -> (R, n) in that order."""
    above, below = weights.above, weights.below
    if (below if above is None else above).shape[-2] == 1:
        parts = (backend.gaps(ordered, 0.0),)
    else:
        lower, upper = backend.below_and_above_zero(ordered)
        parts = backend.gaps(lower, lower[:, -1:]), backend.gaps(upper, upper[:, :1])
    return backend.sum_both_ways(_terms(above, parts), _terms(below, parts))


def _terms(weights: Array | None, parts: Sequence[Array]) -> Array | None:
    if weights is None:
        return None
    terms = weights[..., 0, :] * parts[0]
    return terms if len(parts) == 1 else terms + weights[..., 1, :] * parts[1]


def _apply(
    weights: Weights,
    rewards: Array,
    counts: Array | None,
    mask: Array | None,
    backend: Backend,
    poison: bool,
) -> Array:
    if mask is not None:
        rewards = backend.filled(backend.as_floats(rewards), mask, math.inf)
    ordered, order = backend.sort(rewards)
    if counts is not None:
        ordered = backend.capped(ordered, counts)
    if isinstance(weights, ValueWeights):
        out = _value(weights, ordered, backend)
    else:
        out = _advantages(weights, ordered, backend)
    if poison:
        out = out + backend.xp.sum(ordered * 0.0, axis=-1, keepdims=True)
    if isinstance(weights, ValueWeights):
        return out
    out = backend.unsort(out, order)
    return out if mask is None else backend.filled(out, mask, 0.0)


def transform(
    request: Request,
    rewards: Array,
    backend: Backend,
    counts: Array | None = None,
    mask: Array | None = None,
    *,
    poison: bool = False,
) -> Array:
    """Rewards (R, n) -> advantages (R, n), or values (R, 1).

    Samples that don't count are given inf. Once sorted they stand above the counted ones,
    take the largest counted reward, and add gaps of zero: the weights of the smaller group
    apply as they stand.

    Args:
        counts: (R,) samples that count in each group, if not all do.
        mask: (R, n) true for these; without it the others are inf already, and what they
            are given means nothing.
        poison: for rewards that nobody checked: a NaN or inf turns its whole group, and no
            other, into NaN.
    """
    n = rewards.shape[1]
    if backend is not NUMPY:
        if counts is None:
            weights = (_cached_of_size if backend.lasting else _of_size)(request, n, backend)
        else:
            made = _cached_of_every_size if backend.lasting else _of_every_size
            weights = _rows(made(request, n, backend), counts, backend)
        return _apply(weights, rewards, counts, mask, backend, poison)
    if counts is None:
        rows, weights = None, _cached_of_size(request, n, backend)
    else:
        rows, weights = _table(request, n).rows(counts)

    def calculate(block: slice) -> Array:
        own = weights if rows is None else _rows(weights, rows[block], backend)
        counts_R, mask_RN = (None if array is None else array[block] for array in (counts, mask))
        return _apply(own, rewards[block], counts_R, mask_RN, backend, poison)

    if rewards.size <= _BLOCK:
        return calculate(slice(None))
    dtype = rewards.dtype if rewards.dtype.kind == "f" else np.float64
    out = np.empty((len(rewards), 1 if request.baseline is None else n), dtype)
    stride = max(1, _BLOCK // n)
    for start in range(0, len(rewards), stride):
        block = slice(start, start + stride)
        out[block] = calculate(block)
    return out
