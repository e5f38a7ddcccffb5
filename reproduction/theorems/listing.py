"""Listing 1 written again: its formulas, dtypes and order of steps, not its text.

What it leaves unchecked is left unchecked here, since that is what is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _own(n: int, k: int) -> np.ndarray:
    """(n,) m_ii / C(n,k) by eq. (14); zeros below rank k."""
    found = np.zeros(n)
    for rank in range(max(k, 1), n + 1):
        ratios = np.arange(rank - k + 1, rank) / np.arange(n - k + 2, n + 1)
        found[rank - 1] = k / (n - k + 1) * np.prod(ratios)
    return found


def _above(n: int, k: int) -> np.ndarray:
    """(n,) m_ij / C(n,k) for i < j, by j; zeros below rank k and for k = 1."""
    found = np.zeros(n)
    if k >= 2:
        for rank in range(k, n + 1):
            ratios = np.arange(rank - k + 1, rank - 1) / np.arange(n - k + 2, n)
            found[rank - 1] = k / (n - k + 1) * (k - 1) / n * np.prod(ratios)
    return found


def _in_order(transform: Callable[[np.ndarray], np.ndarray], g: np.ndarray) -> np.ndarray:
    """`transform` on the sorted rewards, put back; the result has the rewards' dtype."""
    order = np.argsort(g)
    found = np.zeros_like(g)
    found[order] = transform(g[order])
    return found


def rho(g: np.ndarray, k: int) -> float:
    """Eq. (12)."""
    return float((np.sort(g) * _own(len(g), k)).sum())


def s(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (19)."""

    def transform(ranked: np.ndarray) -> np.ndarray:
        n = len(ranked)
        steps = ranked * _own(n, k)
        steps[: n - 1] += ranked[1:] * (_above(n, k) - _own(n, k))[1:]
        return np.cumsum(steps[::-1])[::-1]

    return _in_order(transform, g)


def _b(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (30)."""

    def transform(ranked: np.ndarray) -> np.ndarray:
        n = len(ranked)
        weights = _own(n - 1, k) + np.arange(n - 1) * _above(n - 1, k)
        first = (weights * ranked[1:]).sum()
        return np.cumsum(np.append(first, (ranked[:-1] - ranked[1:]) * weights))

    return _in_order(transform, g)


def sloo(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (29)."""
    return s(g, k) - _b(g, k) / (len(g) - 1)


def sloo_minus_one(g: np.ndarray, k: int) -> np.ndarray:
    """Eq. (33). NaN for k = 1, where it divides 0 by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return s(g, k) - np.divide(_b(g, k - 1) * k, k - 1) / len(g)
