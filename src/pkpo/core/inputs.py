"""What callers give: checked, and seen as NumPy arrays where it lies in host memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple, NoReturn

import numpy as np

from pkpo.core.backends import NUMPY, Array, Backend, backend_of, library_of, namespace
from pkpo.errors import InvalidInputError


def refuse_masked(values: Any, name: str) -> None:
    """Raise for a NumPy masked array, whose mask np.asarray would drop in silence."""
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidInputError(f"{name} is a masked array; give plain arrays and mask= instead")


def _host_array_of_numbers(values: Any, name: str) -> np.ndarray:
    """`values` (NumPy's, or lists) as a NumPy array, checked."""
    refuse_masked(values, name)
    if not isinstance(values, np.ndarray | np.generic):
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
    values, kind = np.asarray(values), values.dtype.kind
    if kind in "OUS":
        return _numbers(values, name)
    if kind not in "biuf" and _largest(values.dtype) is None:
        _refuse_dtype(values.dtype, name)
    if kind == "f" and values.dtype.itemsize > 8:
        raise InvalidInputError(
            f"{name} are {values.dtype}, but are computed with in float64: round them with "
            ".astype(np.float64), after taking off what all have in common"
        )
    _refuse_inexact(values, name)
    return values


def _refuse_dtype(dtype: Any, name: str) -> NoReturn:
    raise InvalidInputError(f"{name} must be real numbers or bools, got {dtype}")


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
        backend: that computes with them.
        dtype: of results.
        largest: number that a result may be.
        back: from the backend's arrays to the caller's library and dtype.
    """

    values: Array
    backend: Backend
    dtype: Any
    largest: float
    back: Callable[[Any], Array]


def view_of(values: Any, name: str, *, on_host: bool = False) -> View:
    """`values` checked, and as a NumPy array if they lie in host memory.

    NumPy sorts several times faster than torch and JAX do there. It compiles nothing, so
    outside jax.jit JAX arrays are brought to it from any device if `on_host`: with labels,
    each batch of groups of other sizes would need new programs.

    Raises:
        InvalidInputError: not real numbers or bools (naming the place), more digits than
            float64 holds, rows of unequal length, or masked.
    """
    library = library_of(values)
    if library in ("numpy", None):
        if type(values) is not np.ndarray or values.dtype.char not in "fd":
            values = _host_array_of_numbers(values, name)
        dtype = values.dtype if values.dtype.kind in "fV" else np.dtype(np.float64)
        return _host_view(values, dtype, _largest(dtype), lambda out: out.astype(dtype, copy=False))
    seen = None
    if library == "torch":
        seen = _view_of_tensor(values, name)
    elif namespace(values).isdtype(values.dtype, "complex floating"):
        _refuse_dtype(values.dtype, name)
    elif library == "jax":
        seen = _view_of_jax(values, name, on_host)
    return seen or _view_on_device(values)


def _host_view(values: np.ndarray, dtype: Any, largest: Any, back: Callable[..., Array]) -> View:
    if values.dtype.kind == "V" or values.dtype == np.float16:
        values = values.astype(np.float64)
    return View(values, NUMPY, dtype, float(largest), back)


def _view_on_device(values: Array) -> View:
    backend = backend_of(values)
    xp = backend.xp
    is_float = namespace(values).isdtype(values.dtype, "real floating")
    dtype = values.dtype if is_float else xp.asarray(1.0).dtype

    def back(out: Array) -> Array:
        return xp.astype(out, dtype, copy=False)

    return View(backend.detach(values), backend, dtype, float(xp.finfo(dtype).max), back)


def _view_of_tensor(values: Any, name: str) -> View | None:
    import torch

    if values.is_complex():
        _refuse_dtype(values.dtype, name)
    if values.device.type != "cpu":
        return None
    is_float = values.is_floating_point()
    dtype = values.dtype if is_float else torch.get_default_dtype()
    own = not is_float or dtype in (torch.float32, torch.float64)  # NumPy has the dtype
    try:
        view = (values if own else values.double()).numpy(force=True)
    except RuntimeError:  # inside torch.func
        return None
    except TypeError as error:
        raise InvalidInputError(f"can't read {name}: {error}") from error
    _refuse_inexact(view, name)

    def back(out: np.ndarray) -> Any:
        if dtype is torch.float32:  # NumPy casts small arrays several times faster
            return torch.from_numpy(out.astype(np.float32, copy=False))
        return torch.from_numpy(out).to(dtype)

    return View(view, NUMPY, dtype, torch.finfo(dtype).max, back)


def _view_of_jax(values: Any, name: str, from_any_device: bool) -> View | None:
    import jax
    from jax.core import Tracer

    if isinstance(values, Tracer) or len(devices := values.devices()) > 1:
        return None
    if next(iter(devices)).platform != "cpu" and not from_any_device:
        return None
    is_float = jax.numpy.issubdtype(values.dtype, jax.numpy.floating)
    dtype = values.dtype if is_float else jax.numpy.zeros(()).dtype
    _refuse_inexact(seen := np.asarray(values), name)

    def back(out: np.ndarray) -> Any:
        return jax.device_put(out.astype(dtype), values.sharding if values.committed else None)

    return _host_view(seen, dtype, jax.numpy.finfo(dtype).max, back)


def host_array(values: Any, name: str) -> np.ndarray:
    """`values` (labels or a mask of any library) as a NumPy array; waits for the device.

    Raises:
        InvalidInputError: `values` is traced (jax.jit, torch.func), so its content isn't known.
    """
    refuse_masked(values, name)
    if isinstance(values, np.ndarray):
        return values
    library = library_of(values)
    try:
        if library == "torch":
            return values.detach().cpu().numpy()
        if library == "other":
            import array_api_compat

            home = namespace(values).__array_namespace_info__().default_device()
            values = array_api_compat.to_device(values, home)
        return np.asarray(values)
    except Exception as error:
        if library in ("torch", "jax"):
            raise InvalidInputError(
                f"{name} must be concrete here, since it can't be read inside jax.jit, vmap and "
                "torch.func: pass a NumPy array, or the whole batch without vmap (the last axis "
                "is the group, leading axes are the batch); a mask may be traced under "
                "small_groups= other than 'raise'"
            ) from error
        raise InvalidInputError(f"can't read {name}: {error}") from error


def checked_mask(mask: Any, shape: tuple[int, ...], *, on_host: bool) -> Array:
    """Bools of this shape, as a NumPy array if `on_host`.

    Raises:
        InvalidInputError: of another shape or dtype, masked, or traced while `on_host`.
    """
    if type(mask) is not np.ndarray:
        refuse_masked(mask, "mask")
        mask = np.asarray(mask) if library_of(mask) is None else mask
    if tuple(mask.shape) != shape:
        raise InvalidInputError(
            f"mask must have the shape of the rewards, {shape}, got {tuple(mask.shape)}"
        )
    if on_host:
        mask = host_array(mask, "mask")
    if isinstance(mask, np.ndarray):
        is_bool = mask.dtype == bool
    else:
        is_bool = namespace(mask).isdtype(mask.dtype, "bool")
    if not is_bool:
        raise InvalidInputError(f"mask must hold bools, got {mask.dtype}")
    return mask
