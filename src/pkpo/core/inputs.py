"""What callers give: checked, and seen as NumPy arrays where they lie in host memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from pkpo.core.backends import Array, Backend, result_dtype
from pkpo.errors import InvalidInputError


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
        InvalidInputError: not real numbers or bools (naming the place), more digits than
            float64 holds, rows of unequal length, or masked.
    """
    refuse_masked(values, name)
    if not isinstance(values, np.ndarray | np.generic):
        if array_api_compat.is_torch_array(values) and not values.is_complex():
            return values
        if is_array(values):
            xp = array_api_compat.array_namespace(values)
            if xp.isdtype(values.dtype, "complex floating"):
                raise InvalidInputError(f"{name} must be real numbers or bools, got {values.dtype}")
            return values
        try:
            array = np.asarray(values)
            # NumPy rounds integers that stand beside floats, and makes text of all beside text.
            rounded = array.dtype.kind == "f" and np.any(np.abs(array) >= _EXACT)
            if rounded or array.dtype.kind in "US":
                array = np.asarray(values, dtype=object)
        except ValueError as error:
            raise InvalidInputError(
                f"{name} must be rectangular ({error}); for groups of unequal size give flat "
                f"{name} with groups=, or pad and give mask="
            ) from error
        values = array
    kind = values.dtype.kind
    if kind in "OUS":
        return _numbers(np.asarray(values), name)
    if kind not in "biuf" and _largest(values.dtype) is None:
        raise InvalidInputError(f"{name} must be real numbers or bools, got {values.dtype}")
    if kind == "f" and values.dtype.itemsize > 8:
        raise InvalidInputError(
            f"{name} are {values.dtype}, but are computed with in float64: round them with "
            ".astype(np.float64), after taking off what all have in common"
        )
    _refuse_inexact(np.asarray(values), name)
    return values


_EXACT = 2**53
"""Up to here float64 holds every integer."""


def _refuse_inexact(values: np.ndarray, name: str) -> None:
    """Raise for integers that float64 doesn't hold."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return
    if values.max() <= _EXACT and values.min() >= -_EXACT:
        return
    for place in np.argwhere((values > _EXACT) | (values < -_EXACT)).tolist():
        _refuse_rounded(int(values[*place]), name, place)


def shown(place: Sequence[int]) -> str:
    return f"[{', '.join(map(str, place))}]"


def _refuse_rounded(value: int, name: str, place: Sequence[int]) -> None:
    if int(float(value)) != value:
        raise InvalidInputError(
            f"{name}{shown(place)} is {value}, which float64 can't hold; take "
            "off what all have in common, or round them with .astype(np.float64)"
        )


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Python objects as float64."""
    out = np.empty(values.shape)
    for place, value in np.ndenumerate(values):
        number = isinstance(value, Real | Decimal | np.bool_)
        try:
            out[place] = float(value) if number else math.nan
        except (OverflowError, ValueError):
            number = False
        if not number:
            raise InvalidInputError(
                f"{name}{shown(place)} is {value!r:.60}; {name} must be real numbers or bools "
                "(to leave a sample out, give NaN and mask=)"
            )
        if isinstance(value, Integral):
            _refuse_rounded(int(value), name, place)
    return out


@lru_cache
def _largest(dtype: np.dtype) -> float | None:
    """The largest number of a floating dtype, NumPy's or one that ml_dtypes adds to it."""
    of_kind = {"f": np.finfo, "V": getattr(sys.modules.get("ml_dtypes"), "finfo", None)}
    finfo = of_kind.get(dtype.kind)
    try:
        return None if finfo is None else float(finfo(dtype).max)
    except (TypeError, ValueError):
        return None


class View(NamedTuple):
    """An array as it is computed with.

    Args:
        values: bools, integers or floats.
        largest: number of the dtype of results.
        back: from results to an array of the caller's library and dtype.
    """

    values: Array
    largest: float
    back: Callable[[Any], Array]


