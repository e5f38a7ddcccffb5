"""Theorems 1-4, the lemma behind them, and the baselines, by listing all groups."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np

import pkpo
from pkpo.core.weights import Baseline
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.reweighting.numbers import signal
from reproduction.theorems import printed
from reproduction.theorems.compare import Comparison, Finding, Sizes, exact, within, yes_or_no
from reproduction.theorems.policy import (
    BINARY_POLICIES,
    POLICIES,
    Policy,
    exactly,
    expected_gradient,
    expected_value,
    on_groups,
)

CHANCES = tuple(Fraction(p, 20) for p in (0, 1, 2, 5, 10, 15, 18, 20))
"""Of a correct sample."""

PAPER_N, PAPER_K = 16, (2, 4, 8)
"""The paper's group and those of its k_opt that have a baseline of their own."""

VARIANCE_CHANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95)


def pass_estimator(sizes: Sizes) -> Finding:
    """Theorem 1."""
    compared = Comparison()
    for n in range(1, sizes.counts + 1):
        for k in range(1, n + 1):
            values = [Fraction(v) for v in pkpo.pass_at_k(n, range(n + 1), k).tolist()]
            for p in CHANCES:
                law = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
                mean = sum((w * v for w, v in zip(law, values, strict=True)), Fraction(0))
                compared.add([mean], [1 - (1 - p) ** k], f"n={n}, k={k}, p={p}")
    return within(
        "Theorem 1, eq. (3)",
        "rho(n, c, k) is an unbiased estimator of pass@k.",
        f"pass_at_k; k ≤ n ≤ {sizes.counts}, {len(CHANCES)} p from 0 to 1",
        compared,
    )


def policy_gradients() -> tuple[Finding, Finding]:
    """Lemma 1 and Corollary 1."""
    lemma, corollary = Comparison(), Comparison()
    for policy in POLICIES:
        rewards = [[g] for g in policy.rewards]
        lemma.add(expected_gradient(policy, 1, rewards), policy.gradient(1), policy.name)
        constant = [[Fraction(7, 3)] for _ in policy.rewards]
        zeros = [Fraction(0)] * len(policy.rewards)
        corollary.add(expected_gradient(policy, 1, constant), zeros, policy.name)
    checked = f"{len(POLICIES)} softmax policies of 2 to 4 outcomes, gradient in their logits"
    return (
        exact(
            "Lemma 1, eq. (9)",
            "The mean of r(x) ∇log p(x) is the gradient of the mean of r(x).",
            checked,
            lemma,
        ),
        exact("Corollary 1", "A constant times ∇log p(x) has mean zero.", checked, corollary),
    )


def binary_gradient(sizes: Sizes) -> tuple[Finding, Finding]:
    """Theorem 2, and eq. (8) against the package."""
    unbiased, same = Comparison(), Comparison()
    for policy, n, k in _cases(BINARY_POLICIES, sizes.listed):
        label = f"{policy.name}, n={n}, k={k}"
        r = on_groups(policy, n, lambda g, k=k: printed.binary_effective(g, k))
        unbiased.add(expected_gradient(policy, n, r), policy.gradient(k), label)
        found = _package(policy, n, k, "none")
        for row, wanted in zip(found, r, strict=True):
            same.add(row, wanted, label)
    checked = f"all groups of two 0/1 policies, k ≤ n ≤ {sizes.listed}"
    return (
        exact("Theorem 2, eq. (8)", "Eq. (8) is unbiased for ∇pass@k.", checked, unbiased),
        within(
            "Theorem 2",
            "For 0/1 rewards eq. (8) is a special case of Theorem 4.",
            f'advantages(baseline="none") against (8); {checked}',
            same,
        ),
    )


