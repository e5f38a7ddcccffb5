"""Theorems 5-7: the transforms are the sums over subsets, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

import pkpo
from pkpo.core.weights import Baseline
from reproduction.old_results import PKPO, Claim, Table
from reproduction.theorems import cost, printed
from reproduction.theorems.compare import (
    TOLERANCE,
    Comparison,
    Finding,
    Sizes,
    exact,
    within,
    yes_or_no,
)

SEED = 20250521
"""Of the rewards."""

GROWTH = 1.1
"""How much more operations for each of the n + k the largest groups may take than the smallest."""

LARGE_N, LARGE_K = 2048, 1024
"""A group whose number of subsets is beyond float64."""

TIMED_K = 8
TIMED_SAMPLES = 2**18


@dataclass(frozen=True)
class _Transform:
    name: str
    place: str
    equation: str
    baseline: Baseline
    subsets: Callable[[Sequence[Fraction], int], list[Fraction]]
    least: int
    beyond: int


_TRANSFORMS = (
    _Transform("s", "Theorem 5", "(19)", "none", printed.over_subsets, 1, 0),
    _Transform("sloo", "Theorem 6", "(29)", "paper_loo", printed.sloo, 1, 1),
    _Transform(
        "sloo_minus_one", "Theorem 7", "(33)", "loo_minus_one", printed.sloo_minus_one, 2, 0
    ),
)


def random_groups(n: int, count: int, seed: int) -> list[list[Fraction]]:
    """Sorted eighths between -1 and 1, ties among them."""
    values = np.random.default_rng((seed, n)).integers(-8, 9, size=(count, n))
    return [sorted(Fraction(int(v), 8) for v in row) for row in values]


def transforms(sizes: Sizes) -> Iterator[Finding]:
    """Eq. (19) against (27), then each theorem: values, then cost."""
    matrix, recursion = Comparison(), Comparison()
    for n in range(1, sizes.subsets + 1):
        for g in random_groups(n, sizes.groups, SEED):
            for k in range(1, n + 1):
                wanted = printed.over_subsets(g, k)
                matrix.add(printed.effective(g, k), wanted, f"n={n}, k={k}")
                recursion.add(printed.effective_from_right(g, k), wanted, f"n={n}, k={k}")
    checked = f"as printed; {sizes.groups} random groups each, k ≤ n ≤ {sizes.subsets}"
    yield exact("Eq. (19)-(21), (27)", "s_i is the sum over the subsets with i.", checked, matrix)
    yield exact("Eq. (48), (49)", "The recursion from the right gives s.", checked, recursion)
    for transform in _TRANSFORMS:
        yield _values(transform, sizes)
        yield _cost(transform, sizes)
    yield _in_sequence()


def _values(transform: _Transform, sizes: Sizes) -> Finding:
    compared = Comparison()
    for n in range(1, sizes.subsets + 1):
        for g in random_groups(n, sizes.groups, SEED):
            for k in range(transform.least, n - transform.beyond + 1):
                found = pkpo.advantages([float(v) for v in g], k, baseline=transform.baseline)
                wanted = transform.subsets(g, k)
                compared.add([Fraction(v) for v in found.tolist()], wanted, f"n={n}, k={k}")
    return within(
        f"{transform.place}, values",
        f"{transform.name} is the sum over all subsets of eq. {transform.equation}.",
        f'advantages(baseline="{transform.baseline}"); {sizes.groups} random groups each, '
        f"n ≤ {sizes.subsets}",
        compared,
    )


def _cost(transform: _Transform, sizes: Sizes) -> Finding:
    recursion = cost.RECURSIONS[transform.name]
    compared = Comparison()
    for n in range(1, sizes.subsets + 1):
        for g in random_groups(n, 1, SEED):
            for k in range(transform.least, n - transform.beyond + 1):
                compared.add(recursion(g, k, Fraction), transform.subsets(g, k), f"n={n}, k={k}")
    ratios = [
        max(cost.operations(recursion, n, k) / (n + k) for k in (2, n // 4, n // 2, n - 1))
        for n in sizes.operations
    ]
    smallest, largest = sizes.operations[0], sizes.operations[-1]
    claim = Claim(
        PKPO,
        f"{transform.place}, cost",
        f"{transform.name} takes O(k + n log n).",
        f"The proof's recursion, mended, gives the sums over subsets exactly, and its operations "
        f"after the sort over n + k, at most over k = 2, n/4, n/2, n-1, are for n = {largest} no "
        f"more than {GROWTH:g} times those for n = {smallest}.",
        f"At most {ratios[0]:.1f} (n + k) operations for n = {smallest} and "
        f"{ratios[-1]:.1f} (n + k) for n = {largest}; deviation from the sums over subsets "
        f"{compared}.",
        yes_or_no(compared.exact and ratios[-1] <= GROWTH * ratios[0]),
    )
    checked = f"operations counted, n ≤ {largest}"
    return Finding(claim, checked, f"≤ {max(ratios):.1f} (n + k) operations")


def _in_sequence() -> Finding:
    rewards = np.sort(np.random.default_rng(SEED).random(LARGE_N))
    wanted = pkpo.advantages(rewards, LARGE_K, baseline="none")
    found = np.array(cost.effective(rewards.tolist(), LARGE_K, float))
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    zeros = int((found == 0).sum())
    claim = Claim(
        PKPO,
        "App. A.4",
        "The weights can be had in sequence, each from the one before, after computing the first.",
        f"In float64 at n = {LARGE_N}, k = {LARGE_K} that gives the s of the package to a relative "
        f"error of {TOLERANCE:g}.",
        f"Relative error {error:.3g}; {zeros} of {LARGE_N} numbers are 0. The first weight is one "
        f"over the number of subsets, which float64 can't hold; the package starts from the last.",
        yes_or_no(error <= TOLERANCE),
    )
    return Finding(claim, f"n = {LARGE_N}, k = {LARGE_K}, float64", f"{error:.2g} (relative)")


def times(sizes: Sizes) -> Table:
    """Measured, unlike all else here, so not the same twice."""
    rows = []
    for n in sizes.timed:
        found = cost.timing(n, TIMED_K, TIMED_SAMPLES, sizes.repetitions, SEED)
        rows.append(
            (
                f"{n:,}",
                f"{1e9 * found.sort:.1f}",
                f"{1e9 * found.package:.1f}",
                f"{found.package / found.sort:.2f}",
            )
        )
    return Table(
        name="times",
        title="Theorem 7 on the clock: nanoseconds per sample",
        headers=("n", "argsort", "advantages", "ratio"),
        rows=tuple(rows),
        notes=(
            f"max@{TIMED_K} with loo_minus_one on groups that make {TIMED_SAMPLES:,} rewards "
            f"together; the least of {sizes.repetitions} times. Measured on the machine at hand: "
            "the only numbers here that differ from run to run.",
        ),
    )
