"""The printed equations and Listing 1, taken at their word.

The paper was read in a machine-made text version, so what looks like a slip in an equation
may be one of the reading. The listing's `c[:-(N-1)]` is: other transcriptions of the same
version of the paper have `c[:(N-1)]`, which is what is looked at here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.theorems import listing, printed
from reproduction.theorems.compare import (
    TOLERANCE,
    WITHIN,
    Comparison,
    Finding,
    Sizes,
    within,
    yes_or_no,
)
from reproduction.theorems.policy import TIED, expected_gradient, on_groups
from reproduction.theorems.transforms import SEED, random_groups

INTEGERS = (0, 0, 1, 0, 1)
"""Rewards of a group, as integers."""


def equations(sizes: Sizes) -> Iterator[Finding]:
    """Those that need a remark: (20), (25), (31), (32), (34)."""
    yield _condition(sizes)
    yield _in_expectation()
    groups = list(_groups(sizes))
    for number, statement, mend, compare in (
        ("(31)", "b_1 is the printed sum.", "with i-1 for the rank of sample i", _first),
        ("(32)", "b_(i+1) follows from b_i by the printed step.", "with i-1 for i-2", _next),
        ("(34)", "The leftmost sum is the middle one.", "with i ∈ J under the sum", _smaller),
    ):
        as_printed, mended = Comparison(), Comparison()
        for g, k in groups:
            compare(g, k, as_printed, mended)
        claim = Claim(
            PKPO,
            f"Eq. {number}",
            statement,
            "As the text version has it, it never deviates, in rational numbers.",
            f"In the text version, from which this is judged: {as_printed.found} Mended {mend}: "
            f"{mended}.",
            yes_or_no(as_printed.exact),
        )
        yield Finding(claim, f"k < n ≤ {sizes.subsets}; mended: {mended}", str(as_printed))
    last = Comparison()
    for g, k in groups:
        if k >= 2:
            factor = Fraction(k, len(g) * (k - 1))
            sums = [printed.smaller_subsets(g, k, i) for i in range(len(g))]
            last.add(sums, [factor * b for b in printed.baselines(g, k - 1)], f"n={len(g)}, k={k}")
    claim = Claim(
        PKPO,
        "Eq. (34), right",
        "The middle sum is k / (n (k-1)) times b^(k-1).",
        "No deviation at all, in rational numbers.",
        last.found,
        yes_or_no(last.exact),
    )
    yield Finding(claim, f"2 ≤ k < n ≤ {sizes.subsets}", str(last))


def _groups(sizes: Sizes) -> Iterator[tuple[list[Fraction], int]]:
    for n in range(2, sizes.subsets + 1):
        for g in random_groups(n, sizes.groups, SEED):
            for k in range(1, n):
                yield g, k


def _first(g: list[Fraction], k: int, as_printed: Comparison, mended: Comparison) -> None:
    wanted = printed.baselines(g, k)[:1]
    where = f"n={len(g)}, k={k}"
    as_printed.add([printed.first_baseline(g, k, printed=True)], wanted, where)
    mended.add([printed.first_baseline(g, k, printed=False)], wanted, where)


def _next(g: list[Fraction], k: int, as_printed: Comparison, mended: Comparison) -> None:
    b = printed.baselines(g, k)
    for i, (before, after) in enumerate(itertools.pairwise(b), start=1):
        where = f"n={len(g)}, k={k}, i={i}"
        as_printed.add([printed.next_baseline(g, k, i, before, printed=True)], [after], where)
        mended.add([printed.next_baseline(g, k, i, before, printed=False)], [after], where)


def _smaller(g: list[Fraction], k: int, as_printed: Comparison, mended: Comparison) -> None:
    if k < 2:
        return
    with_i = [
        s - d for s, d in zip(printed.over_subsets(g, k), printed.sloo_minus_one(g, k), strict=True)
    ]
    for i, own in enumerate(with_i):
        wanted = [printed.smaller_subsets(g, k, i)]
        where = f"n={len(g)}, k={k}, i={i + 1}"
        as_printed.add([printed.smaller_subsets_printed(g, k, i)], wanted, where)
        mended.add([own], wanted, where)


def _condition(sizes: Sizes) -> Finding:
    below = [printed.diagonal(k - 1, k) for k in range(2, sizes.counts + 1)]
    claim = Claim(
        PKPO,
        "Eq. (20)",
        "The diagonal is a binomial for i ≥ k-1 and 0 below; the proof says 0 for i < k.",
        "The binomial is 0 at i = k-1, the one place where the two differ.",
        f"At i = k-1 it is {max(below)} for every k up to {sizes.counts}: a slip without effect.",
        yes_or_no(not any(below)),
    )
    return Finding(claim, f"2 ≤ k ≤ {sizes.counts}", str(max(below)))


def _in_expectation() -> Finding:
    n, k = 4, 2
    alike, groups, mean = 0, 0, Comparison()
    rows = on_groups(TIED, n, lambda g: printed.over_subsets(g, k))
    whole = on_groups(TIED, n, lambda g: [printed.best_of_subsets(g, k)] * n)
    for (outcomes, _), s, rho in zip(TIED.groups(n), rows, whole, strict=True):
        scores = [TIED.score(x) for x in outcomes]
        sides = [
            [
                sum((a * v[b] for a, v in zip(row, scores, strict=True)), Fraction(0))
                for b in range(4)
            ]
            for row in (rho, s)
        ]
        alike, groups = alike + (sides[0] == sides[1]), groups + 1
    mean.add(expected_gradient(TIED, n, rows), expected_gradient(TIED, n, whole))
    claim = Claim(
        PKPO,
        "Eq. (25)",
        "Eq. (24) and (25) have the same mean.",
        "The means of both sides agree, in rational numbers.",
        f"With n = {n}, k = {k} the means deviate by {mean}; group by group the sides agree in "
        f"{alike} of {groups}, which the text below them says.",
        yes_or_no(mean.exact),
    )
    return Finding(claim, f"{TIED.name}, n = {n}, k = {k}", f"means: {mean}")


def code(sizes: Sizes) -> Iterator[Finding]:
    """Listing 1 on floats, then where it is silent."""
    yield within(
        "Listing 1, rho",
        "rho implements eq. (12).",
        f"floats, k ≤ n ≤ {sizes.subsets}",
        _against(
            sizes, lambda g, k: [listing.rho(g, k)], lambda g, k: [printed.best_of_subsets(g, k)]
        ),
    )
    yield within(
        "Listing 1, s",
        "s implements eq. (19).",
        f"floats, k ≤ n ≤ {sizes.subsets}",
        _against(sizes, listing.s, printed.over_subsets),
    )
    yield within(
        "Listing 1, sloo",
        "sloo implements eq. (29) for k < n.",
        f"floats, k < n ≤ {sizes.subsets}",
        _against(sizes, listing.sloo, printed.sloo, beyond=1),
    )
    yield _minus_one(sizes)
    yield _integers()
    yield _without_baseline(sizes)
    yield _too_few(sizes)


def _against(
    sizes: Sizes,
    found: Callable[[np.ndarray, int], np.ndarray | list[float]],
    wanted: Callable[[list[Fraction], int], list[Fraction]],
    *,
    least: int = 1,
    beyond: int = 0,
) -> Comparison:
    compared = Comparison()
    for n in range(1, sizes.subsets + 1):
        for g in random_groups(n, sizes.groups, SEED):
            rewards = np.array([float(v) for v in g])
            for k in range(least, n - beyond + 1):
                values = [Fraction(float(v)) for v in found(rewards, k)]
                compared.add(values, wanted(g, k), f"n={n}, k={k}")
    return compared


def _minus_one(sizes: Sizes) -> Finding:
    compared = _against(sizes, listing.sloo_minus_one, printed.sloo_minus_one, least=2)
    first = listing.sloo_minus_one(np.array([0.0, 0.25, 1.0]), 1)
    finite = bool(np.isfinite(first).all())
    verdict = Verdict.NO
    if compared.within:
        verdict = Verdict.HOLDS if finite else Verdict.IN_PART
    claim = Claim(
        PKPO,
        "Listing 1, sloo_minus_one",
        "sloo_minus_one implements eq. (33).",
        f"{WITHIN[:-1]} for every 2 ≤ k ≤ n, and k = 1 gives numbers; in part: all but k = 1.",
        f"2 ≤ k ≤ n: {compared.found} k = 1 gives {first.tolist()}: it divides 0 by 0.",
        verdict,
    )
    happened = f"{compared}; k = 1: {'numbers' if finite else 'NaN'}"
    return Finding(claim, f"floats, k ≤ n ≤ {sizes.subsets}", happened)


def _integers() -> Finding:
    whole = np.array(INTEGERS)
    found = {
        name: (function(whole, 2), function(whole.astype(float), 2))
        for name, function in (
            ("s", listing.s),
            ("sloo", listing.sloo),
            ("sloo_minus_one", listing.sloo_minus_one),
        )
    }
    worst = max(float(np.abs(a - b).max()) for a, b in found.values())
    shown = "; ".join(
        f"{name} gives {_row(a)} in the place of {_row(b)}" for name, (a, b) in found.items()
    )
    claim = Claim(
        PKPO,
        "Listing 1, zeros_like",
        "The functions take the vector of rewards, such as 0 and 1.",
        "Rewards 0 and 1 give the same as integers and as floats.",
        f"For {list(INTEGERS)} at k = 2 as integers {shown}: results take the rewards' dtype.",
        yes_or_no(worst <= TOLERANCE),
    )
    return Finding(claim, f"{list(INTEGERS)}, k = 2", f"{worst:.2g}")


def _without_baseline(sizes: Sizes) -> Finding:
    same = cases = 0
    for n in range(2, sizes.subsets + 1):
        for g in random_groups(n, sizes.groups, SEED):
            rewards = np.array([float(v) for v in g])
            same += bool(np.array_equal(listing.sloo(rewards, n), listing.s(rewards, n)))
            cases += 1
    claim = Claim(
        "here",
        "Listing 1, sloo at k = n",
        "Where eq. (29) has no subsets for its baseline, sloo doesn't answer.",
        "It doesn't return s, which has no baseline.",
        f"It returns s in {same} of {cases} groups with k = n. The package raises "
        f"UndefinedEstimateError.",
        yes_or_no(same == 0),
    )
    return Finding(claim, f"k = n ≤ {sizes.subsets}", f"s in {same} of {cases}")


def _too_few(sizes: Sizes) -> Finding:
    silent = cases = 0
    for n in range(2, sizes.subsets + 1):
        rewards = np.linspace(0.5, 1.0, n)
        for function in (listing.rho, listing.s, listing.sloo, listing.sloo_minus_one):
            found = np.asarray(function(rewards, n + 2))
            silent += not found.any()
            cases += 1
    claim = Claim(
        "here",
        "Listing 1, k > n",
        "For n < k, which has no unbiased estimate, the functions don't answer.",
        "With k = n+2 they don't return zeros.",
        f"All zeros in {silent} of {cases} calls. The package raises UndefinedEstimateError.",
        yes_or_no(silent == 0),
    )
    return Finding(claim, f"n ≤ {sizes.subsets}, k = n+2", f"zeros in {silent} of {cases}")


def _row(values: np.ndarray) -> str:
    return f"[{', '.join(f'{round(float(v), 3) + 0.0:g}' for v in values)}]"
