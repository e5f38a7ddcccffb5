"""What Corollary 3 and what leads to it say, judged by exact numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction

from reproduction.corollary3.numbers import (
    CHANCES,
    KS,
    NS,
    projection_variance,
    rate,
    ratio,
)
from reproduction.old_results import PKPO, Claim
from reproduction.verdicts import IN_PART_RULE, over_cases

LIMIT_N = 2**24
RATE_N = 2**18
LISTED_KS = (1, 2, 4, 8)
"""k of which all outcomes are listed."""

_LIMIT, _RATE, _FALLS = 1e-3, 0.01, 0.3

_CASES = tuple(itertools.product(CHANCES, KS))


def claims(distances: Mapping[tuple[float, int], tuple[float, ...]]) -> tuple[Claim, ...]:
    """The paper's statements in its order, then ours.

    Args:
        distances: of the estimate's law from the normal one at rising n, each 16 times the one
            before, by (p, k).
    """
    return (
        _rate_claim(),
        _normal(distances),
        _projection(),
        _limit(),
        _too_small(),
        _worse(),
    )


def _rate_claim() -> Claim:
    rates = [rate(RATE_N, k, p) for p, k in _CASES]
    early = [rate(NS[0], k, p) for p, k in _CASES]
    return Claim(
        PKPO,
        "Sec. 2.1, Corollary 3",
        "The asymptotic variance of the pass@k estimate decreases at a rate of 1/n.",
        f"From n = {RATE_N:,} to 4 times as many the log-log slope of the exact variance is "
        f"within {_RATE:g} of -1 for each p and k. {IN_PART_RULE}",
        f"Slopes {min(rates):.4f} to {max(rates):.4f}. From n = {NS[0]} to {4 * NS[0]} they are "
        f"{min(early):.2f} to {max(early):.2f}: where n isn't large yet, the variance falls "
        "faster.",
        over_cases([abs(found + 1.0) < _RATE for found in rates]),
    )


def _normal(distances: Mapping[tuple[float, int], tuple[float, ...]]) -> Claim:
    held = [
        all(b < a for a, b in itertools.pairwise(found)) and found[-1] < _FALLS * found[-2]
        for found in distances.values()
    ]
    last = [found[-1] for found in distances.values()]
    return Claim(
        PKPO,
        "Theorem 9, eq. (37)",
        "sqrt(n) times the estimate's error becomes normal with variance k^2 zeta_1.",
        "For each p and k the distance (Kolmogorov) of its exact law from the normal one falls "
        f"from each n to the next, 16 times larger, in the last step to less than {_FALLS:g} of "
        f"what it was. {IN_PART_RULE}",
        f"In {sum(held)} of {len(held)} cases; at the largest n it is {min(last):.4f} to "
        f"{max(last):.4f}.",
        over_cases(held),
    )


def _projection() -> Claim:
    cases = [(Fraction(str(p)), k) for p in CHANCES for k in LISTED_KS]
    held = [projection_variance(k, p) == p * (1 - p) ** (2 * k - 1) for p, k in cases]
    return Claim(
        PKPO,
        "Lemma 2, eq. (38)",
        "The variance of the first-order projection is p (1-p)^(2k-1).",
        "It is, in rational numbers, what a list of all outcomes of the other k-1 samples gives, "
        f"for k = {', '.join(map(str, LISTED_KS))} and each p. {IN_PART_RULE}",
        f"In {sum(held)} of {len(held)} cases.",
        over_cases(held),
    )


def _limit() -> Claim:
    held = []
    for p, k in _CASES:
        found = [ratio(n, k, p) for n in (*NS, LIMIT_N)]
        rises = all(b >= a or k == 1 for a, b in itertools.pairwise(found))
        held.append(rises and abs(found[-1] - 1.0) < _LIMIT)
    worst = min(ratio(LIMIT_N, k, p) for p, k in _CASES)
    return Claim(
        PKPO,
        "Corollary 3, eq. (40)",
        "For large n the variance is k^2 p (1-p)^(2k-1) / n.",
        f"For each p and k eq. (40) over the exact variance rises with n, and is within {_LIMIT:g} "
        f"of 1 at n = {LIMIT_N:,}. {IN_PART_RULE}",
        f"In {sum(held)} of {len(held)} cases; the ratio furthest from 1 there is {worst:.6f}.",
        over_cases(held),
    )


def _too_small() -> Claim:
    found = {(n, k, p): ratio(n, k, p) for n in NS for p, k in _CASES if k > 1}
    (n, k, p), least = min(found.items(), key=lambda item: item[1])
    at = ", ".join(f"{found[NS[0], k, 0.1]:.3f} (k = {k})" for k in KS if k > 1)
    return Claim(
        "here",
        "Corollary 3",
        "At finite n eq. (40) is too small: it is the first of k positive terms.",
        f"Its ratio to the exact variance is below 1 for each n, p and k > 1. {IN_PART_RULE}",
        f"In all from {least:.2g} (n = {n}, k = {k}, p = {p:g}) to {max(found.values()):.6f}; at "
        f"n = {NS[0]}, p = 0.1: {at}.",
        over_cases([one < 1.0 for one in found.values()]),
    )


def _worse() -> Claim:
    held = []
    for n in NS:
        for p in CHANCES:
            held += [ratio(n, b, p) < ratio(n, a, p) for a, b in itertools.pairwise(KS)]
        for k in KS[1:]:
            held += [ratio(n, k, b) < ratio(n, k, a) for a, b in itertools.pairwise(CHANCES)]
    closest = ", ".join(f"{ratio(NS[0], KS[-1], p):.2g} (p = {p:g})" for p in CHANCES)
    return Claim(
        "here",
        "Corollary 3",
        "Eq. (40) misleads where k is close to n, and the more so the larger p.",
        "At each n its ratio to the exact variance falls from each k to the next, and from each p "
        f"to the next for k > 1. {IN_PART_RULE}",
        f"In {sum(held)} of {len(held)} steps. At k = n = {NS[0]}: {closest}.",
        over_cases(held),
    )