def value_estimator(sizes: Sizes) -> tuple[Finding, Finding]:
    """Eq. (14) and Theorem 3."""
    products, unbiased = Comparison(), Comparison()
    for n in range(1, sizes.counts + 1):
        for k in range(1, n + 1):
            pair = printed.value_weights_by_products(n, k), printed.value_weights(n, k)
            products.add(*pair, f"n={n}, k={k}")
    for policy, n, k in _cases(POLICIES, sizes.listed):
        values = pkpo.estimate(policy.rewards_of_groups(n), k)
        mean = expected_value(policy, n, [Fraction(v) for v in values.tolist()])
        unbiased.add([mean], [policy.value(k)], f"{policy.name}, n={n}, k={k}")
    return (
        within(
            "Theorem 3, eq. (12)",
            "rho^(g) is an unbiased estimator of max@k.",
            f"estimate; all groups of {len(POLICIES)} policies, k ≤ n ≤ {sizes.listed}",
            unbiased,
        ),
        exact(
            "Eq. (14)",
            "The products of ratios are the weights of eq. (12).",
            f"as printed; k ≤ n ≤ {sizes.counts}",
            products,
        ),
    )


_GRADIENTS: tuple[tuple[str, str, Baseline], ...] = (
    ("Theorem 4, eq. (19)", "s is unbiased for ∇max@k.", "none"),
    ("Sec. 4.2, eq. (29)", "s^(loo) is unbiased for ∇max@k.", "paper_loo"),
    ("Sec. 4.3, eq. (33)", "s^(loo-1) is unbiased for ∇max@k.", "loo_minus_one"),
)


def gradients(sizes: Sizes) -> tuple[Finding, ...]:
    """Theorem 4 and the unbiasedness of both baselines."""
    found = []
    for place, statement, baseline in _GRADIENTS:
        compared = Comparison()
        least, beyond = {"none": (1, 0), "paper_loo": (1, 1), "loo_minus_one": (2, 0)}[baseline]
        for policy, n, k in _cases(POLICIES, sizes.listed):
            if least <= k <= n - beyond:
                mean = expected_gradient(policy, n, _package(policy, n, k, baseline))
                compared.add(mean, policy.gradient(k), f"{policy.name}, n={n}, k={k}")
        limits = f"{least} ≤ k {'<' if beyond else '≤'} n ≤ {sizes.listed}"
        checked = f'advantages(baseline="{baseline}"); all groups, {limits}'
        found.append(within(place, statement, checked, compared))
    return tuple(found)


def leave_one_out(sizes: Sizes) -> tuple[Finding, Finding]:
    """Eq. (26) for k = 1, and what it does to the s of k > 1."""
    same, unbiased, factor = Comparison(), Comparison(), Comparison()
    biased = cases = 0
    for policy, n, k in _cases(POLICIES, sizes.listed):
        if n == 1:
            continue
        label = f"{policy.name}, n={n}, k={k}"
        gradient = policy.gradient(k)
        if k == 1:
            wanted = on_groups(policy, n, printed.leave_one_out_mean)
            for baseline in ("loo", "loo_minus_one"):
                rows = [[n * a for a in row] for row in _package(policy, n, 1, baseline)]
                for row, other in zip(rows, wanted, strict=True):
                    same.add(row, other, label)
            over_n = [[v / n for v in row] for row in wanted]
            unbiased.add(expected_gradient(policy, n, over_n), gradient, label)
            continue
        rows = on_groups(policy, n, lambda g, k=k: _naive(g, k))
        mean = expected_gradient(policy, n, rows)
        factor.add(mean, [Fraction(n - k, n - 1) * v for v in gradient], label)
        biased += mean != gradient
        cases += 1
    claim = Claim(
        PKPO,
        "Sec. 4.2",
        "Subtracting from s_i the mean of the others' s biases the gradient for k > 1.",
        "Its mean differs from the gradient for every policy, n and k with 2 ≤ k ≤ n.",
        f"It differs in {biased} of {cases} cases, always by the factor (n-k)/(n-1) and by nothing "
        f"else (largest deviation from that {factor}): the direction stays, and at k = n nothing "
        f"is left.",
        yes_or_no(biased == cases and factor.exact),
    )
    rloo = Claim(
        PKPO,
        "Eq. (26)",
        "At k = 1 the leave-one-out mean is subtracted, without bias.",
        "n times the advantages are (26) within tolerance, and the mean of (26) over n is exactly "
        "the gradient.",
        f"Against (26) over n: {same.found} Bias: {unbiased}.",
        yes_or_no(same.within and unbiased.exact),
    )
    return (
        Finding(rloo, f"baselines loo, loo_minus_one; 2 ≤ n ≤ {sizes.listed}", str(same)),
        Finding(claim, f"all groups, 2 ≤ k ≤ n ≤ {sizes.listed}", "factor (n-k)/(n-1)"),
    )


