"""Expectations over every outcome of a small softmax policy, against exact gradients."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import oracles
import pkpo
from cases import BASELINES, cases


def policy(probabilities: list[str], rewards: list[int]) -> oracles.SoftmaxPolicy:
    return oracles.SoftmaxPolicy(
        tuple(Fraction(p) for p in probabilities), tuple(Fraction(g) for g in rewards)
    )


POLICIES = {
    "binary": policy(["1/2", "3/10", "1/5"], [0, 1, 0]),
    "distinct": policy(["1/6", "1/2", "1/3"], [-3, 2, 5]),
    "tied": policy(["4/10", "1/10", "3/10", "2/10"], [1, -2, 1, 4]),
}


@cache
def outcomes(name: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards (O, n), probabilities (O,) and scores (O, n, arms) of every outcome."""
    chosen = POLICIES[name]
    arms, chances = zip(*chosen.outcomes(n), strict=True)
    index = np.array(arms)
    rewards = np.array([float(g) for g in chosen.rewards])[index]
    scores = np.array([[float(x) for x in chosen.score(a)] for a in chosen.arms])[index]
    return rewards, np.array([float(p) for p in chances]), scores


@cache
def exact_gradient(name: str, kernel: oracles.Kernel) -> np.ndarray:
    return np.array([float(slope) for slope in POLICIES[name].gradient(kernel)])


def expected_gradient(name: str, n: int, advantages: np.ndarray) -> np.ndarray:
    _, chances, scores = outcomes(name, n)
    return np.einsum("o,oi,oia->a", chances, advantages, scores)


SIZES = {"binary": range(1, 6), "distinct": range(1, 7), "tied": range(2, 6)}
GROUPS = [(name, n) for name, sizes in SIZES.items() for n in sizes]


@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_estimates_are_unbiased(name, n):
    rewards, chances, _ = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            mean = chances @ pkpo.estimate(rewards, case.objective)
            exact = float(POLICIES[name].objective(case.kernel))
            np.testing.assert_allclose(mean, exact, rtol=1e-12, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_gradients_are_unbiased(name, n, baseline):
    rewards, *_ = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            if not oracles.is_defined(case.kernel, baseline, n):
                continue
            advantages = pkpo.advantages(rewards, case.objective, baseline=baseline)
            np.testing.assert_allclose(
                expected_gradient(name, n, advantages),
                exact_gradient(name, case.kernel),
                rtol=1e-12,
                atol=1e-12,
                err_msg=str(case),
            )


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_mean_over_samples_needs_the_mean_reduction(baseline):
    rewards, *_ = outcomes("distinct", 5)
    advantages = pkpo.advantages(rewards, 3, baseline=baseline, reduction="mean")
    np.testing.assert_allclose(
        expected_gradient("distinct", 5, advantages / 5),
        exact_gradient("distinct", oracles.maximum(3)),
        rtol=1e-12,
    )


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_subtracting_the_group_mean_changes_the_objective(name, k):
    """What a trainer optimises that centres the advantages it is given."""
    n = 5
    rewards, *_ = outcomes(name, n)
    at_k = exact_gradient(name, oracles.maximum(k))
    below = exact_gradient(name, oracles.maximum(k - 1))
    optimised = {
        "none": (1 - k / n) * at_k,
        "loo_minus_one": (1 - k / n) * at_k + k / n * below,
    }
    for baseline, gradient in optimised.items():
        advantages = pkpo.advantages(rewards, k, baseline=baseline)
        centred = advantages - advantages.mean(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            expected_gradient(name, n, centred), gradient, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("p", ["1/50", "1/2", "9/10"])
def test_slope_of_pass_at_k_in_the_success_rate(p, baseline):
    n, k = 8, 4
    success = Fraction(p)
    rewards = np.tri(n + 1, n, -1)
    law = np.array([float(w) for w in oracles.binomial_law(n, success)])
    scores = np.where(rewards > 0, 1 / float(success), -1 / float(1 - success))
    advantages = pkpo.advantages(rewards, k, baseline=baseline)
    slope = law @ (advantages * scores).sum(axis=-1)
    np.testing.assert_allclose(slope, float(k * (1 - success) ** (k - 1)), rtol=1e-10)


def test_masked_groups_are_unbiased_too():
    rewards, chances, scores = outcomes("distinct", 5)
    mask = np.array([True, True, False, True, False])
    counted = np.broadcast_to(mask, rewards.shape)
    for baseline in BASELINES:
        advantages = pkpo.advantages(rewards, 2, baseline=baseline, mask=counted)
        gradient = np.einsum("o,oi,oia->a", chances, advantages, scores)
        exact = exact_gradient("distinct", oracles.maximum(2))
        np.testing.assert_allclose(gradient, exact, rtol=1e-12)
