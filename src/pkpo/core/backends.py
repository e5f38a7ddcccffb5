"""The few array operations that differ between libraries.

Tensors and JAX arrays that NumPy can see take the NumPy backend too (`inputs.View`).
PyTorch on other devices, JAX inside its transformations and any other array-API library
take theirs. Importing this module loads none of them but NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pkpo.errors import InvalidInputError

Array = Any
"""An array of any library that follows the array-API standard."""


class Backend:
    """Sorting, sums and constants for one array library, by the array-API standard.

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

    def floats(self, values: Any) -> Array:
        return self.xp.asarray(values, dtype=self.compute_dtype, device=self.device)

    def asarray(self, values: Array) -> Array:
        return self.xp.asarray(values, device=self.device)

    def detach(self, values: Array) -> Array:
        """`values` without their gradient."""
        return values

    def as_floats(self, values: Array) -> Array:
        """`values` themselves if they have a floating dtype, else in the compute dtype."""
        if self.xp.isdtype(values.dtype, "real floating"):
            return values
        return self.xp.astype(values, self.compute_dtype)

    def all_below(self, values: Array, bound: float) -> bool:
        """Whether all are finite and of size below `bound`; may be False near it."""
        return bool(self.xp.all(self.xp.abs(self.as_floats(values)) < bound))

    def filled(self, values: Array, mask: Array, other: float) -> Array:
        """`values` where the mask is true, else `other`."""
        filling = self.xp.asarray(other, dtype=values.dtype, device=self.device)
        return self.xp.where(self.asarray(mask), values, filling)

    def gathered(self, values: Array, places: np.ndarray, padded: bool) -> Array:
        """What stands at the places (P, n); inf beyond the end, where some are if `padded`."""
        padding = self.xp.asarray([np.inf], dtype=values.dtype, device=self.device)
        padded = self.xp.concat([values, padding])
        flat = self.xp.take(padded, self.asarray(places.reshape(-1)), axis=0)
        return self.xp.reshape(flat, places.shape)

    def sort(self, values: Array) -> tuple[Array, Array]:
        """Sorted values along the last axis in the compute dtype, and what undoes the sort."""
        values = self.as_floats(values)
        order = self.xp.argsort(values, axis=-1)
        ordered = self.xp.take_along_axis(values, order, axis=-1)
        return self.xp.astype(ordered, self.compute_dtype), order

    def unsort(self, values: Array, order: Array) -> Array:
        inverse = self.xp.argsort(order, axis=-1)
        return self.xp.take_along_axis(values, inverse, axis=-1)

    def capped(self, ordered: Array, counts: Array) -> Array:
        """The sorted rows with all but the first `counts` of each made equal to the last of
        these, or zero in rows that have none."""
        some = counts[:, None] > 0
        place = self.xp.where(some, counts[:, None] - 1, 0 * counts[:, None])
        largest = self.xp.take_along_axis(ordered, place, axis=-1)
        return self.xp.minimum(ordered, self.xp.where(some, largest, self.xp.zeros_like(largest)))

    def gaps(self, ordered: Array, first: Array | None) -> Array:
        """Differences along the last axis, after `first` (R, 1), or zero."""
        if first is None:
            first = self.xp.zeros_like(ordered[:, :1])
        return self.xp.concat([first, ordered[:, 1:] - ordered[:, :-1]], axis=-1)

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        """sum_i weights_i * values_i over the last axis, which is kept."""
        return self.xp.sum(weights * values, axis=-1, keepdims=True)

    def cumulative_sum(self, terms: Array, reverse: bool = False) -> Array:
        if not reverse:
            return self.xp.cumulative_sum(terms, axis=-1)
        return self.xp.flip(self.cumulative_sum(self.xp.flip(terms, axis=-1)), axis=-1)

    def sum_both_ways(self, rising: Array | None, falling: Array | None) -> Array:
        """out_j = sum of rising_i, i <= j, + sum of falling_i, i > j; None for zeros."""
        if falling is None:
            return self.cumulative_sum(rising)
        from_here = self.cumulative_sum(falling, reverse=True)
        beyond = self.xp.concat([from_here[:, 1:], 0 * from_here[:, :1]], axis=-1)
        return beyond if rising is None else self.cumulative_sum(rising) + beyond

    def scattered(
        self, parts: Sequence[Array], places: Sequence[np.ndarray], size: int, rest: float
    ) -> Array:
        """(size,) with flat parts at their places, those beyond `size` dropped, and `rest`."""
        joined = np.concatenate([*places, []]).astype(np.int64)
        origin = np.full(size + 1, len(joined))
        origin[joined] = np.arange(len(joined))
        parts = [*parts, self.floats([rest])]
        return self.xp.take(self.xp.concat(parts), self.asarray(origin[:size]), axis=0)


