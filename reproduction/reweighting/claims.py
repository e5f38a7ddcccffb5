"""What arXiv:2511.16231 says of the pass@k gradient, one prompt at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

import pkpo
from pkpo.core.objectives import Objective
from pkpo.core.weights import Baseline, required_size
from reproduction.old_results import CRITIQUE, Claim, Verdict
from reproduction.reweighting.numbers import gap, signal, weight, widest_gap
from reproduction.theorems.compare import TOLERANCE, Comparison, yes_or_no
from reproduction.theorems.policy import (
    BINARY_POLICIES,
    SPREAD,
    TIED,
    Policy,
    exactly,
    expected_gradient,
    on_groups,
)

K_VALUES = (2, 4, 8, 16)
BASELINES: tuple[Baseline, ...] = ("none", "loo", "loo_minus_one", "paper_loo")

LEAVE_ONE_OUT: tuple[Baseline, ...] = ("loo", "loo_minus_one")

EASY = Policy("0/1, p = 9/10", (Fraction(1, 10), Fraction(9, 10)), (Fraction(0), Fraction(1)))

HOPELESS = 1e-4
"""A p at which nearly every group of 16 is wrong throughout."""
SOLVED = 0.999
"""A p at which nearly every group of 16 is right throughout."""
HARD_UP_TO = 0.1
NEGLIGIBLE = 0.01

STARTS = (
    ("the right answer likeliest, p = .2", (0.2, *(0.1,) * 8)),
    ("the right answer likeliest, p = .6", (0.6, 0.3, 0.1)),
    ("a wrong answer likeliest, p = .45", (0.45, 0.55)),
    ("a wrong answer likeliest, p = .1", (0.1, 0.9)),
)
"""Policies to concentrate; the first answer is the right one."""
TEMPERATURES = tuple(np.geomspace(1.0, 0.02, 60).tolist())


def claims(n: int, listed: int) -> tuple[Claim, ...]:
    """In the abstract's order, then what it doesn't ask.

    Args:
        n: samples in a group.
        listed: the most samples in groups of which all outcomes are listed.
    """
    return (
        _reweighting(listed),
        _real_rewards(),
        _unsolved(),
        _solved(),
        _collapse(),
        _chances(n),
        _noise(n),
        _mixtures(n),
    )


def _reweighting(listed: int) -> Claim:
    exact, package = Comparison(), Comparison()
    factors = []
    for policy in (*BINARY_POLICIES, EASY):
        p = policy.value(1)
        first = expected_gradient(policy, 1, [[g] for g in policy.rewards])
        for k in range(2, listed + 1):
            factor = k * (1 - p) ** (k - 1)
            factors.append(factor)
            wanted = [factor * v for v in first]
            rows = on_groups(policy, k, lambda g, k=k: [max(g)] * k)
            label = f"{policy.name}, k={k}"
            exact.add(expected_gradient(policy, k, rows), wanted, label)
            for baseline in BASELINES:
                n = max(k, required_size(pkpo.max_at(k), baseline))
                a = pkpo.advantages(policy.rewards_of_groups(n), k, baseline=baseline)
                package.add(expected_gradient(policy, n, exactly(a)), wanted, f"{label}, n={n}")
    return Claim(
        CRITIQUE,
        "Abstract",
        "The gradient of pass@k is that of pass@1, reweighted by a positive factor per example.",
        f"∇pass@k is k(1-p)^(k-1) ∇pass@1 without deviation (all groups, in rational numbers), the "
        f"package's mean gradient is within {TOLERANCE:g} of it for all {len(BASELINES)} "
        f"baselines, and the factor is positive where p < 1.",
        f"Deviation {exact} over {exact.count} numbers; package {package} over {package.count}; "
        f"factors from {float(min(factors)):.2g} to {float(max(factors)):.2g}.",
        yes_or_no(exact.exact and package.within and min(factors) > 0),
    )


def _real_rewards() -> Claim:
    found = []
    for policy in (TIED, SPREAD):
        first = policy.gradient(1)
        found += [(policy.name, k, _cosine(first, policy.gradient(k))) for k in (2, 4, 8)]
    return Claim(
        "here",
        "Real rewards",
        "The gradient of max@k is that of the mean, reweighted, for real rewards too.",
        f"∇max@k and ∇mean have one direction: cosine 1 to {TOLERANCE:g} for k = 2, 4, 8 on both "
        f"policies with real rewards.",
        "Cosines: " + "; ".join(f"{name}, k={k}: {c:.3f}" for name, k, c in found) + ".",
        yes_or_no(all(1 - c <= TOLERANCE for *_, c in found)),
    )


def _cosine(a: Sequence[Fraction], b: Sequence[Fraction]) -> float:
    def dot(u: Sequence[Fraction], v: Sequence[Fraction]) -> Fraction:
        return sum((x * y for x, y in zip(u, v, strict=True)), Fraction(0))

    return float(dot(a, b)) / math.sqrt(float(dot(a, a) * dot(b, b)))


def _in_logit(k: int, p: np.ndarray) -> np.ndarray:
    return weight(pkpo.max_at(k), p) * p * (1 - p)


def _unsolved() -> Claim:
    p = np.array([HOPELESS])
    everywhere = np.linspace(0.0, 1.0, 10_001)
    first = float(_in_logit(1, p)[0])
    shares, ratios = {}, {}
    for k in (1, *K_VALUES):
        own = float(_in_logit(k, p)[0])
        shares[k] = own / float(_in_logit(k, everywhere).max())
        ratios[k] = own / first
    vanishes = all(shares[k] < NEGLIGIBLE for k in K_VALUES)
    faster = all(ratios[k] < 1 for k in K_VALUES)
    verdict = Verdict.NO
    if vanishes:
        verdict = Verdict.HOLDS if faster else Verdict.IN_PART
    return Claim(
        CRITIQUE,
        "Abstract",
        "pass@k gives a vanishing signal where exploration matters most, read as prompts that are "
        "hardly ever solved (p → 0).",
        f"At p = {HOPELESS:g} the gradient in the logit is below {NEGLIGIBLE:.0%} of its largest "
        f"over p, and smaller than that of pass@1; in part: below, but not smaller than that of "
        f"pass@1, which then vanishes no less. For k = 2, 4, 8, 16.",
        f"Share of its largest: {_by_k(shares, '.2%')}. Over that of pass@1: "
        f"{_by_k(ratios, '.4g')}. It vanishes, as any objective's does whose dJ/dp is finite, and "
        f"stays k times as large as that of pass@1.",
        verdict,
    )


def _solved() -> Claim:
    ratios = {k: float(weight(pkpo.max_at(k), np.array([SOLVED]))[0]) for k in K_VALUES}
    where = {k: widest_gap(k) for k in K_VALUES}
    return Claim(
        CRITIQUE,
        "Abstract",
        "pass@k gives a vanishing signal where exploration matters most, read as prompts on which "
        "the policy has settled on a right answer (p → 1).",
        f"At p = {SOLVED:g} the gradient is below {NEGLIGIBLE:.0%} of that of pass@1 for k = 2, 4, "
        f"8, 16.",
        f"Over that of pass@1: {_by_k(ratios, '.2g')}. It falls below that of pass@1 from "
        f"p = {_by_k(where, '.3f')}.",
        yes_or_no(all(r < NEGLIGIBLE for r in ratios.values())),
    )


def _by_k(values: dict[int, float], spec: str) -> str:
    return ", ".join(f"{v:{spec}} (k={k})" for k, v in values.items())


@dataclass(frozen=True)
class Concentration:
    """The gap pass@k - pass@1 while one policy is cooled.

    Args:
        label: where it starts.
        k: of pass@k.
        gaps: at each of TEMPERATURES.
    """

    label: str
    k: int
    gaps: np.ndarray

    @property
    def falls(self) -> bool:
        """Whether the gap never grows."""
        return bool((np.diff(self.gaps) <= 0).all())


def concentrations() -> list[Concentration]:
    """Every start at every k, with probabilities raised to 1/temperature."""
    found = []
    for label, start in STARTS:
        powers = np.array(start) ** (1 / np.array(TEMPERATURES)[:, None])
        p = powers[:, 0] / powers.sum(axis=1)
        found += [Concentration(label, k, gap(k, p)) for k in K_VALUES]
    return found


def _collapse() -> Claim:
    found = concentrations()
    ends = max(c.gaps[-1] / c.gaps.max() for c in found)
    rising = [c for c in found if not c.falls]
    verdict = Verdict.NO
    if ends < NEGLIGIBLE:
        verdict = Verdict.IN_PART if rising else Verdict.HOLDS
    example = max(rising, key=lambda c: c.gaps.max() - c.gaps[0], default=None)
    shown = (
        ""
        if example is None
        else (
            f" Most from {example.label}, k={example.k}: {example.gaps[0]:.3f} to "
            f"{example.gaps.max():.3f}."
        )
    )
    widest = ", ".join(f"{widest_gap(k):.3f} (k={k})" for k in K_VALUES)
    return Claim(
        CRITIQUE,
        "Abstract",
        "As the policy concentrates, the gap between pass@k and pass@1 diminishes.",
        f"Cooling a policy (all p_x to the power 1/T, T from 1 to {TEMPERATURES[-1]:g}) never "
        f"widens the gap, and leaves less than {NEGLIGIBLE:.0%} of its largest value; in part: it "
        f"ends there, but widens on the way. {len(STARTS)} starts, k = 2, 4, 8, 16.",
        f"It ends at {ends:.1g} of the largest or less; on the way it widens in {len(rising)} of "
        f"{len(found)} cases.{shown} On one prompt the gap is widest at p = {widest}: below "
        f"that, concentrating on the right answer widens it; above, on a wrong one.",
        verdict,
    )


def _estimators(n: int) -> list[tuple[Objective, Baseline]]:
    return [
        (pkpo.max_at(k), baseline)
        for k in K_VALUES
        for baseline in LEAVE_ONE_OUT
        if required_size(pkpo.max_at(k), baseline) <= n
    ]


def _chances(n: int) -> Claim:
    p = np.geomspace(HOPELESS, HARD_UP_TO, 31)
    first = signal(n, pkpo.mean_reward(), "loo", p).chance
    excess, least, last = 0.0, "", 1.0
    for objective, baseline in _estimators(n):
        chance = signal(n, objective, baseline, p).chance
        excess = max(excess, float((chance - first).max()))
        if chance[-1] < last:
            least, last = f"{objective} {baseline}", float(chance[-1])
    return Claim(
        "here",
        "Hard prompts",
        "Training for k > 1 doesn't raise the chance that a group on a hard prompt has any signal.",
        f"For p ≤ {HARD_UP_TO:g}, k = 2, 4, 8, 16, both leave-one-out baselines where they are "
        f"defined, n = {n}: P(not all advantages 0) exceeds that of the mean by at most "
        f"{TOLERANCE:g}.",
        f"Largest excess {excess:.1g}. No estimate learns from a group without a right sample, and "
        f"one is there with chance 1-(1-p)^{n}, {first[0]:.2g} at p = {p[0]:g} and "
        f"{first[-1]:.3f} at p = {p[-1]:g}; the least at p = {p[-1]:g} is {last:.3f} ({least}).",
        yes_or_no(excess <= TOLERANCE),
    )


def _noise(n: int) -> Claim:
    p = np.array([HOPELESS, 0.01, 0.05, HARD_UP_TO])
    first = signal(n, pkpo.mean_reward(), "loo", p).ratio
    shown, close = [], []
    for objective, baseline in _estimators(n):
        ratios = signal(n, objective, baseline, p).ratio / first
        close.append(abs(ratios[0] - 1) <= NEGLIGIBLE)
        shown.append(f"{objective} {baseline}: {', '.join(f'{v:.3g}' for v in ratios)}")
    return Claim(
        "here",
        "Hard prompts",
        "Training for k > 1 doesn't raise the ratio of signal to noise as p → 0: the gradient is k "
        "times larger, and so is its noise.",
        f"At p = {HOPELESS:g} squared mean over variance of a group's gradient (Bernoulli logit, "
        f"n = {n}) is within {NEGLIGIBLE:.0%} of that of the mean, for the same estimators.",
        f"Over that of the mean at p = {', '.join(f'{v:g}' for v in p)}: {'; '.join(shown)}.",
        yes_or_no(all(close)),
    )


def _mixtures(n: int) -> Claim:
    p = np.linspace(0.001, 0.999, 999)
    first = signal(n, pkpo.mean_reward(), "loo_minus_one", p).chance
    shown, holds = [], []
    for objective, least in (
        (0.5 * pkpo.max_at(8) + 0.5 * pkpo.mean_reward(), 0.5),
        (pkpo.log_pass(n), 1.0),
    ):
        factor = weight(objective, p)
        chance = signal(n, objective, "loo_minus_one", p).chance
        off = float(np.abs(chance - first).max())
        holds.append(factor.min() >= least - TOLERANCE and off <= TOLERANCE)
        shown.append(
            f"{objective}: weight {factor[0]:.3g} at p = {p[0]:g}, {factor[-1]:.3g} at p = "
            f"{p[-1]:g}; P(signal) off by {off:.1g}"
        )
    return Claim(
        "here",
        "Mixtures",
        "Mixing pass@1 in takes away what vanishes at p → 1 and keeps the weight on hard prompts.",
        f"For 0.001 ≤ p ≤ 0.999 the weight dJ/dp is at least 1/2 (0.5*max@8 + 0.5*mean) or 1 "
        f"(log_pass({n})), and P(signal) is that of the mean to {TOLERANCE:g} (loo_minus_one).",
        "; ".join(shown) + ".",
        yes_or_no(all(holds)),
    )
