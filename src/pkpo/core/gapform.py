"""The one algorithm: sort, take gaps, weigh, cumulative sum, unsort.

A `Request` says what is wanted; it is hashable, so weights are made once for each size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from pkpo.core.backends import Array, Backend, NumpyBackend, TorchBackend
from pkpo.core.groups import host_array
from pkpo.core.objectives import Objective
from pkpo.core.weights import (
    Baseline,
    GapWeights,
    advantage_weights,
    estimate_weights,
    required_size,
)
from pkpo.errors import UndefinedEstimateError

_BLOCK = 16384
"""Samples that NumPy transforms at a time, so that temporaries stay in cache."""

Reduction = Literal["sum", "mean"]
SmallGroups = Literal["raise", "shrink", "zero", "nan"]


@dataclass(frozen=True)
class Request:
    """What to calculate for each group.

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

    @property
    def size(self) -> int:
        """The smallest group that allows an unbiased answer."""
        if self.baseline is None:
            return self.objective.k
        return required_size(self.objective, self.baseline)

    def weights(self, n: int) -> GapWeights:
        """The gap weights of groups of n, `small_groups` and `reduction` applied."""
        if n < self.size and self.small_groups != "raise":
            return self._weights_of_small_group(n)
        if self.baseline is None:
            return estimate_weights(n, self.objective)
        weights = advantage_weights(n, self.objective, self.baseline)
        if self.reduction == "sum":
            return weights
        anchor = None if weights.anchor is None else n * weights.anchor
        return GapWeights(n * weights.level, anchor, n * weights.step)

    def _weights_of_small_group(self, n: int) -> GapWeights:
        if self.small_groups == "shrink":
            spare = 1 if self.baseline in ("loo", "paper_loo") else 0
            smaller = replace(self, objective=self.objective.shrink(max(n - spare, 1)))
            if n >= smaller.size:
                return smaller.weights(n)
        gaps = np.zeros(max(n - 1, 0))
        if self.baseline is None:
            return GapWeights(math.nan, gaps, None)
        return GapWeights(0.0, None, gaps)

    def check_sizes(self, sizes: Sequence[int] | np.ndarray, names: Sequence[object]) -> None:
        """Raise UndefinedEstimateError naming the first group that is too small, if that is
        what `small_groups` asks for."""
        small = np.flatnonzero(np.asarray(sizes) < self.size)
        if self.small_groups != "raise" or not len(small):
            return
        place = int(small[0])
        raise UndefinedEstimateError(
            f"group {names[place]} has {sizes[place]} samples that count, but {self} needs "
            f"{self.size} ({len(small)} of {len(sizes)} groups are too small; small_groups= "
            "says how else to treat them)"
        )

    def __str__(self) -> str:
        if self.baseline is None:
            return f"an unbiased estimate of {self.objective}"
        return f"{self.objective} with baseline {self.baseline!r}"


class _Constants(NamedTuple):
    """Gap weights on the device, with one row a group where groups differ in size."""

    level: Array | float
    anchor: Array | None
    step: Array | None


def _constants(request: Request, n: int, backend: Backend) -> _Constants:
    weights = request.weights(n)
    anchor = None if weights.anchor is None else backend.floats(weights.anchor)
    step = None if weights.step is None else backend.floats(weights.step)
    return _Constants(weights.level, anchor, step)


_cached_constants = lru_cache(maxsize=256)(_constants)


def _table(request: Request, sizes: Sequence[int], n: int, backend: Backend) -> _Constants:
    """One row of weights for each size, padded with zeros to n - 1 gaps."""
    level = np.zeros((len(sizes), 1))
    anchor, step = np.zeros((2, len(sizes), n - 1))
    for row, size in enumerate(sizes):
        weights = request.weights(size)
        level[row] = weights.level
        if weights.anchor is not None:
            anchor[row, : len(weights.anchor)] = weights.anchor
        if weights.step is not None:
            step[row, : len(weights.step)] = weights.step
    floats = backend.floats
    return _Constants(
        floats(level), floats(anchor), None if request.baseline is None else floats(step)
    )