_SPAN = 16
_UPPER = np.triu(np.ones((_SPAN, _SPAN)))


class NumpyBackend(Backend):
    """The same bits faster, and with names that NumPy 1.26 has."""

    lasting = True

    def as_floats(self, values: Array) -> Array:
        return values if values.dtype.kind == "f" else values.astype(np.float64)

    def asarray(self, values: Array) -> Array:
        return values

    def floats(self, values: Any) -> Array:
        return np.asarray(values, dtype=np.float64)

    def all_below(self, values: Array, bound: float) -> bool:
        if values.dtype.kind != "f":
            return True
        flat = values.reshape(-1)
        return bool(np.vdot(flat, flat) < bound**2)

    def filled(self, values: Array, mask: Array, other: float) -> Array:
        return np.where(mask, values, values.dtype.type(other))

    def gathered(self, values: Array, places: np.ndarray, padded: bool) -> Array:
        found = values.take(places, mode="clip")
        if padded:
            found[places == len(values)] = np.inf
        return found

    def sort(self, values: Array) -> tuple[Array, Array]:
        order = values.argsort(axis=-1)
        order += _row_starts(*values.shape)
        return values.reshape(-1).take(order).astype(np.float64, copy=False), order

    def unsort(self, values: Array, order: Array) -> Array:
        out = np.empty(values.shape)
        out.reshape(-1)[order.reshape(-1)] = values.reshape(-1)
        return out

    def capped(self, ordered: Array, counts: Array) -> Array:
        places = np.arange(-1, ordered.size - 1, ordered.shape[1])
        places += counts
        largest = ordered.reshape(-1).take(places)
        largest[counts == 0] = 0.0
        return np.minimum(ordered, largest[:, None], out=ordered)

    def gaps(self, ordered: Array, first: Array | None) -> Array:
        gaps, flat = np.empty(ordered.shape), ordered.reshape(-1)
        np.subtract(flat[1:], flat[:-1], out=gaps.reshape(-1)[1:])
        gaps[:, :1] = 0.0 if first is None else first
        return gaps

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        if weights.ndim == 1:
            return values @ weights[:, None]
        return super().weighted_sum(values, weights)

    def cumulative_sum(self, terms: Array, reverse: bool = False) -> Array:
        if reverse:
            return self.cumulative_sum(np.ascontiguousarray(terms[:, ::-1]))[:, ::-1]
        n = terms.shape[1]
        if n % _SPAN or n == _SPAN:
            return terms.cumsum(axis=-1)
        # np.cumsum waits for each addition; spans summed by a matrix product do not.
        spans = terms.reshape(-1, _SPAN)
        sums = spans @ _UPPER[:, -1]
        before = sums.reshape(len(terms), -1)[:, :-1].cumsum(axis=-1)
        terms[:, _SPAN::_SPAN] += before
        return (spans @ _UPPER).reshape(terms.shape)

    def sum_both_ways(self, rising: Array | None, falling: Array | None) -> Array:
        if falling is None:
            return self.cumulative_sum(rising)
        from_here, beyond = self.cumulative_sum(falling, reverse=True), np.empty(falling.shape)
        beyond[:, :-1] = from_here[:, 1:]
        beyond[:, -1] = 0.0 * from_here[:, 0]
        if rising is not None:
            beyond += self.cumulative_sum(rising)
        return beyond

    def scattered(
        self, parts: Sequence[Array], places: Sequence[np.ndarray], size: int, rest: float
    ) -> Array:
        out = np.full(size + 1, rest, np.result_type(np.float32, *parts))
        for part, place in zip(parts, places, strict=True):
            out[place] = part
        return out[:size]


