"""What the paper says about Fig. 4, and our own baseline, judged by the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reproduction.figure4.estimators import (
    CENTRED,
    MINUS_ONE,
    NAIVE,
    NAIVE_BASELINED,
    PAPER_METHODS,
    PARTITIONED,
    PARTITIONED_BASELINED,
    SLOO,
    Method,
    S,
)
from reproduction.figure4.numbers import KS_UP_TO_N, NS, PARTITIONS_N, K, Numbers
from reproduction.figure4.policies import CHANCES, SETTINGS
from reproduction.old_results import PKPO, Claim, Verdict

AGREES = 4.0
"""Standard errors within which a sampled number agrees with an exact one. About 60 are compared:
by chance one of them is further away in 1 of 250 runs."""

APART = 3.0
"""Standard errors from which on two sampled variances are told apart."""

_FIGURE = "Fig. 4"


def paper_claims(numbers: Numbers) -> tuple[Claim, ...]:
    """The statements of the figure's caption and of the text on it."""
    return (
        _unbiased(numbers),
        _strongest(numbers),
        _ordered(
            numbers,
            "A baseline lowers the variance, over all subsets and over a partition.",
            ((SLOO, S), (NAIVE_BASELINED, NAIVE)),
        ),
        _ordered(
            numbers,
            "Summing over all subsets has a lower variance than a partition.",
            ((S, NAIVE), (SLOO, NAIVE_BASELINED), (MINUS_ONE, PARTITIONED)),
        ),
        _across_blocks(numbers),
        _more_partitions(numbers),
        _towards_n(numbers),
    )


def own_claims(numbers: Numbers) -> tuple[Claim, ...]:
    """What is not in the paper."""
    return (_agreement(numbers), _rates(numbers), _against_sloo(numbers), _by_policy(numbers))


def share_verdict(held: Sequence[bool]) -> Verdict:
    """All: holds; more than half: in part; else not."""
    if all(held):
        return Verdict.HOLDS
    return Verdict.IN_PART if 2 * sum(held) > len(held) else Verdict.NO


def _unbiased(numbers: Numbers) -> Claim:
    away = [abs(m.mean - numbers.gradient) / m.mean_error for m in numbers.sampled.values()]
    return Claim(
        PKPO,
        f"{_FIGURE}, Theorems 4, 6",
        "Every estimator that is compared is unbiased.",
        f"Each mean is within {AGREES:g} standard errors of the exact derivative.",
        f"Exact: {numbers.gradient:.5f}. The furthest of {len(away)} means is "
        f"{max(away):.2f} standard errors away.",
        share_verdict([z < AGREES for z in away]),
    )


def _strongest(numbers: Numbers) -> Claim:
    others = [m for m in PAPER_METHODS if m is not MINUS_ONE]
    held, nearest = [], math.inf
    for n in NS:
        rivals = [m for m in others if (m, n) in numbers.exact]
        lowest = min(numbers.exact[m, n] for m in rivals)
        mine = numbers.exact[MINUS_ONE, n]
        if n == K:
            held.append(math.isclose(mine, numbers.exact[PARTITIONED, n]) and mine == lowest)
            continue
        apart = min(numbers.below(MINUS_ONE, m, n) for m in rivals)
        held.append(mine < lowest and apart > APART)
        nearest = min(nearest, lowest / mine)
    return Claim(
        PKPO,
        f"Sec. 5.1, {_FIGURE}",
        "s(loo-1) over all subsets is the strongest of the six.",
        "At each n > k its exact variance is the lowest, and its sampled one lower than each "
        f"other's by over {APART:g} standard errors; at n = k it is the lowest, shared with its "
        "partitioned form, which is the same there. In part: at more than half of the n.",
        f"At {sum(held)} of {len(held)} n. Beyond n = k the next has {nearest:.2f} times its "
        "variance or more.",
        share_verdict(held),
    )


