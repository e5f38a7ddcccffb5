"""The theorems' checks against enumeration that shares no code with them, and what they say."""

import itertools
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oracles
import pkpo
from reproduction.old_results import Result, Verdict
from reproduction.old_topics import Context
from reproduction.theorems import cost as theorems_cost
from reproduction.theorems import degree as theorems_degree
from reproduction.theorems import estimators, misprints, printed, samples
from reproduction.theorems import listing as theorems_listing
from reproduction.theorems import topic as theorems
from reproduction.theorems.compare import QUICK, Comparison, within
from reproduction.theorems.policy import POLICIES, Policy, exactly, expected_gradient, on_groups
from reproduction.theorems.transforms import random_groups

SMALL = replace(QUICK, listed=3, subsets=5, counts=6, operations=(16, 64), timed=(16,))

GROUPS = [
    [Fraction(v, 4) for v in values]
    for values in ([3], [-1, 2], [0, 0, 5], [-3, 1, 1, 2], [0, 0, 1, 1, 1], [-4, -1, 2, 3, 3, 7])
]
CASES = [(g, k) for g in GROUPS for k in range(1, len(g) + 1)]


@pytest.fixture(scope="module")
def result() -> Result:
    return theorems.make(Context(quick=True, runs=Path("unused")))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_policies_have_the_value_and_gradient_of_enumeration(policy: Policy, k: int) -> None:
    oracle = oracles.SoftmaxPolicy(policy.probabilities, policy.rewards)
    assert policy.value(k) == oracle.objective(oracles.maximum(k))
    assert policy.gradient(k) == oracle.gradient(oracles.maximum(k))
    assert policy.score(1) == oracle.score(1)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_the_mean_gradient_is_taken_over_all_groups(policy: Policy) -> None:
    def uneven(g):
        return [(i + 1) * v + v * v for i, v in enumerate(g)]

    wanted = [Fraction(0)] * len(policy.rewards)
    oracle = oracles.SoftmaxPolicy(policy.probabilities, policy.rewards)
    for arms, weight in oracle.outcomes(3):
        for a, arm in zip(uneven([policy.rewards[x] for x in arms]), arms, strict=True):
            wanted = [w + weight * a * v for w, v in zip(wanted, oracle.score(arm), strict=True)]
    assert expected_gradient(policy, 3, on_groups(policy, 3, uneven)) == wanted
    floats = exactly(policy.rewards_of_groups(3))
    assert floats == [list(row) for row in on_groups(policy, 3, list)]


@pytest.mark.parametrize(("g", "k"), CASES)
def test_printed_equations_that_are_right(g: list[Fraction], k: int) -> None:
    n, kernel = len(g), oracles.maximum(k)
    s = oracles.advantages(g, kernel, "none")
    assert printed.effective(g, k) == s
    assert printed.effective_from_right(g, k) == s
    assert printed.over_subsets(g, k) == s
    value = oracles.estimate(g, kernel)
    for weights in (printed.value_weights(n, k), printed.value_weights_by_products(n, k)):
        assert sum(w * v for w, v in zip(weights, g, strict=True)) == value
    assert printed.best_of_subsets(g, k) == value
    if k < n:
        assert printed.sloo(g, k) == oracles.advantages(g, kernel, "paper_loo")
    if k >= 2:
        assert printed.sloo_minus_one(g, k) == oracles.advantages(g, kernel, "loo_minus_one")


def test_equation_8_is_s_for_binary_rewards() -> None:
    for n in range(1, 6):
        for correct in itertools.product((Fraction(0), Fraction(1)), repeat=n):
            for k in range(1, n + 1):
                wanted = oracles.advantages(correct, oracles.maximum(k), "none")
                assert printed.binary_effective(correct, k) == wanted


def test_the_slips_of_31_32_and_34_show_where_they_must_and_mended_ones_do_not() -> None:
    g, k = [Fraction(v) for v in (0, 1, 3, 7)], 2
    # b_i = k times the mean best of k of the others; the pairs of the others, by hand.
    b = [Fraction(2 * total, 3) for total in (3 + 7 + 7, 3 + 7 + 7, 1 + 7 + 7, 1 + 3 + 3)]
    assert printed.baselines(g, k) == b
    assert printed.first_baseline(g, k, printed=False) == b[0]
    assert printed.first_baseline(g, k, printed=True) == Fraction(1 * 1 + 3 * 3 + 7 * 5, 3)
    for i in (1, 2, 3):
        assert printed.next_baseline(g, k, i, b[i - 1], printed=False) == b[i]
    assert printed.next_baseline(g, k, 2, b[1], printed=True) != b[2]
    # eq. (34) for the first sample: the pairs with it leave 1, 3, 7; those without add 3, 7, 7.
    assert printed.smaller_subsets(g, k, 0) == Fraction(1 + 3 + 7, 6)
    assert printed.smaller_subsets_printed(g, k, 0) == Fraction(1 + 3 + 7 + 3 + 7 + 7, 6)