def smaller_baseline(sizes: Sizes) -> tuple[Finding, Finding, Finding]:
    """What Section 4.3 says of max@(k-1) as the baseline, and of n = k."""
    more = equal = cases = 0
    for n in range(2, sizes.counts + 1):
        for k in range(2, n):
            smaller, larger = comb(n - 1, k - 1), comb(n - 1, k)
            more, equal, cases = more + (smaller > larger), equal + (smaller == larger), cases + 1
    counts = ", ".join(
        f"{comb(PAPER_N - 1, k - 1):,} of {k - 1} against {comb(PAPER_N - 1, k):,} of {k}"
        for k in PAPER_K
    )
    numerous = Claim(
        PKPO,
        "Sec. 4.3",
        "The subsets of k-1 others in the baseline of (33) are more numerous than those of k.",
        "They are for all 2 ≤ k < n; in part: for some.",
        f"For {more} of {cases} pairs with n ≤ {sizes.counts} they are more and for {equal} as "
        f"many: there are more just where k > n/2. At the paper's n = {PAPER_N}: {counts}.",
        _share(more, cases),
    )
    lower, wins = [], 0
    p = np.array(VARIANCE_CHANCES)
    for k in PAPER_K:
        one, other = (
            signal(PAPER_N, pkpo.max_at(k), baseline, p).variance
            for baseline in ("loo_minus_one", "paper_loo")
        )
        wins += int((one < other).sum())
        lower.append(f"k={k}: " + ", ".join(f"{v:.3g}" for v in one / other))
    variance = Claim(
        PKPO,
        "Sec. 4.3",
        "Averaging over the smaller subsets reduces the variance: (33) is below (29).",
        f"The estimate's variance with (33) is below that with (29) for every k of "
        f"{', '.join(map(str, PAPER_K))} and p of {', '.join(f'{v:g}' for v in p)} (Bernoulli "
        f"logit, n = {PAPER_N}); in part: for some.",
        f"Below in {wins} of {len(p) * len(PAPER_K)} cases; (33) over (29) by p: "
        f"{'; '.join(lower)}.",
        _share(wins, len(p) * len(PAPER_K)),
    )
    only = Comparison()
    for policy in POLICIES:
        for n in range(2, sizes.listed + 1):
            found = _package(policy, n, n, "loo_minus_one")
            wanted = on_groups(
                policy, n, lambda g: [max(g) - max(printed.without(g, i)) for i in range(len(g))]
            )
            for row, other in zip(found, wanted, strict=True):
                only.add(row, other, f"{policy.name}, n={n}")
    return (
        Finding(numerous, f"2 ≤ k < n ≤ {sizes.counts}", f"more in {more} of {cases}"),
        Finding(variance, f"n = {PAPER_N}, exact", f"below in {wins} of {len(p) * len(PAPER_K)}"),
        within(
            "Sec. 4.3",
            "At n = k eq. (33) is TZSM25's: the largest reward less the largest of the others.",
            f"advantages(k=n); all groups, n ≤ {sizes.listed}",
            only,
        ),
    )


def _share(part: int, whole: int) -> Verdict:
    if part == whole:
        return Verdict.HOLDS
    return Verdict.IN_PART if part else Verdict.NO


def _naive(g: printed.Rewards, k: int) -> list[Fraction]:
    return printed.leave_one_out_mean(printed.over_subsets(g, k))


def _cases(policies: tuple[Policy, ...], most: int):
    return ((p, n, k) for p in policies for n in range(1, most + 1) for k in range(1, n + 1))


def _package(policy: Policy, n: int, k: int, baseline: Baseline) -> list[list[Fraction]]:
    return exactly(pkpo.advantages(policy.rewards_of_groups(n), k, baseline=baseline))