def _ordered(numbers: Numbers, statement: str, pairs: Sequence[tuple[Method, Method]]) -> Claim:
    held, parts = [], []
    for lower, higher in pairs:
        ns = [n for n in numbers.common(lower, higher) if n > K]
        ratios = [numbers.exact[higher, n] / numbers.exact[lower, n] for n in ns]
        apart = [numbers.below(lower, higher, n) for n in ns]
        held += [r > 1.0 and z > APART for r, z in zip(ratios, apart)]
        parts.append(
            f"{higher.label} has {min(ratios):.2f} to {max(ratios):.2f} times the variance of "
            f"{lower.label} (sampled: apart by {min(apart):.0f} standard errors or more)"
        )
    return Claim(
        PKPO,
        _FIGURE,
        statement,
        "For each pair and n > k the exact variance is lower, and the sampled one by over "
        f"{APART:g} standard errors; in part: in more than half of the cases.",
        "; ".join(parts) + ".",
        share_verdict(held),
    )


def _across_blocks(numbers: Numbers) -> Claim:
    ns = numbers.common(PARTITIONED_BASELINED)
    gained = [numbers.below(PARTITIONED_BASELINED, PARTITIONED, n) for n in ns]
    ratios = [
        numbers.sampled[PARTITIONED_BASELINED, n].variance
        / numbers.sampled[PARTITIONED, n].variance
        for n in ns
    ]
    return Claim(
        PKPO,
        _FIGURE,
        "A baseline across blocks does not improve the variance of loo minus one partitioned.",
        f"At no n is the sampled variance with it lower by over {APART:g} standard errors; in "
        "part: at less than half of them.",
        f"With it the variance is {min(ratios):.2f} to {max(ratios):.2f} times as large.",
        share_verdict([z < APART for z in gained]),
    )


def _more_partitions(numbers: Numbers) -> Claim:
    most, seen = max(numbers.over_partitions.items())
    away = {
        limit: (seen.variance - numbers.expected_over(most, limit)) / seen.variance_error
        for limit in (SLOO, CENTRED)
    }
    limits = {limit: numbers.exact[limit, PARTITIONS_N] for limit in away}
    return Claim(
        PKPO,
        _FIGURE,
        "Averaged over more and more random partitions, naive partitioned baselined approaches "
        "the variance of s(loo).",
        f"Over {most} partitions at n = {PARTITIONS_N} the sampled variance is within "
        f"{AGREES:g} standard errors of what it would be if s(loo)'s were the limit.",
        f"It is {seen.variance:.3f} ± {seen.variance_error:.3f}, {abs(away[SLOO]):.0f} standard "
        f"errors from that: s(loo) of eq. (29) has {limits[SLOO]:.3f}, and the mean over "
        f"partitions falls below it. The mean over all partitions is the centred loo (baseline "
        f"k/n times the others' estimate, not k/(n-1)), with {limits[CENTRED]:.3f}; with it as "
        f"the limit the sampled variance is {abs(away[CENTRED]):.1f} standard errors away.",
        Verdict.HOLDS if abs(away[SLOO]) < AGREES else Verdict.NO,
    )


def _towards_n(numbers: Numbers) -> Claim:
    n = KS_UP_TO_N[-1]
    variances = [numbers.by_k[k][0] for k in KS_UP_TO_N]
    relative = [variance / square for variance, square in numbers.by_k.values()]
    rises, rises_relative = variances == sorted(variances), relative == sorted(relative)
    return Claim(
        PKPO,
        f"Sec. 5.2.1 on {_FIGURE}",
        "As k approaches n, the variance of s(loo-1) increases.",
        f"On this problem at n = {n} the exact variance rises with k over "
        f"{', '.join(map(str, KS_UP_TO_N))}; in part: relative to the squared gradient.",
        f"Variance: {', '.join(f'{v:.3g}' for v in variances)}; over the squared gradient: "
        f"{', '.join(f'{v:.3g}' for v in relative)}. The gradient itself shrinks at theta = 1.",
        Verdict.HOLDS if rises else Verdict.IN_PART if rises_relative else Verdict.NO,
    )


