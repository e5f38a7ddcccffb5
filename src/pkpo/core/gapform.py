"""The one algorithm: sort, take gaps, weigh, sum cumulatively from both ends, unsort.

A `Request` says what is wanted; weights are made once for each request and size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
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


def _of_size(request: Request, n: int, backend: Backend) -> Weights:
    return request.weights(n).on(backend)


def _of_sizes(request: Request, n: int, sizes: Sequence[int], backend: Backend) -> Weights:
    """Weights of groups of each size, one row a size, padded with zeros to groups of n."""
    made: list[Any] = [request.weights(size) for size in sizes]
    if request.baseline is None:
        of_rewards = np.zeros((len(sizes), n))
        for row, weights in zip(of_rewards, made):
            row[: len(weights.of_rewards)] = weights.of_rewards
        level, pivot = (np.array([[getattr(w, f)] for w in made]) for f in ("level", "pivot"))
        return ValueWeights(level, pivot, of_rewards).on(backend)
    sides = max((len(weights.above) for weights in made), default=1)
    above, below = np.zeros((2, len(sizes), sides, n))
    for row, (size, weights) in enumerate(zip(sizes, made)):
        above[row, :, :size], below[row, :, :size] = weights.above, weights.below
    return GapWeights(above, below).on(backend)


def _of_every_size(request: Request, n: int, backend: Backend) -> Weights:
    if request.small_groups == "raise":  # then there are none
        request = replace(request, small_groups="nan")
    return _of_sizes(request, n, range(n + 1), backend)


_kept_of_size = lru_cache(maxsize=256)(_of_size)
_kept_of_every_size = lru_cache(maxsize=16)(_of_every_size)


class _SizesSeen:
    """`_of_sizes` on NumPy for the sizes seen so far."""

    def __init__(self, request: Request, n: int) -> None:
        self._request, self._n = request, n
        self._kept = np.full(n + 1, -1), _of_sizes(request, n, [], NUMPY)

    def rows(self, sizes: np.ndarray) -> tuple[Weights, np.ndarray]:
        """Weights, and which of their rows are those of groups of the given sizes (R,)."""
        row_of_size, weights = self._kept
        rows = row_of_size[sizes]
        if rows.min(initial=0) < 0:
            seen = np.union1d(np.flatnonzero(row_of_size >= 0), sizes)
            row_of_size = np.full(self._n + 1, -1)
            row_of_size[seen] = np.arange(len(seen))
            weights = _of_sizes(self._request, self._n, seen.tolist(), NUMPY)
            rows = row_of_size[sizes]
            self._kept = row_of_size, weights  # at once: other threads read it
        return weights, rows


_sizes_seen = lru_cache(maxsize=16)(_SizesSeen)


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
    out = weights(ordered, backend)
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
    n, rows = rewards.shape[1], counts
    if counts is None:
        weights = (_kept_of_size if backend.lasting else _of_size)(request, n, backend)
    elif backend is NUMPY:
        weights, rows = _sizes_seen(request, n).rows(counts)
    else:
        made = _kept_of_every_size if backend.lasting else _of_every_size
        weights = made(request, n, backend)

    def calculate(rewards: Array, *given: Array | None) -> Array:
        rows, counts, mask = given
        own = weights if rows is None else weights.rows(rows, backend)
        return _apply(own, rewards, counts, mask, backend, poison)

    given = rows, counts, mask
    if backend is not NUMPY or rewards.size <= _BLOCK:
        return calculate(rewards, *given)
    dtype = rewards.dtype if rewards.dtype.kind == "f" else np.float64
    out = np.empty((len(rewards), 1 if request.baseline is None else n), dtype)
    stride = max(1, _BLOCK // n)
    for start in range(0, len(rewards), stride):
        block = slice(start, start + stride)
        own = (None if array is None else array[block] for array in given)
        out[block] = calculate(rewards[block], *own)
    return out
