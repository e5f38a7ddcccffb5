"""Off-policy estimates: expectations over all outcomes, on-policy samples, invariances."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import oracles
import pkpo
from offpolicy_cases import (
    BASELINES,
    GROUPS,
    PAIRS,
    cases,
    defined,
    example,
    outcomes,
)
from pkpo import offpolicy


@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_values_are_unbiased_for_the_target(name, n):
    rewards, log_ratios, chances, _ = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            mean = chances @ offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = float(PAIRS[name].target.objective(case.kernel))
            np.testing.assert_allclose(mean, truth, rtol=1e-12, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_gradients_are_unbiased_for_the_target(name, n, baseline):
    rewards, log_ratios, chances, scores = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            if not defined(case, baseline, n):
                continue
            found = offpolicy.advantages(rewards, log_ratios, case.objective, baseline=baseline)
            gradient = np.einsum("o,oi,oia->a", chances, found, scores)
            truth = [float(x) for x in PAIRS[name].target.gradient(case.kernel)]
            np.testing.assert_allclose(gradient, truth, rtol=1e-11, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_what_truncation_estimates(name, k):
    """The objective with min(pi, c mu) in place of pi; normalising leaves that policy."""
    rewards, log_ratios, chances, _ = outcomes(name, 4)
    pair, cap = PAIRS[name], Fraction(5, 4)
    sampler = pair.sampler.probabilities
    capped = tuple(q * min(r, cap) for q, r in zip(sampler, pair.ratios, strict=True))
    truth = oracles.SoftmaxPolicy(capped, pair.target.rewards).objective(oracles.maximum(k))
    found = offpolicy.estimate(rewards, log_ratios, k, truncate=float(cap))
    np.testing.assert_allclose(chances @ found, float(truth), rtol=1e-12, atol=1e-13)
    unbiased = float(pair.target.objective(oracles.maximum(k)))
    assert abs(chances @ found - unbiased) > 1e-3
    mass = sum(capped)
    policy = oracles.SoftmaxPolicy(tuple(c / mass for c in capped), pair.target.rewards)
    of_policy = policy.objective(oracles.maximum(k))
    assert float(truth) == pytest.approx(float(mass**k * of_policy))


def test_truncation_makes_the_gradient_depend_on_the_baseline():
    rewards, log_ratios, chances, scores = outcomes("distinct", 4)
    truth = np.array([float(x) for x in PAIRS["distinct"].target.gradient(oracles.maximum(2))])
    expected = {}
    for baseline in BASELINES:
        for shift in (0.0, 10.0):
            found = offpolicy.advantages(
                rewards + shift, log_ratios, 2, baseline=baseline, truncate=1.25
            )
            expected[baseline, shift] = np.einsum("o,oi,oia->a", chances, found, scores)
    bias = {key: np.linalg.norm(found - truth) for key, found in expected.items()}
    assert bias["none", 10.0] > 2 * bias["none", 0.0] > 0.01
    assert bias["loo", 0.0] > 0.01
    assert not np.allclose(expected["loo", 0.0], expected["loo_minus_one", 0.0], atol=1e-3)
    np.testing.assert_allclose(expected["loo", 10.0], expected["loo", 0.0], atol=1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    ("n", "ks"), [(1, [1]), (2, [1, 2]), (9, [1, 3, 8, 9]), (300, [1, 7, 150])]
)
def test_equal_policies_give_the_on_policy_advantages(n, ks, baseline):
    rewards = np.random.default_rng(n).normal(size=(3, n))
    zeros = np.zeros_like(rewards)
    for k in ks:
        for case in cases(k)[:2] if n > 9 else cases(k):
            if not defined(case, baseline, n):
                continue
            for reduction in ("sum", "mean"):
                options = {"baseline": baseline, "reduction": reduction}
                np.testing.assert_allclose(
                    offpolicy.advantages(rewards, zeros, case.objective, **options),
                    pkpo.advantages(rewards, case.objective, **options),
                    rtol=1e-12,
                    atol=1e-12,
                )


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("n", "ks"), [(1, [1]), (9, [1, 3, 9]), (300, [1, 7, 150, 300])])
def test_equal_policies_give_the_on_policy_values(n, ks, normalise):
    rewards = np.random.default_rng(n).normal(size=(3, n))
    for k in ks:
        for case in cases(k)[:2] if n > 9 else cases(k):
            np.testing.assert_allclose(
                offpolicy.estimate(
                    rewards, np.zeros_like(rewards), case.objective, normalise=normalise
                ),
                pkpo.estimate(rewards, case.objective),
                rtol=1e-12,
            )


@pytest.mark.parametrize("k", [8, 64])
def test_equal_policies_in_groups_of_thousands(k):
    rewards = np.random.default_rng(k).normal(size=4096)
    zeros = np.zeros(4096)
    np.testing.assert_allclose(
        offpolicy.estimate(rewards, zeros, k), pkpo.estimate(rewards, k), rtol=1e-12
    )
    for baseline in BASELINES:
        np.testing.assert_allclose(
            offpolicy.advantages(rewards, zeros, k, baseline=baseline),
            pkpo.advantages(rewards, k, baseline=baseline),
            rtol=1e-12,
            atol=1e-14,
        )


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_common_factor_of_the_ratios_multiplies_by_its_power(k):
    rewards, log_ratios = example(3)
    for baseline in BASELINES:
        result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
        moved = offpolicy.advantages(rewards, log_ratios + 2.0, k, baseline=baseline)
        np.testing.assert_allclose(moved, math.exp(2.0 * k) * result, rtol=1e-11, atol=1e-12)
    value = offpolicy.estimate(rewards, log_ratios, k)
    moved = offpolicy.estimate(rewards, log_ratios + 2.0, k)
    np.testing.assert_allclose(moved, math.exp(2.0 * k) * value, rtol=1e-12)
    value = offpolicy.estimate(rewards, log_ratios, k, normalise=True)
    moved = offpolicy.estimate(rewards, log_ratios + 2.0, k, normalise=True)
    np.testing.assert_allclose(moved, value, rtol=1e-12)


def test_the_minimum_is_the_maximum_upside_down():
    rewards, log_ratios = example(4)
    for baseline in BASELINES:
        np.testing.assert_allclose(
            offpolicy.advantages(rewards, log_ratios, pkpo.min_at(3), baseline=baseline),
            -offpolicy.advantages(-rewards, log_ratios, 3, baseline=baseline),
            rtol=1e-13,
        )


def test_normalised_values_stay_in_the_rewards_range_and_follow_shifts():
    rewards, log_ratios = example(5, spread=3.0)
    for k in (1, 4, 9):
        value = offpolicy.estimate(rewards, log_ratios, k, normalise=True)
        assert np.all(value >= rewards.min(axis=-1))
        assert np.all(value <= rewards.max(axis=-1) + 1e-14)
        shifted = offpolicy.estimate(rewards + 100.0, log_ratios, k, normalise=True)
        np.testing.assert_allclose(shifted, value + 100.0, rtol=1e-12)
    np.testing.assert_allclose(
        offpolicy.estimate(rewards, log_ratios, 9, normalise=True), rewards.max(axis=-1)
    )


def test_advantages_without_a_baseline_sum_to_k_values():
    rewards, log_ratios = example(6)
    for k in (1, 4, 9):
        plain = offpolicy.advantages(rewards, log_ratios, k, baseline="none")
        value = offpolicy.estimate(rewards, log_ratios, k)
        np.testing.assert_allclose(plain.sum(axis=-1), k * value, rtol=1e-12)


def test_advantages_without_a_baseline_are_slopes_of_the_value():
    """r_i times the derivative in r_i is the derivative in its logarithm."""
    rewards, log_ratios = example(7)
    step = 1e-6
    for objective in ("max@4", "min@3", "log_pass(5)"):
        plain = offpolicy.advantages(rewards, log_ratios, objective, baseline="none")
        for i in range(9):
            moves = step * (np.arange(9) == i)
            up = offpolicy.estimate(rewards, log_ratios + moves, objective)
            down = offpolicy.estimate(rewards, log_ratios - moves, objective)
            np.testing.assert_allclose(plain[:, i], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_centring_is_lost_off_policy():
    rewards, log_ratios = example(8)
    sums = np.abs(offpolicy.advantages(rewards, log_ratios, 3, baseline="loo").sum(axis=-1))
    assert np.all(sums > 1e-4)


def test_tied_samples_get_advantages_in_proportion_to_their_ratios():
    rewards = np.array([1.0, 0.0, 1.0, 2.0, 1.0, 0.0])
    log_ratios = np.log([1.0, 3.0, 2.0, 1.0, 5.0, 0.5])
    result = offpolicy.advantages(rewards, log_ratios, 3)
    np.testing.assert_allclose(result[[0, 2, 4]] / [1.0, 2.0, 5.0], result[0], rtol=1e-13)
    np.testing.assert_array_equal(result[[1, 5]], 0.0)


def test_equal_rewards_teach_nothing():
    _, log_ratios = example(9)
    rewards = np.full((4, 9), 0.1)
    for baseline in ("loo", "loo_minus_one"):
        for objective in ("max@3", "min@8", "mean"):
            result = offpolicy.advantages(rewards, log_ratios, objective, baseline=baseline)
            np.testing.assert_array_equal(result, np.zeros((4, 9)))


@pytest.mark.parametrize("baseline", BASELINES)
def test_mixtures_are_sums(baseline):
    rewards, log_ratios = example(10)
    parts = [(2.0, "max@7"), (-0.5, "min@3"), (1.5, "mean"), (0.25, "log_pass(5)")]
    mixture = " + ".join(f"{w}*{o}" for w, o in parts).replace("+ -", "- ")
    for function in (partial(offpolicy.advantages, baseline=baseline), offpolicy.estimate):
        total = sum(w * function(rewards, log_ratios, o) for w, o in parts)
        np.testing.assert_allclose(function(rewards, log_ratios, mixture), total, rtol=1e-11)


def test_truncation_caps_the_ratios():
    rewards, log_ratios = example(11)
    capped = np.minimum(log_ratios, math.log(1.5))
    for function in (offpolicy.advantages, offpolicy.estimate):
        np.testing.assert_array_equal(
            function(rewards, log_ratios, 3, truncate=1.5), function(rewards, capped, 3)
        )


def relative(result: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(result - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize(
    ("spread", "own_ratio", "first_order"),
    [
        (0.05, (0.02, 0.1), (5e-4, 0.01)),
        (0.2, (0.1, 0.3), (0.01, 0.1)),
        (0.5, (0.3, 0.7), (0.1, 0.5)),
    ],
)
@pytest.mark.parametrize("baseline", BASELINES)
def test_shortcuts_are_not_the_sum_over_subsets(baseline, spread, own_ratio, first_order):
    """On-policy advantages times the sample's own ratio; and the expansion to first order in
    the ratios around 1."""
    generator = np.random.default_rng(1)
    rewards, log_ratios = generator.random((2000, 16)), spread * generator.normal(size=(2000, 16))
    function = partial(offpolicy.advantages, objective=4, baseline=baseline)
    truth = function(rewards, log_ratios)
    on_policy = pkpo.advantages(rewards, 4, baseline=baseline)
    assert own_ratio[0] < relative(on_policy * np.exp(log_ratios), truth) < own_ratio[1]
    change = 1e-4 * np.expm1(log_ratios)
    slope = function(rewards, np.log1p(change)) - function(rewards, np.log1p(-change))
    expansion = on_policy + slope / 2e-4
    assert first_order[0] < relative(expansion, truth) < first_order[1]
