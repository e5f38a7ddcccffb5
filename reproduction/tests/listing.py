"""Listing 1 written again: its formulas, dtypes and order of steps, not its text.

What it leaves unchecked is left unchecked here, since that is what is looked at. `numbers` is
NumPy's `arange`, or makes numbers that count the operations on them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Numbers = Callable[[int, int], np.ndarray]


def own_weights(n: int, k: int, numbers: Numbers = np.arange) -> np.ndarray:
    """(n,) m_ii / C(n,k) by eq. (14); zeros below rank k."""
    below = [0.0] * min(k - 1, n)
    return np.array(
        below
        + [
            k / (n - k + 1) * np.prod(numbers(rank - k + 1, rank) / numbers(n - k + 2, n + 1))
            for rank in range(max(k, 1), n + 1)
        ]
    )


def _above(n: int, k: int, numbers: Numbers) -> np.ndarray:
    """(n,) m_ij / C(n,k) for i < j, by j; zeros below rank k and for k = 1."""
    if k < 2:
        return np.zeros(n)
    first = k / (n - k + 1) * (k - 1) / n if n >= k else 0.0
    return np.array(
        [0.0] * min(k - 1, n)
        + [
            first * np.prod(numbers(rank - k + 1, rank - 1) / numbers(n - k + 2, n))
            for rank in range(k, n + 1)
        ]
    )


def _s(g: np.ndarray, k: int, numbers: Numbers = np.arange) -> np.ndarray:
    n = len(g)
    own = own_weights(n, k, numbers)
    steps = g * own
    steps[: n - 1] += g[1:] * (_above(n, k, numbers) - own)[1:]
    return np.cumsum(steps[::-1])[::-1]


def _b(g: np.ndarray, k: int, numbers: Numbers = np.arange) -> np.ndarray:
    n = len(g)
    weights = own_weights(n - 1, k, numbers) + np.arange(n - 1) * _above(n - 1, k, numbers)
    first = (weights * g[1:]).sum()
    return np.cumsum(np.append(first, (g[:-1] - g[1:]) * weights))


FORMULAS = {
    "s": _s,
    "sloo": lambda g, k, numbers: _s(g, k, numbers) - _b(g, k, numbers) / (len(g) - 1),
    "sloo_minus_one": lambda g, k, numbers: (
        _s(g, k, numbers) - _b(g, k - 1, numbers) * k / (k - 1) / len(g)
    ),
}
"""From sorted rewards, for counting."""


def _in_order(transform: Callable[..., np.ndarray], g: np.ndarray, k: int) -> np.ndarray:
    """`transform` on the sorted rewards, put back; the result has the rewards' dtype."""
    order = np.argsort(g)
    found = np.zeros_like(g)
    found[order] = transform(g[order], k)
    return found


def rho(g: np.ndarray, k: int) -> float:
    """Eq. (12)."""
    return float((np.sort(g) * own_weights(len(g), k)).sum())


def s(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (19)."""
    return _in_order(_s, g, k)


def sloo(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (29)."""
    return s(g, k) - _in_order(_b, g, k) / (len(g) - 1)


def sloo_minus_one(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (33). NaN for k = 1, where it divides 0 by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return s(g, k) - np.divide(_in_order(_b, g, k - 1) * k, k - 1) / len(g)