def host_view(values: Array, name: str, *, labelled: bool) -> View | None:
    """A view of an array in host memory, or None if NumPy can't see it.

    NumPy sorts several times faster than torch and JAX do there. It compiles nothing, so JAX
    arrays with labels are brought to it from any device: outside jax.jit, each batch of
    groups of other sizes would need new programs.
    """
    if isinstance(values, np.ndarray | np.generic):
        values = np.asarray(values)
        dtype = values.dtype if values.dtype.kind in "fV" else np.dtype(np.float64)
        return _host_view(values, _largest(dtype), lambda out: out.astype(dtype, copy=False))
    if array_api_compat.is_torch_array(values):
        return _view_of_tensor(values, name)
    if array_api_compat.is_jax_array(values):
        return _view_of_jax(values, name, labelled)
    return None


def _host_view(values: np.ndarray, largest: Any, back: Callable[[np.ndarray], Array]) -> View:
    narrow = values.dtype.kind == "V" or values.dtype == np.float16
    return View(values.astype(np.float64) if narrow else values, float(largest), back)


def device_view(values: Array, backend: Backend) -> View:
    """An array as the other backends compute with it."""
    xp, dtype = backend.xp, result_dtype(values)
    largest = float(xp.finfo(backend.compute_dtype).max)
    return View(backend.detach(values), largest, lambda out: xp.astype(out, dtype, copy=False))


def _view_of_tensor(values: Any, name: str) -> View | None:
    import torch

    if values.device.type != "cpu":
        return None
    dtype = values.dtype if values.is_floating_point() else torch.get_default_dtype()
    seen = values.detach()
    if seen.is_floating_point() and dtype not in (torch.float32, torch.float64):
        seen = seen.double()
    try:
        view = seen.resolve_neg().numpy()
    except RuntimeError:  # inside torch.func
        return None
    except TypeError as error:
        raise InvalidInputError(f"can't read {name}: {error}") from error
    _refuse_inexact(view, name)

    def back(out: np.ndarray) -> Any:
        if dtype is torch.float32:  # NumPy casts small arrays several times faster
            out = out.astype(np.float32, copy=False)
        return torch.from_numpy(out).to(dtype)

    return View(view, torch.finfo(dtype).max, back)


def _view_of_jax(values: Any, name: str, labelled: bool) -> View | None:
    import jax
    from jax.core import Tracer

    if isinstance(values, Tracer) or len(devices := values.devices()) > 1:
        return None
    if next(iter(devices)).platform != "cpu" and not labelled:
        return None
    is_float = jax.numpy.issubdtype(values.dtype, jax.numpy.floating)
    dtype = values.dtype if is_float else jax.numpy.zeros(()).dtype
    _refuse_inexact(seen := np.asarray(values), name)

    def back(out: np.ndarray) -> Any:
        out = out.astype(dtype)
        return jax.device_put(out, values.sharding if values.committed else None)

    return _host_view(seen, jax.numpy.finfo(dtype).max, back)


def host_array(values: Any, name: str) -> np.ndarray:
    """`values` (labels or a mask of any library) as a NumPy array; waits for the device.

    Raises:
        InvalidInputError: `values` is traced (jax.jit, torch.func), so its content isn't known.
    """
    refuse_masked(values, name)
    if isinstance(values, np.ndarray):
        return values
    is_torch = array_api_compat.is_torch_array(values)
    try:
        if is_torch:
            return values.detach().cpu().numpy()
        if array_api_compat.is_array_api_obj(values) and not array_api_compat.is_jax_array(values):
            xp = array_api_compat.array_namespace(values)
            home = xp.__array_namespace_info__().default_device()
            values = array_api_compat.to_device(values, home)
        return np.asarray(values)
    except Exception as error:
        if is_torch or array_api_compat.is_jax_array(values):
            raise InvalidInputError(
                f"{name} must be concrete here, since it can't be read inside jax.jit, vmap and "
                "torch.func: pass a NumPy array, or the whole batch without vmap (the last axis "
                "is the group, leading axes are the batch); a mask may be traced under "
                "small_groups= other than 'raise'"
            ) from error
        raise InvalidInputError(f"can't read {name}: {error}") from error
