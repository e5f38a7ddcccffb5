"""Listing 1 of arXiv:2505.15201, and its figures where they are about the transformations."""

import inspect

import numpy as np
import pytest

import oracles
import pkpo
from cases import reward_groups
from pkpo import paper
from pkpo.errors import InvalidInputError, UndefinedEstimateError

PAIRS = {
    "s": (paper.s, oracles.listing_s, "none"),
    "sloo": (paper.sloo, oracles.listing_sloo, "paper_loo"),
    "sloo_minus_one": (paper.sloo_minus_one, oracles.listing_sloo_minus_one, "loo_minus_one"),
}


@pytest.mark.parametrize("name", ["rho", *PAIRS])
def test_signatures_are_those_of_the_listing(name):
    assert list(inspect.signature(getattr(paper, name)).parameters) == ["g", "K"]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 16, 40])
def test_equal_to_the_corrected_listing(name, n):
    function, listing, baseline = PAIRS[name]
    groups = [*reward_groups(n).astype(float), np.random.default_rng(n).normal(size=n)]
    for k in {1, 2, n // 2, n - 1, n}:
        if k < 1 or not oracles.is_defined(oracles.maximum(k), baseline, n):
            continue
        for group in groups:
            scale = max(1.0, np.abs(group).max())
            np.testing.assert_allclose(
                function(group, k), listing(group, k), rtol=1e-10, atol=1e-12 * scale
            )
            if k <= n:
                np.testing.assert_allclose(
                    paper.rho(group, k),
                    oracles.listing_rho(group, k),
                    rtol=1e-12,
                    atol=1e-13 * scale,
                )


@pytest.mark.parametrize("name", PAIRS)
def test_equal_to_the_baselines_of_advantages(name):
    function, _, baseline = PAIRS[name]
    group = np.random.default_rng(0).normal(size=9)
    np.testing.assert_array_equal(function(group, 4), pkpo.advantages(group, 4, baseline=baseline))
    np.testing.assert_array_equal(paper.rho(group, 4), pkpo.estimate(group, 4))


@pytest.mark.parametrize("name", PAIRS)
def test_integer_rewards_are_not_truncated(name):
    function, listing, _ = PAIRS[name]
    group = np.array([0, 1, 0, 0, 1])
    result = function(group, 3)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, listing(group.astype(float), 3), atol=1e-14)
    assert np.any(result != np.round(result))


def test_a_single_draw_is_rloo():
    group = np.array([3.0, -1.0, 4.0, 1.0])
    others = (group.sum() - group) / 3
    np.testing.assert_allclose(paper.sloo_minus_one(group, 1), (group - others) / 4, atol=1e-15)


@pytest.mark.parametrize("name", ["rho", *PAIRS])
def test_more_draws_than_samples_raise(name):
    with pytest.raises(UndefinedEstimateError):
        getattr(paper, name)(np.zeros(4), 5)


def test_the_leave_one_out_baseline_needs_a_sample_to_spare():
    with pytest.raises(UndefinedEstimateError):
        paper.sloo(np.zeros(4), 4)


@pytest.mark.parametrize("name", ["rho", *PAIRS])
@pytest.mark.parametrize("k", [0, -2, 1.5, True])
def test_invalid_draws_raise(name, k):
    with pytest.raises(InvalidInputError):
        getattr(paper, name)(np.zeros(4), k)


# Figures 1 and 4: x ~ Normal(theta, 0.1), g(x) = x^2 on [0, 1] and 0 elsewhere, theta = 1.

SIGMA, THETA, DRAWS, TRIALS = 0.1, 1.0, 4, 200_000


def toy_gradients(n: int, baseline: str, partition: int | None = None) -> np.ndarray:
    x = np.random.default_rng(n).normal(THETA, SIGMA, (TRIALS, n))
    rewards = np.where((x >= 0) & (x <= 1), x**2, 0.0)
    scores = (x - THETA) / SIGMA**2
    if partition is None:
        return (pkpo.advantages(rewards, DRAWS, baseline=baseline) * scores).sum(axis=-1)
    parts = rewards.reshape(TRIALS, -1, partition)
    advantages = pkpo.advantages(parts, DRAWS, baseline=baseline).reshape(TRIALS, n)
    return (advantages * scores).sum(axis=-1) * partition / n


@pytest.mark.parametrize(
    ("n", "baseline", "partition", "variance"),
    [
        (8, "none", None, 116),
        (8, "paper_loo", None, 12.9),
        (8, "loo_minus_one", None, 2.05),
        (8, "loo_minus_one", 4, 5.11),
        (16, "none", None, 56.8),
        (16, "paper_loo", None, 3.46),
        (16, "loo_minus_one", None, 0.816),
        (16, "loo_minus_one", 4, 2.51),
    ],
)
def test_variances_of_figure_4(n, baseline, partition, variance):
    gradients = toy_gradients(n, baseline, partition)
    assert gradients.var() == pytest.approx(variance, rel=0.03)
    standard_error = gradients.std() / np.sqrt(TRIALS)
    assert abs(gradients.mean() - -1.77717) <= 4 * standard_error


@pytest.mark.parametrize(
    ("k", "theta", "value"),
    [
        (1, 0.862411, 0.661281),
        (2, 0.901704, 0.800425),
        (4, 0.938661, 0.892414),
        (8, 0.968999, 0.943774),
        (16, 0.985571, 0.970656),
    ],
)
def test_optima_of_figure_1(k, theta, value):
    x = np.random.default_rng(k).normal(theta, SIGMA, (50_000, 16))
    rewards = np.where((x >= 0) & (x <= 1), x**2, 0.0)
    estimates = pkpo.estimate(rewards, k)
    assert abs(estimates.mean() - value) <= 4 * estimates.std() / np.sqrt(len(x))
    scores = (x - theta) / SIGMA**2
    gradients = (pkpo.advantages(rewards, k) * scores).sum(axis=-1)
    assert abs(gradients.mean()) <= 4 * gradients.std() / np.sqrt(len(x))
