"""The one algorithm: sort, take gaps, weigh, cumulative sum, unsort.

A value needs the sorted rewards and their weights alone.

A `Request` says what is wanted; it is hashable, so weights are made once for each size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from pkpo.core.backends import Array, Backend, NumpyBackend
from pkpo.core.groups import host_array
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

    def weights(self, n: int) -> ValueWeights | GapWeights:
        """The weights of groups of n, `small_groups` and `reduction` applied."""
        if n < self.size and self.small_groups != "raise":
            return self._weights_of_small_group(n)
        if self.baseline is None:
            return estimate_weights(n, self.objective)
        weights = advantage_weights(n, self.objective, self.baseline)
        if self.reduction == "sum":
            return weights
        anchor = None if weights.anchor is None else n * weights.anchor
        return GapWeights(n * weights.level, anchor, n * weights.step)

    def _weights_of_small_group(self, n: int) -> ValueWeights | GapWeights:
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
        return GapWeights(0.0, None, np.zeros(max(n - 1, 0)))

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


class _Value(NamedTuple):
    """`ValueWeights` on the device; with one row a group where groups differ in size."""

    level: Array | float
    pivot: Array | int
    of_rewards: Array

    def apply(self, rewards: Array, backend: Backend, poison: bool) -> Array:
        """(..., n) -> (..., 1) in the compute dtype."""
        ordered, _ = backend.sort(rewards)
        if isinstance(self.pivot, int):
            pivot = ordered[..., self.pivot : self.pivot + 1]
        else:
            pivot = backend.xp.take_along_axis(ordered, self.pivot, axis=-1)
        value = self.level * pivot + backend.weighted_sum(ordered - pivot, self.of_rewards)
        return value + _bad(ordered, backend) if poison else value


class _Gaps(NamedTuple):
    """`GapWeights` on the device, after a leading zero that stands for no gap below the
    first sample; with one row a group where groups differ in size."""

    level: Array | float
    anchor: Array | None
    step: Array

    def apply(self, rewards: Array, backend: Backend, poison: bool) -> Array:
        """(..., n) -> (..., n) in the compute dtype."""
        ordered, undo = backend.sort(rewards)
        gaps = backend.gaps(ordered)
        out = backend.cumulative_sum(gaps, self.step)
        if not isinstance(self.level, float) or self.level != 0.0:
            out += self.level * ordered[..., :1]
        if self.anchor is not None:
            out += backend.weighted_sum(gaps, self.anchor)
        if poison:
            out += _bad(ordered, backend)
        return backend.unsort(out, undo)


def _bad(ordered: Array, backend: Backend) -> Array:
    """(..., 1) zeros, but NaN for a group that holds a NaN or inf."""
    return backend.xp.sum(ordered * 0.0, axis=-1, keepdims=True)


def _constants(request: Request, n: int, backend: Backend) -> _Value | _Gaps:
    weights = request.weights(n)
    if isinstance(weights, ValueWeights):
        return _Value(weights.level, weights.pivot, backend.floats(weights.of_rewards))
    anchor = None if weights.anchor is None else backend.floats(_led(weights.anchor))
    return _Gaps(weights.level, anchor, backend.floats(_led(weights.step)))


def _led(of_gaps: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], of_gaps])


_cached_constants = lru_cache(maxsize=256)(_constants)


def _table(request: Request, sizes: Sequence[int], n: int, backend: Backend) -> _Value | _Gaps:
    """One row of weights for each size, padded with zeros to groups of n."""
    level, pivot = np.zeros((len(sizes), 1)), np.zeros((len(sizes), 1), dtype=np.int64)
    of_rewards, anchor, step = np.zeros((3, len(sizes), n))
    for row, size in enumerate(sizes):
        weights = request.weights(size)
        level[row] = weights.level
        if isinstance(weights, ValueWeights):
            pivot[row] = weights.pivot
            of_rewards[row, :size] = weights.of_rewards
            continue
        step[row, 1 : 1 + len(weights.step)] = weights.step
        if weights.anchor is not None:
            anchor[row, 1 : 1 + len(weights.anchor)] = weights.anchor
    floats = backend.floats
    if request.baseline is None:
        return _Value(floats(level), backend.integers(pivot), floats(of_rewards))
    return _Gaps(floats(level), floats(anchor), floats(step))


def transform(request: Request, rewards: Array, backend: Backend, *, poison: bool) -> Array:
    """Groups of one size. rewards (..., n) -> (..., n), or (..., 1) for a value.

    With `poison`, for rewards that nobody checked, a NaN or inf turns its whole group, and
    no other, into NaN.
    """
    n = rewards.shape[-1]
    build = _cached_constants if backend.lasting else _constants
    weights = build(request, n, backend)
    if not isinstance(backend, NumpyBackend) or rewards.size <= _BLOCK:
        return weights.apply(rewards, backend, poison)
    rows = rewards.reshape(-1, n)
    dtype = rewards.dtype if rewards.dtype.kind == "f" else np.float64
    out = np.empty((len(rows), 1 if request.baseline is None else n), dtype)
    stride = max(1, _BLOCK // n)
    for start in range(0, len(rows), stride):
        block = slice(start, start + stride)
        out[block] = weights.apply(rows[block], backend, poison)
    return out.reshape(*rewards.shape[:-1], -1)


def masked_transform(
    request: Request, rewards: Array, mask: Array, backend: Backend, *, poison: bool
) -> Array:
    """Like `transform`, for groups in which only samples with a true mask (..., n) count.

    A sample that doesn't count is given the largest counted reward of its group. It then
    stands above the counted ones, where the weights are zero, and adds gaps of zero, so
    the weights of the smaller group apply as they stand.

    Args:
        mask: a NumPy array, or of the rewards' library and device.
    """
    xp, n = backend.xp, rewards.shape[-1]
    dtype = rewards.dtype
    readable = isinstance(mask, np.ndarray) or backend.on_host or request.small_groups == "raise"
    counts = host_array(mask, "mask").sum(axis=-1) if readable else None
    mask = xp.asarray(mask, device=backend.device)
    floor = xp.asarray(-math.inf, dtype=dtype, device=backend.device)
    zero = xp.asarray(0.0, dtype=dtype, device=backend.device)
    largest = xp.max(xp.where(mask, rewards, floor), axis=-1, keepdims=True)
    largest = xp.where(xp.any(mask, axis=-1, keepdims=True), largest, zero)
    filled = xp.where(mask, rewards, largest)
    if counts is not None:
        indices = list(np.ndindex(counts.shape))
        names = [i[0] if len(i) == 1 else i for i in indices]
        request.check_sizes(counts.reshape(-1), names)
        sizes, rows = np.unique(counts, return_inverse=True)
        table = _table(request, sizes.tolist(), n, backend)
        rows = backend.integers(rows.reshape(counts.shape))
    else:
        one = backend.integers(np.ones((), dtype=np.int32))
        rows = xp.sum(xp.where(mask, one, 0 * one), axis=-1)
        table = _table(request, range(n + 1), n, backend)
    weights = type(table)(*(backend.take_rows(t, rows) for t in table))
    out = weights.apply(filled, backend, poison)
    if request.baseline is None:
        return out
    return xp.where(mask, out, xp.astype(zero, backend.compute_dtype))
