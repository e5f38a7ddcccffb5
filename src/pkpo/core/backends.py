"""The few array operations that differ between libraries.

NumPy and CPU PyTorch tensors (viewed without a copy) take the NumPy backend; PyTorch on
other devices, JAX and any other array-API library take theirs. Importing this module
loads none of them but NumPy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np

from pkpo.errors import InvalidInputError

Array = Any
"""An array of any library that follows the array-API standard."""


class Backend:
    """Sorting, unsorting and constants for one array library, by the array-API standard.

    Args:
        xp: the library's array-API namespace.
        device: where new arrays go, or None for the library's default.
    """

    on_host = True
    traced = False
    lasting = False
    """Whether one instance serves all arrays of a device, so that constants can be kept."""

    def __init__(self, xp: Any, device: Any = None) -> None:
        self.xp = xp
        self.device = device

    @property
    def compute_dtype(self) -> Any:
        """The dtype to calculate in: double precision wherever the library has it."""
        return self.xp.float64

    def floats(self, values: np.ndarray) -> Array:
        return self.xp.asarray(values, dtype=self.compute_dtype, device=self.device)

    def integers(self, values: np.ndarray) -> Array:
        return self.xp.asarray(values, device=self.device)

    def sort(self, values: Array) -> tuple[Array, Array]:
        """Sorted values along the last axis in the compute dtype, and what undoes the sort."""
        if not self.xp.isdtype(values.dtype, "real floating"):
            values = self.xp.astype(values, self.compute_dtype)
        order = self.xp.argsort(values, axis=-1)
        ordered = self.xp.take_along_axis(values, order, axis=-1)
        return self.xp.astype(ordered, self.compute_dtype), order

    def unsort(self, values: Array, order: Array) -> Array:
        inverse = self.xp.argsort(order, axis=-1)
        return self.xp.take_along_axis(values, inverse, axis=-1)

    def gaps(self, ordered: Array) -> Array:
        """Differences along the last axis, after a leading zero."""
        nothing = self.xp.zeros_like(ordered[..., :1])
        return self.xp.concat([nothing, ordered[..., 1:] - ordered[..., :-1]], axis=-1)

    def cumulative_sum(self, gaps: Array, step: Array) -> Array:
        """Cumulative sum of step * gaps along the last axis."""
        return self.xp.cumulative_sum(step * gaps, axis=-1)

    def detach(self, values: Array) -> Array:
        """`values` without their gradient."""
        return values

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        """sum_i weights_i * values_i over the last axis, which is kept."""
        return self.xp.sum(weights * values, axis=-1, keepdims=True)

    def take_rows(self, table: Array, rows: Array) -> Array:
        flat = self.xp.take(table, self.xp.reshape(rows, (-1,)), axis=0)
        return self.xp.reshape(flat, (*rows.shape, *table.shape[1:]))


_SPAN = 16
_UPPER = np.triu(np.ones((_SPAN, _SPAN)))


class NumpyBackend(Backend):
    lasting = True

    def __init__(self) -> None:
        super().__init__(array_api_compat.array_namespace(np.empty(0)))

    def sort(self, values: Array) -> tuple[Array, Array]:
        order = np.argsort(values, axis=-1).reshape(-1, values.shape[-1])
        order += np.arange(0, order.size, values.shape[-1])[:, None]
        ordered = values.reshape(-1).take(order).reshape(values.shape)
        return ordered.astype(np.float64, copy=False), order

    def unsort(self, values: Array, order: Array) -> Array:
        out = np.empty_like(values)
        out.reshape(-1)[order.reshape(-1)] = values.reshape(-1)
        return out

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        if weights.ndim == 1:
            return values @ weights[:, None]
        return super().weighted_sum(values, weights)

    def gaps(self, ordered: Array) -> Array:
        gaps = np.empty(ordered.shape)
        gaps[..., 0] = 0.0
        np.subtract(ordered[..., 1:], ordered[..., :-1], out=gaps[..., 1:])
        return gaps

    def cumulative_sum(self, gaps: Array, step: Array) -> Array:
        total, n = gaps * step, gaps.shape[-1]
        if n % _SPAN or n == _SPAN:
            return np.cumsum(total, axis=-1, out=total)
        # np.cumsum waits for each addition; spans summed by a matrix product do not.
        spans = total.reshape(-1, _SPAN)
        sums = spans @ _UPPER[:, -1]
        before = np.cumsum(sums.reshape(*total.shape[:-1], -1)[..., :-1], axis=-1)
        total[..., _SPAN::_SPAN] += before
        return (spans @ _UPPER).reshape(total.shape)


class TorchBackend(Backend):
    lasting = True

    def __init__(self, device: Any) -> None:
        import array_api_compat.torch as xp

        super().__init__(xp, device)
        self.on_host = device.type == "cpu"

    @property
    def compute_dtype(self) -> Any:
        return self.xp.float32 if self.device.type == "mps" else self.xp.float64

    def detach(self, values: Array) -> Array:
        return values.detach()

    def floats(self, values: np.ndarray) -> Array:
        return self.xp.tensor(values, dtype=self.compute_dtype, device=self.device)

    def sort(self, values: Array) -> tuple[Array, Array]:
        import torch

        ordered, order = torch.sort(values, dim=-1)
        return ordered.to(self.compute_dtype), order

    def unsort(self, values: Array, order: Array) -> Array:
        return values.new_empty(values.shape).scatter_(-1, order, values)


class JaxBackend(Backend):
    def __init__(self, values: Array) -> None:
        import jax
        from jax.core import Tracer

        super().__init__(jax.numpy)
        self.traced = isinstance(values, Tracer)
        self.on_host = not self.traced and all(d.platform == "cpu" for d in values.devices())

    @property
    def compute_dtype(self) -> Any:
        return self.xp.zeros(()).dtype

    def detach(self, values: Array) -> Array:
        import jax

        return jax.lax.stop_gradient(values)

    # XLA adds one after the other what it may fuse, which costs single precision half its
    # digits in long rows; additions in a tree keep them.

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        terms = weights * values
        while terms.shape[-1] > 1:
            if terms.shape[-1] % 2:
                terms = self.xp.concatenate([terms, 0 * terms[..., :1]], axis=-1)
            terms = terms[..., ::2] + terms[..., 1::2]
        return terms

    def cumulative_sum(self, gaps: Array, step: Array) -> Array:
        import jax

        return jax.lax.associative_scan(self.xp.add, step * gaps, axis=gaps.ndim - 1)


_NUMPY = NumpyBackend()


@lru_cache(maxsize=64)
def torch_backend(device: Any) -> TorchBackend:
    """One backend a device, so that constants can be cached for it."""
    return TorchBackend(device)


def is_array(values: Any) -> bool:
    """Whether `values` is an array of a library that follows the array-API standard."""
    return array_api_compat.is_array_api_obj(values)


def refuse_masked(values: Any, name: str) -> None:
    """Raise for a NumPy masked array, whose mask np.asarray would drop in silence."""
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidInputError(f"{name} is a masked array; give plain arrays and mask= instead")


def as_array(values: Any, name: str) -> Array:
    """`values` itself if it is an array of a known library, else a NumPy array of it.

    Raises:
        InvalidInputError: not real numbers or bools, rows of unequal length, or masked.
    """
    refuse_masked(values, name)
    if not is_array(values):
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise InvalidInputError(
                f"{name} must be rectangular ({error}); for groups of unequal size give flat "
                f"{name} with groups=, or pad and give mask="
            ) from error
    if isinstance(values, np.ndarray | np.generic):
        real = values.dtype.kind in "biuf"
    else:
        xp = array_api_compat.array_namespace(values)
        real = not xp.isdtype(values.dtype, "complex floating")
    if not real:
        raise InvalidInputError(f"{name} must be real numbers or bools, got {values.dtype}")
    return values


def backend_of(values: Array) -> Backend:
    if isinstance(values, np.ndarray | np.generic):
        return _NUMPY
    if array_api_compat.is_torch_array(values):
        return torch_backend(values.device)
    if array_api_compat.is_jax_array(values):
        return JaxBackend(values)
    return Backend(array_api_compat.array_namespace(values), array_api_compat.device(values))


def result_dtype(values: Array) -> Any:
    """The floating dtype of `values`, or the library's default one for bools and integers."""
    xp = array_api_compat.array_namespace(values)
    return values.dtype if xp.isdtype(values.dtype, "real floating") else xp.asarray(1.0).dtype