def _apply(rewards: Array, weights: _Constants, backend: Backend, poison: bool) -> Array:
    """rewards (..., n) -> (..., n) in the compute dtype, or (..., 1) where step is None."""
    xp = backend.xp
    ordered, undo = backend.sort(rewards)
    lowest = ordered[..., :1]
    gaps = ordered[..., 1:] - ordered[..., :-1]
    first = None
    if not isinstance(weights.level, float) or weights.level != 0.0 or weights.step is None:
        first = weights.level * lowest
    if weights.anchor is not None:
        anchored = backend.weighted_sum(gaps, weights.anchor)
        first = anchored if first is None else first + anchored
    if poison:
        # Nothing was checked: a NaN or inf turns its whole group into NaN.
        nothing = xp.sum(ordered * 0.0, axis=-1, keepdims=True)
        first = nothing if first is None else first + nothing
    if weights.step is None:
        return first
    out = backend.cumulative_sum(gaps, weights.step)
    return backend.unsort(out if first is None else out + first, undo)


def transform(request: Request, rewards: Array, backend: Backend, *, poison: bool) -> Array:
    """Groups of one size. rewards (..., n) -> (..., n), or (..., 1) for an estimate."""
    n = rewards.shape[-1]
    build = _cached_constants if isinstance(backend, TorchBackend) else _constants
    weights = build(request, n, backend)
    if not isinstance(backend, NumpyBackend) or rewards.size <= _BLOCK:
        return _apply(rewards, weights, backend, poison)
    rows = rewards.reshape(-1, n)
    dtype = rewards.dtype if rewards.dtype.kind == "f" else np.float64
    out = np.empty((len(rows), 1 if weights.step is None else n), dtype)
    stride = max(1, _BLOCK // n)
    for start in range(0, len(rows), stride):
        block = slice(start, start + stride)
        out[block] = _apply(rows[block], weights, backend, poison)
    return out.reshape(*rewards.shape[:-1], -1)


def masked_transform(
    request: Request, rewards: Array, mask: Array, backend: Backend, *, poison: bool
) -> Array:
    """Like `transform`, for groups in which only samples with a true mask (..., n) count.

    A sample that doesn't count is given the largest counted reward of its group. It then
    adds gaps of zero only, above the counted ones, so the weights of the smaller group
    apply as they stand.
    """
    xp, n = backend.xp, rewards.shape[-1]
    dtype = rewards.dtype
    floor = xp.asarray(-math.inf, dtype=dtype, device=backend.device)
    zero = xp.asarray(0.0, dtype=dtype, device=backend.device)
    largest = xp.max(xp.where(mask, rewards, floor), axis=-1, keepdims=True)
    largest = xp.where(xp.any(mask, axis=-1, keepdims=True), largest, zero)
    filled = xp.where(mask, rewards, largest)
    if backend.on_host or request.small_groups == "raise":
        counts = host_array(mask, "mask").sum(axis=-1)
        indices = list(np.ndindex(counts.shape))
        names = [i[0] if len(i) == 1 else i for i in indices]
        request.check_sizes(counts.reshape(-1), names)
        sizes, rows = np.unique(counts, return_inverse=True)
        table = _table(request, sizes.tolist(), n, backend)
        rows = backend.integers(rows.reshape(counts.shape))
    else:
        ones = backend.integers(np.ones((), dtype=np.int32))
        rows = xp.sum(xp.where(mask, ones, 0 * ones), axis=-1)
        table = _table(request, range(n + 1), n, backend)
    weights = _Constants(*(t if t is None else backend.take_rows(t, rows) for t in table))
    out = _apply(filled, weights, backend, poison)
    if request.baseline is None:
        return out
    return xp.where(mask, out, xp.astype(zero, backend.compute_dtype))