@pytest.mark.parametrize(("g", "k"), CASES)
def test_the_listing_is_the_paper_s(g: list[Fraction], k: int) -> None:
    n, rewards = len(g), np.array([float(v) for v in g])[::-1].copy()
    assert theorems_listing.rho(rewards, k) == pytest.approx(oracles.listing_rho(rewards, k))
    np.testing.assert_allclose(
        theorems_listing.s(rewards, k), oracles.listing_s(rewards, k), rtol=1e-12, atol=1e-13
    )
    if k < n:
        found, wanted = theorems_listing.sloo(rewards, k), oracles.listing_sloo(rewards, k)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)
    found = theorems_listing.sloo_minus_one(rewards, k)
    if k == 1:
        assert np.isnan(found).all()
    else:
        wanted = oracles.listing_sloo_minus_one(rewards, k)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


def test_the_listing_s_traps() -> None:
    integers = np.array([0, 0, 1, 0, 1])
    assert theorems_listing.s(integers, 2).tolist() == [0] * 5
    assert theorems_listing.sloo_minus_one(integers, 2).tolist() == [0] * 5
    rewards = np.array([0.5, 0.25, 1.0])
    for function in ("rho", "s", "sloo", "sloo_minus_one"):
        assert not np.any(getattr(theorems_listing, function)(rewards, 5))
    assert theorems_listing.sloo(rewards, 3).tolist() == theorems_listing.s(rewards, 3).tolist()


@pytest.mark.parametrize(("g", "k"), CASES)
def test_the_recursions_are_the_sums_over_subsets(g: list[Fraction], k: int) -> None:
    kernel = oracles.maximum(k)
    found = theorems_cost.effective(g, k, Fraction)
    assert found == oracles.advantages(g, kernel, "none")
    if k < len(g):
        found = theorems_cost.sloo(g, k, Fraction)
        assert found == oracles.advantages(g, kernel, "paper_loo")
    if k >= 2:
        found = theorems_cost.sloo_minus_one(g, k, Fraction)
        assert found == oracles.advantages(g, kernel, "loo_minus_one")


def test_operations_are_counted() -> None:
    def quadratic(g, k, number):
        return [number(k) * reward for _ in g for reward in g]

    assert theorems_cost.operations(quadratic, 12, 3) == 144
    # s for n = 2, k = 1: two for the first weight, two for the other; one product and five more.
    assert theorems_cost.operations(theorems_cost.effective, 2, 1) == 10
    for recursion in theorems_cost.RECURSIONS.values():
        counts = [theorems_cost.operations(recursion, n, 5) for n in (20, 21, 22, 23)]
        assert len({after - before for before, after in itertools.pairwise(counts)}) == 1


def test_rank_in_rational_numbers() -> None:
    rows = np.random.default_rng(0).integers(-3, 4, size=(4, 6))
    dependent = np.vstack([rows, rows[0] + 2 * rows[2], np.zeros(6, dtype=int)])
    as_fractions = [[Fraction(int(v)) for v in row] for row in dependent]
    assert theorems_degree.rank(as_fractions) == np.linalg.matrix_rank(dependent) == 4
    assert theorems_degree.rank([[Fraction(1)], [Fraction(1), Fraction(1)]]) == 2


def test_the_law_s_polynomials() -> None:
    p = Fraction(3, 7)
    for n in range(1, 6):
        found = [
            sum(a * p**j for j, a in enumerate(row)) for row in theorems_degree.law_coefficients(n)
        ]
        assert found == oracles.binomial_law(n, p)
        floats = theorems_degree.law(n, np.array([float(p)]))[0]
        np.testing.assert_allclose(floats, [float(v) for v in found], rtol=1e-14)
        power = sum(a * p**j for j, a in enumerate(theorems_degree.pass_coefficients(n)))
        assert power == 1 - (1 - p) ** n


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 3), (4, 5), (3, 8), (8, 10), (5, 5), (7, 3)])
def test_the_least_bias_is_that_of_least_squares(n: int, k: int) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    basis = np.polynomial.legendre.legvander(nodes, n) * np.sqrt(weights / 2)[:, None]
    target = (1 - ((1 - nodes) / 2) ** k) * np.sqrt(weights / 2)
    residual = target - basis @ np.linalg.lstsq(basis, target)[0]
    found = theorems_degree.least_bias(n, k)
    assert found == pytest.approx(float(np.linalg.norm(residual)), rel=1e-6, abs=1e-14)
    assert (found == 0) == (n >= k)


