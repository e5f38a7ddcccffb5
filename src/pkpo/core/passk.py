"""pass@k from counts of correct samples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pkpo.core.backends import refuse_masked
from pkpo.errors import InvalidInputError, UndefinedEstimateError


def _integers(values: Any, name: str) -> np.ndarray:
    refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidInputError(f"{name} must be rectangular: {error}") from error
    if array.dtype.kind not in "iu":
        whole = array.dtype.kind == "f" and bool(np.all(array == np.floor(array)))
        if not whole or not np.all(np.isfinite(array)):
            raise InvalidInputError(f"{name} must hold integers, got {_shown(array)}")
    return array.astype(np.int64)


def _shown(array: np.ndarray) -> str:
    return repr(array.item()) if array.ndim == 0 else f"dtype {array.dtype}: {array!s:.60}"


def _refuse(bad: np.ndarray, error: type[Exception], what: str, **values: np.ndarray) -> None:
    if not bad.any():
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    at = f" at position [{', '.join(map(str, place))}]" if place else ""
    shown = ", ".join(f"{name} = {array[place]}" for name, array in values.items())
    raise error(f"{what}{at}: got {shown}")


def _failure(n: int, c: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k) as -expm1 of a sum of logs: no overflow, no cancellation."""
    if c > n - k:
        return 1.0
    few, many = min(c, k), max(c, k)
    if few <= 1:
        return few * many / n
    return -float(np.expm1(np.log1p(-many / np.arange(n, n - few, -1.0)).sum()))


def pass_at_k(
    num_samples: Any,
    num_correct: Any,
    k: Any,
    *,
    undefined: Literal["raise", "nan"] = "raise",
) -> Any:
    """Unbiased pass@k, 1 - C(n-c, k) / C(n, k), of n samples of which c are correct.

    Args:
        num_samples: n, integers >= 0, any shape that broadcasts with the others.
        num_correct: c, integers in 0..n.
        k: integers >= 1.
        undefined: what to do where n < k, for which no unbiased estimate exists: "raise"
            or give "nan".

    Returns:
        float64 in [0, 1] of the broadcast shape (a float for scalars), to a relative error
        of about 1e-15 for n up to 10^6 and beyond.

    Raises:
        UndefinedEstimateError: n < k under undefined="raise"; names the position.
        InvalidInputError: not integers, or out of range; names the position.

    Cost: O(min(c, k)) for each distinct triple (n, c, k).

    Source: 2505.15201, eq. (3); Chen et al. 2021 (2107.03374).

    >>> pass_at_k(16, [0, 1, 4], 8).tolist()
    [0.0, 0.5, 0.9615384615384616]
    """
    if undefined not in ("raise", "nan"):
        raise InvalidInputError(f"undefined must be 'raise' or 'nan', got {undefined!r}")
    try:
        n, c, k = np.broadcast_arrays(
            _integers(num_samples, "num_samples"),
            _integers(num_correct, "num_correct"),
            _integers(k, "k"),
        )
    except ValueError as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"num_samples, num_correct and k don't broadcast: {error}"
        ) from error
    _refuse(n < 0, InvalidInputError, "num_samples must be >= 0", num_samples=n)
    _refuse(k < 1, InvalidInputError, "k must be >= 1", k=k)
    in_range = (c >= 0) & (c <= n)
    _refuse(
        ~in_range,
        InvalidInputError,
        "num_correct must be in 0..num_samples",
        num_correct=c,
        num_samples=n,
    )
    short = n < k
    if undefined == "raise":
        _refuse(
            short,
            UndefinedEstimateError,
            "pass@k has no unbiased estimate for num_samples < k",
            num_samples=n,
            k=k,
        )
    triples, inverse = np.unique(
        np.stack([n, c, k], axis=-1).reshape(-1, 3), axis=0, return_inverse=True
    )
    values = [np.nan if n_ < k_ else _failure(n_, c_, k_) for n_, c_, k_ in triples.tolist()]
    out = np.asarray(values)[inverse.reshape(-1)].reshape(n.shape)
    return float(out) if out.ndim == 0 else out