@lru_cache(maxsize=16)
def _row_starts(num_rows: int, n: int) -> np.ndarray:
    """(R, 1): where the rows of an (R, n) array begin in it as a flat one."""
    return np.arange(0, num_rows * n, n)[:, None]


class TorchBackend(Backend):
    """For tensors that NumPy can't see: on other devices, or inside torch.func."""

    on_host = False

    def __init__(self, device: Any) -> None:
        import array_api_compat.torch as xp

        super().__init__(xp, device)
        self.lasting = device.type != "cpu"

    @property
    def compute_dtype(self) -> Any:
        return self.xp.float32 if self.device.type == "mps" else self.xp.float64

    def floats(self, values: Any) -> Array:
        return self.xp.tensor(values, dtype=self.compute_dtype, device=self.device)

    def detach(self, values: Array) -> Array:
        return values.detach()

    def all_below(self, values: Array, bound: float) -> bool:
        try:
            return super().all_below(values, bound)
        except RuntimeError as error:
            raise InvalidInputError(
                f"validate=True can't look at values inside torch.func: {error}"
            ) from error

    def sort(self, values: Array) -> tuple[Array, Array]:
        ordered, order = values.sort(dim=-1)
        return ordered.to(self.compute_dtype), order

    def unsort(self, values: Array, order: Array) -> Array:
        return self.xp.scatter(values, -1, order, values)


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

    def unsort(self, values: Array, order: Array) -> Array:
        rows = self.xp.arange(len(values))[:, None]
        return self.xp.empty_like(values).at[rows, order].set(values, unique_indices=True)

    # XLA adds one after the other what it may fuse, which costs single precision half its
    # digits in long rows; additions in a tree keep them.

    def weighted_sum(self, values: Array, weights: Array) -> Array:
        terms = weights * values
        while terms.shape[-1] > 1:
            if terms.shape[-1] % 2:
                terms = self.xp.concatenate([terms, 0 * terms[..., :1]], axis=-1)
            terms = terms[..., ::2] + terms[..., 1::2]
        return terms

    def cumulative_sum(self, terms: Array, reverse: bool = False) -> Array:
        import jax

        return jax.lax.associative_scan(self.xp.add, terms, axis=1, reverse=reverse)


NUMPY = NumpyBackend(np)
_LIBRARIES: dict[type, str | None] = {np.ndarray: "numpy", list: None, tuple: None}


def library_of(values: Any) -> str | None:
    """Name of the array library, "other" for one that follows the array-API standard, or None.

    Other libraries than NumPy are asked about once a type, and array-api-compat, which takes
    a fifth of a second to load, is loaded for them alone.
    """
    kind = type(values)
    if kind in _LIBRARIES:
        return _LIBRARIES[kind]
    if isinstance(values, np.ndarray | np.generic):
        return "numpy"
    import array_api_compat as compat

    if not compat.is_array_api_obj(values):
        return None
    named = {"torch": compat.is_torch_array, "jax": compat.is_jax_array}
    _LIBRARIES[kind] = next((name for name, is_its in named.items() if is_its(values)), "other")
    return _LIBRARIES[kind]


def namespace(values: Array) -> Any:
    """The array-API namespace of an array that isn't NumPy's."""
    import array_api_compat

    return array_api_compat.array_namespace(values)


@lru_cache(maxsize=64)
def _torch_backend(device: Any) -> TorchBackend:
    """One backend a device, so that constants can be cached for it."""
    return TorchBackend(device)


def backend_of(values: Array) -> Backend:
    """The backend of an array that NumPy can't see."""
    match library_of(values):
        case "torch":
            return _torch_backend(values.device)
        case "jax":
            return JaxBackend(values)
    import array_api_compat

    return Backend(array_api_compat.array_namespace(values), array_api_compat.device(values))
