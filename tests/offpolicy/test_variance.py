"""Variances and effective sample sizes against sums over pairs of subsets."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import offpolicy_oracles as exact
import oracles
from cases import reward_groups
from offpolicy_cases import BASELINES, cases, example, logs, outcomes, ratio_groups
from pkpo import offpolicy


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("objective", ["max@3", "min@4", "mean", "log_pass(4)", "max@8 - 2*min@2"])
def test_invariances(objective, baseline):
    rewards, log_ratios = example(1)
    function = partial(offpolicy.advantages, objective=objective, baseline=baseline)
    result = function(rewards, log_ratios)
    scale = np.abs(result).max()

    shuffle = np.random.default_rng(2).permutation(9)
    shuffled = function(rewards[:, shuffle], log_ratios[:, shuffle])
    np.testing.assert_allclose(shuffled, result[:, shuffle], rtol=1e-12, atol=1e-14 * scale)
    np.testing.assert_allclose(function(3 * rewards, log_ratios), 3 * result, rtol=1e-12)
    shifted = function(rewards + 1000.0, log_ratios)
    if baseline == "none":
        assert np.abs(shifted - result).max() > scale
    else:
        np.testing.assert_allclose(shifted, result, atol=1e-11 * scale)


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_variances_are_sums_over_pairs_of_disjoint_subsets(n):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n // 2 + 1):
        for case in cases(k):
            result = offpolicy.variance(rewards, logs(ratios), case.objective)
            reference = [
                float(exact.unbiased_variance(g, r, case.kernel))
                for g, r in zip(rewards.tolist(), ratios, strict=True)
            ]
            scale = offpolicy.estimate(rewards, logs(ratios), case.objective) ** 2
            error = np.abs(result - reference)
            assert np.all(error <= 1e-13 * (1 + scale)), str(case)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_jackknife_variances_leave_one_sample_out(n):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n):
        for case in cases(k):
            result = offpolicy.variance(rewards, logs(ratios), case.objective, method="jackknife")
            reference = [
                float(exact.jackknife_variance(g, r, case.kernel))
                for g, r in zip(rewards.tolist(), ratios, strict=True)
            ]
            np.testing.assert_allclose(result, reference, rtol=1e-11, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize(("name", "n"), [("binary", 5), ("distinct", 4), ("tied", 4)])
def test_expected_variances(name, n):
    rewards, log_ratios, chances, _ = outcomes(name, n)
    for k in range(1, n // 2 + 1):
        for case in cases(k):
            values = offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = chances @ (values - chances @ values) ** 2
            unbiased = chances @ offpolicy.variance(rewards, log_ratios, case.objective)
            assert unbiased == pytest.approx(truth, rel=1e-11)
    for k in range(1, n):
        for case in cases(k):
            values = offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = chances @ (values - chances @ values) ** 2
            found = chances @ offpolicy.variance(
                rewards, log_ratios, case.objective, method="jackknife"
            )
            assert 1 - 1e-12 <= found / truth <= k * (n - 1) / (n - k) + 1e-12


@pytest.mark.parametrize("p", ["1/10", "1/2"])
def test_variance_of_pass_at_k(p):
    n, k, success = 8, 3, Fraction(p)
    rewards = np.tri(n + 1, n, -1)
    law = np.array([float(w) for w in oracles.binomial_law(n, success)])
    mean = law @ offpolicy.variance(rewards, np.zeros_like(rewards), k)
    assert mean == pytest.approx(float(oracles.pass_variance(n, k, success)), rel=1e-11)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_effective_sample_sizes_are_shares_of_subsets(n):
    ratios = ratio_groups(n, 3)
    for k in range(1, n + 1):
        result = offpolicy.effective_sample_size(logs(ratios), k)
        reference = [float(exact.effective_sample_size(r, k)) for r in ratios]
        np.testing.assert_allclose(result, reference, rtol=1e-12)


def test_effective_sample_size_limits():
    _, log_ratios = example(14)
    ratios = np.exp(log_ratios)
    np.testing.assert_allclose(
        offpolicy.effective_sample_size(log_ratios),
        ratios.sum(axis=-1) ** 2 / (ratios**2).sum(axis=-1),
        rtol=1e-12,
    )
    for k in (1, 4, 9):
        size = offpolicy.effective_sample_size(log_ratios, k)
        assert np.all((size > 0) & (size <= 9 + 1e-12))
        moved = offpolicy.effective_sample_size(log_ratios - 7.0, k)
        np.testing.assert_allclose(moved, size, rtol=1e-12)
        even = offpolicy.effective_sample_size(np.full(9, 3.0), k)
        assert even == pytest.approx(9.0, rel=1e-12)
    np.testing.assert_allclose(offpolicy.effective_sample_size(log_ratios, 9), 9.0, rtol=1e-12)
    alone = offpolicy.effective_sample_size(np.array([0.0, -800.0, -900.0]))
    assert alone == pytest.approx(1.0)