def test_other_code_s_estimates() -> None:
    assert theorems_degree.bootstrap(16, 16)[1] == pytest.approx(1 - (15 / 16) ** 16)
    draws = itertools.product((0, 0, 1), repeat=2)  # 1 of 3 correct, two draws
    assert theorems_degree.bootstrap(3, 2)[1] == pytest.approx(np.mean([max(d) for d in draws]))
    assert theorems_degree.human_eval(4, 6).tolist() == [1.0] * 5
    wanted = [oracles.pass_at_k(9, c, 4) for c in range(10)]
    np.testing.assert_allclose(theorems_degree.human_eval(9, 4), wanted, atol=1e-15)
    # 1.0 is off by (1-p)^k, whose mean square is 1 / (2k + 1).
    off = theorems_degree.mean_square_bias(theorems_degree.human_eval(4, 6), 6)
    assert off == pytest.approx(1 / math.sqrt(13), rel=1e-12)


def test_a_comparison_keeps_the_largest_and_never_loses_a_nan() -> None:
    compared = Comparison()
    assert not compared.within
    assert not compared.exact
    compared.add([1.0, 2.0], [1.0, 2.5], "first")
    compared.add([1.0], [1.25], "second")
    assert (compared.largest, compared.where, compared.count) == (0.5, "first", 3)
    compared.add([math.nan], [1.0], "third")
    compared.add([1.0], [9.0], "fourth")
    assert math.isnan(compared.largest)
    assert compared.where == "third"
    assert within("here", "s", "c", compared).claim.verdict == Verdict.NO


def test_random_groups_are_sorted_and_have_ties() -> None:
    groups = random_groups(8, 6, seed=1)
    assert all(g == sorted(g) for g in groups)
    assert any(len(set(g)) < 8 for g in groups)
    assert groups == random_groups(8, 6, seed=1)


DOES_NOT_HOLD = {
    "App. A.4",
    "Eq. (31)",
    "Eq. (32)",
    "Eq. (34)",
    "Listing 1, zeros_like",
    "Listing 1, sloo at k = n",
    "Listing 1, k > n",
}
IN_PART = {"Listing 1, sloo_minus_one"}


def test_what_holds_and_what_does_not(result: Result) -> None:
    verdicts = {(c.place, c.statement): c.verdict for c in result.claims}
    assert len(verdicts) == len(result.claims)
    for (place, statement), verdict in verdicts.items():
        numerous = "more numerous" in statement or "reduces the variance" in statement
        substitute = "human-eval" in statement or "verl" in statement
        if place in DOES_NOT_HOLD or substitute:
            assert verdict == Verdict.NO, statement
        elif place in IN_PART or numerous:
            assert verdict == Verdict.IN_PART, statement
        else:
            assert verdict == Verdict.HOLDS, statement
    assert {place for place, _ in verdicts} >= DOES_NOT_HOLD | IN_PART


def test_every_claim_has_its_row_and_the_settings_are_json(result: Result) -> None:
    rows = result.tables[0].rows
    assert [row[0] for row in rows] == [claim.place for claim in result.claims]
    assert [row[-1] for row in rows] == [str(claim.verdict) for claim in result.claims]
    assert json.loads(json.dumps(result.settings))["listed"] == QUICK.listed


def test_the_numbers_of_the_paper_s_group_size() -> None:
    numerous, variance, _ = estimators.smaller_baseline(SMALL)
    assert "15 of 1 against 105 of 2, 455 of 3 against 1,365 of 4" in numerous.claim.found
    # Bernoulli logit, n = 16, k = 4, p = .1: .0214 with (33), .0184 with (29).
    ratio = float(variance.claim.found.split("k=4: ")[1].split(", ")[2])
    assert ratio == pytest.approx(0.0214 / 0.0184, abs=0.01)


def test_a_biased_package_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pkpo.advantages
    monkeypatch.setattr(pkpo, "advantages", lambda *a, **b: real(*a, **b) * (1 + 1e-9))
    assert {f.claim.verdict for f in estimators.gradients(SMALL)} == {Verdict.NO}
    assert estimators.binary_gradient(SMALL)[1].claim.verdict == Verdict.NO


def test_a_package_that_answers_for_too_few_samples_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samples, "pass_at_k", lambda n, c, k: pkpo.pass_at_k(max(n, k), c, k))
    corollary = next(f for f in samples.findings(SMALL) if "if and only if" in f.claim.statement)
    assert corollary.claim.verdict == Verdict.NO


def test_equations_without_slips_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    first, after = printed.first_baseline, printed.next_baseline
    mended = {"printed": False}
    monkeypatch.setattr(printed, "first_baseline", lambda g, k, printed: first(g, k, **mended))
    monkeypatch.setattr(
        printed, "next_baseline", lambda g, k, i, b, printed: after(g, k, i, b, **mended)
    )
    monkeypatch.setattr(printed, "smaller_subsets_printed", printed.smaller_subsets)
    found = {f.claim.place: f.claim.verdict for f in misprints.equations(SMALL)}
    assert {found[f"Eq. ({n})"] for n in (31, 32, 34)} == {Verdict.HOLDS}
