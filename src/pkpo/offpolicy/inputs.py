"""What callers give, in batches of sorted groups, and results in their library and dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from pkpo.core.backends import NUMPY, Array
from pkpo.core.inputs import View, host_array, shown, view_of
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.offpolicy.scaled import LARGEST_LOGARITHM, Scaled
from pkpo.offpolicy.symmetric import SortedGroups

_BLOCK = 2**20
"""Numbers, of 16 bytes, that a recursion may hold at a time; at least one group."""


@dataclass(frozen=True)
class Given:
    """What the caller gave, on the host as float64, one row a group.

    Args:
        like: the array whose library, shape, dtype and device the result takes.
        rewards, log_ratios: (P, n).
    """

    like: View
    rewards: np.ndarray
    log_ratios: np.ndarray

    @classmethod
    def of(cls, rewards: Any, log_ratios: Any, truncate: float | None) -> Given:
        given = view_of(log_ratios, "log_ratios", on_host=True)
        like = given if rewards is None else view_of(rewards, "rewards", on_host=True)
        logs = _float64(given, "log_ratios")
        values: np.ndarray = np.zeros(logs.shape) if rewards is None else _float64(like, "rewards")
        if values.shape != logs.shape:
            raise InvalidInputError(
                f"log_ratios must have the shape of the rewards, {values.shape}, got {logs.shape}"
            )
        if values.ndim == 0:
            raise InvalidInputError("at least one axis is needed, the samples of a group")
        n = values.shape[-1]
        if n == 0:
            raise InvalidInputError(f"groups are empty: the shape is {values.shape}")
        _check("log_ratios", logs, (np.abs(logs) <= LARGEST_LOGARITHM) | np.isneginf(logs))
        _check("rewards", values, np.isfinite(values))
        if truncate is not None:
            logs = np.minimum(logs, _log_of_bound(truncate))
        return cls(like, values.reshape(-1, n), logs.reshape(-1, n))

    def require(self, size: int, what: str) -> None:
        n = self.rewards.shape[-1]
        if n < size:
            raise UndefinedEstimateError(f"{what} needs groups of at least {size} samples, got {n}")

    def of_groups(self, function: Callable[[SortedGroups], Scaled], degree: int) -> Array:
        """(P,) of each batch -> (...,)."""
        values = np.empty(len(self.rewards))
        for block, _, batch in self._batches(degree):
            values[block] = function(batch).floats()
        return self._restored(values.reshape(tuple(self.like.values.shape[:-1])))

    def of_samples(self, function: Callable[[SortedGroups], Scaled], degree: int) -> Array:
        """(n, P) of each sorted batch -> (..., n), the sort undone."""
        values = np.empty(self.rewards.shape)
        for block, order, batch in self._batches(degree):
            np.put_along_axis(values[block], order, function(batch).floats().T, axis=-1)
        return self._restored(values.reshape(tuple(self.like.values.shape)))

    def _batches(self, degree: int) -> Iterator[tuple[slice, np.ndarray, SortedGroups]]:
        n = self.rewards.shape[-1]
        stride = max(1, _BLOCK // (n * (degree + 1)))
        for start in range(0, len(self.rewards), stride):
            block = slice(start, start + stride)
            order = np.argsort(self.rewards[block], axis=-1)
            rewards = np.take_along_axis(self.rewards[block], order, axis=-1).T
            logs = np.take_along_axis(self.log_ratios[block], order, axis=-1).T
            yield block, order, SortedGroups(Scaled.of(rewards), Scaled.exp(logs), degree)

    def _restored(self, values: np.ndarray) -> Array:
        """`values` in the caller's library, dtype and device."""
        like = self.like
        if not np.all(np.abs(values) <= like.largest):
            bad = np.isnan(values) if np.isnan(values).any() else np.abs(values) > like.largest
            place = np.argwhere(bad)[0][: like.values.ndim - 1]
            where = f" of group [{', '.join(map(str, place))}]" if len(place) else ""
            if np.isnan(values).any():
                raise UndefinedEstimateError(
                    f"the result{where} would divide by the weight of subsets that all have "
                    "weight 0: too few ratios are above 0"
                )
            raise InvalidInputError(
                f"the result{where} is beyond the range of {like.dtype}; ratios multiply over a "
                "subset (truncate= limits them)"
            )
        return like.back(values if like.backend is NUMPY else like.backend.floats(values))


def _float64(view: View, name: str) -> np.ndarray:
    values, backend = view.values, view.backend
    if backend is not NUMPY:
        values = backend.xp.astype(values, backend.compute_dtype)  # NumPy has no bfloat16
    return host_array(values, name).astype(np.float64)


def _check(name: str, values: np.ndarray, good: np.ndarray) -> None:
    if good.all():
        return
    place = tuple(np.argwhere(~good)[0].tolist())
    limit = f" and within {LARGEST_LOGARITHM:g}, or -inf" if name == "log_ratios" else ""
    raise InvalidInputError(
        f"{name}{shown(place)} is {values[place]}; {name} must be finite{limit}"
    )


def _log_of_bound(truncate: float) -> float:
    if isinstance(truncate, Real) and not isinstance(truncate, bool):
        bound = float(truncate)
        if 0.0 < bound < math.inf:
            return math.log(bound)
    raise InvalidInputError(f"truncate must be a finite number > 0, got {truncate!r}")
