"""pass@k from counts of correct samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pkpo.core.inputs import refuse_masked
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


_BLOCK = 2**14
"""Rows at a time, so that what is calculated on the way stays in the cache."""

_STIRLING = 16.0
"""From here on five terms of Stirling's series give log(x!) to 1e-16."""


def _stirling(x: np.ndarray) -> np.ndarray:
    """log(x!) - ((x + 1/2) log x - x + log(2 pi) / 2)."""
    y = 1.0 / (x * x)
    return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x


def _by_stirling(n: np.ndarray, c: np.ndarray, k: np.ndarray) -> np.ndarray:
    """For n-c-k >= 16: -expm1 of log((n-c)! (n-k)! / (n! (n-c-k)!)), in which the logs are
    taken together until nothing large is left to cancel."""
    without_c, without_k, rest = n - c, n - k, n - c - k
    log_c, log_k = np.log1p(-c / n), np.log1p(-k / n)
    log_both = np.log1p(-(c * k) / (without_c * without_k))  # n rest / ((n-c) (n-k))
    series = _stirling(without_c) + _stirling(without_k) - _stirling(rest) - _stirling(n)
    return -np.expm1(k * log_c + c * log_k - (rest + 0.5) * log_both + series)


def _by_draws(n: np.ndarray, few: np.ndarray, many: np.ndarray) -> np.ndarray:
    """For 0 <= n-c-k < 16: success at each of the draws, all of them positive terms. What
    is left after 64 draws is below 1e-16."""
    found = many / n
    for i in range(1, int(min(few.max(initial=0.0), 64.0))):
        found += np.where(few > i, (1.0 - found) * (many / (n - i)), 0.0)
    return found


def _values(n: np.ndarray, c: np.ndarray, k: np.ndarray) -> np.ndarray:
    """pass@k of (rows,) float64 counts; NaN where n < k."""
    few, many, rest = np.minimum(c, k), np.maximum(c, k), n - c - k
    values = few * many / n  # right where one of them is 0 or 1
    certain = (rest < 0.0) | (values > 40.0)  # the failure is at most exp(-c k / n)
    open_ = (few > 1.0) & ~certain
    values[certain] = 1.0
    at = np.flatnonzero(open_ & (rest >= _STIRLING))
    values[at] = _by_stirling(n[at], c[at], k[at])
    at = np.flatnonzero(open_ & (rest < _STIRLING))
    values[at] = _by_draws(n[at], few[at], many[at])
    values[n < k] = np.nan
    return values


def _in_blocks(rows: Sequence[np.ndarray]) -> np.ndarray:
    out = np.empty(rows[0].shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, out.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            out[block] = _values(*(row[block].astype(np.float64) for row in rows))
    return out


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

    Cost: O(1) a row, where fewer than 16 samples are neither correct nor drawn
        O(min(c, k, 64)); memory for the result and a block of rows.

    Source: 2505.15201, eq. (3); Chen et al. 2021 (2107.03374).

    >>> pass_at_k(16, [0, 1, 4], 8).round(9).tolist()
    [0.0, 0.5, 0.961538462]
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
    if n.size == 0:
        return np.empty(n.shape)
    rows = [array.reshape(-1) for array in (n, c, k)]
    low = [int(row.min()) for row in rows]
    sizes = [int(row.max()) - least + 1 for row, least in zip(rows, low)]
    if math.prod(sizes) < n.size:  # fewer triples than rows
        grid = np.indices(sizes).reshape(3, -1)
        triples = _in_blocks([axis + least for axis, least in zip(grid, low)])
        place = np.ravel_multi_index([row - least for row, least in zip(rows, low)], sizes)
        out = triples[place].reshape(n.shape)
    else:
        out = _in_blocks(rows).reshape(n.shape)
    return float(out) if out.ndim == 0 else out