def _agreement(numbers: Numbers) -> Claim:
    away = [
        abs(numbers.sampled[key].variance - exact) / numbers.sampled[key].variance_error
        for key, exact in numbers.exact.items()
    ]
    return Claim(
        "here",
        _FIGURE,
        "The sampled variances are those that Hoeffding's formula and quadrature give.",
        f"Each is within {AGREES:g} standard errors.",
        f"The furthest of {len(away)} is {max(away):.2f} standard errors away.",
        share_verdict([z < AGREES for z in away]),
    )


def _rates(numbers: Numbers) -> Claim:
    apart = (NAIVE, PARTITIONED)
    faster = [m for m in (*PAPER_METHODS, CENTRED) if m not in apart]
    slopes = {method: numbers.growth(method) for method in (*apart, *faster)}
    return Claim(
        "here",
        _FIGURE,
        "Without a baseline across blocks a partition's variance falls as 1/n; all other "
        "estimators' falls faster.",
        f"The log-log slope of the exact variance from n = {NS[1]} to {NS[-1]} is -1 for those "
        "two and below -1 for the others.",
        "; ".join(f"{method.label} {slope:.2f}" for method, slope in slopes.items()) + ".",
        share_verdict(
            [
                *(math.isclose(slopes[m], -1.0) for m in apart),
                *(slopes[m] < -1.0 - 1e-9 for m in faster),
            ]
        ),
    )


def _against_sloo(numbers: Numbers) -> Claim:
    ns = numbers.common(CENTRED)
    held = [numbers.exact[CENTRED, n] < numbers.exact[SLOO, n] for n in ns]
    here = sum(held)
    exceptions = []
    for setting in SETTINGS:
        for p in CHANCES:
            found = setting.variances(p)
            held.append(found["loo"] < found["paper_loo"])
            if not held[-1]:
                exceptions.append(
                    f"{setting.policy}, k = {setting.k}, p = {p:g}: "
                    f"{found['loo']:.5f} against {found['paper_loo']:.5f}"
                )
    return Claim(
        "here",
        f"{_FIGURE}, eq. (29)",
        "The centred loo (baseline k/n times the others' estimate) has a lower variance than "
        "s(loo) of eq. (29), which has k/(n-1).",
        f"Lower at each n of {_FIGURE} and in each setting of the table by policy, exactly; in "
        "part: in more than half of them.",
        f"{here} of {len(ns)} n of {_FIGURE}, {sum(held) - here} of {len(held) - len(ns)} "
        f"settings. Not lower: {'; '.join(exceptions) or 'nowhere'}.",
        share_verdict(held),
    )


def _by_policy(numbers: Numbers) -> Claim:
    ns = numbers.common(CENTRED)
    wins = [f"{_FIGURE}: s(loo-1) at {_wins(numbers, ns)} of {len(ns)} n"]
    winners = set()
    for setting in SETTINGS:
        found = [setting.variances(p) for p in CHANCES]
        best = [min(("loo_minus_one", "loo"), key=lambda b: v[b]) for v in found]
        winners |= set(best)
        at = ", ".join(f"{p:g}" for p, b in zip(CHANCES, best) if b == "loo") or "none"
        wins.append(f"{setting.policy}, k = {setting.k}: centred loo at p = {at}")
    return Claim(
        "here",
        f"{_FIGURE} and beyond",
        "Which of s(loo-1) and the centred loo has the lower variance depends on the policy and "
        "on how hard the problem is.",
        "Each of them is lower in some setting of the table by policy, exactly.",
        "; ".join(wins) + "; s(loo-1) at the other p.",
        Verdict.HOLDS if len(winners) == 2 else Verdict.NO,
    )


def _wins(numbers: Numbers, ns: Sequence[int]) -> int:
    return sum(numbers.exact[MINUS_ONE, n] < numbers.exact[CENTRED, n] for n in ns)
