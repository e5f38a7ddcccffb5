"""The per-prompt weights, chances and moments against enumeration."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import oracles
import pkpo
from pkpo.core.weights import Baseline
from reproduction.one_prompt import gap, law, signal, softmax_variance, weight, widest_gap

OBJECTIVES = {
    "mean": oracles.mean(),
    "max@4": oracles.maximum(4),
    "min@3": oracles.minimum(3),
    "top_mean(2, 5)": oracles.top_mean(2, 5),
    "order_statistics(1, 0, -2)": oracles.order_statistics([1, 0, -2]),
    "log_pass(6)": oracles.log_pass(6),
    "0.5*max@8 + 0.5*mean": oracles.mixture(
        (Fraction(1, 2), oracles.maximum(8)), (Fraction(1, 2), oracles.mean())
    ),
}


def value(kernel: oracles.Kernel, p: Fraction) -> Fraction:
    total = Fraction(0)
    for term in kernel:
        for c, chance in enumerate(oracles.binomial_law(term.k, p)):
            total += term.coefficient * chance * term.of([0] * (term.k - c) + [1] * c)
    return total


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_are_derivatives(name: str) -> None:
    step = Fraction(1, 10**7)
    for p in (Fraction(1, 100), Fraction(3, 10), Fraction(9, 10)):
        ends = [value(OBJECTIVES[name], p + sign * step) for sign in (1, -1)]
        wanted = float((ends[0] - ends[1]) / (2 * step))
        found = weight(pkpo.parse_objective(name), np.array([float(p)]))
        assert found[0] == pytest.approx(wanted, rel=1e-10)


def test_the_identity_of_the_critique() -> None:
    p = np.array([0.0, 0.01, 0.4, 1.0])
    for k in (1, 2, 8, 16):
        found = weight(pkpo.max_at(k), p)
        np.testing.assert_allclose(found, k * (1 - p) ** (k - 1), rtol=1e-14)


@pytest.mark.parametrize("baseline", ["loo", "loo_minus_one", "paper_loo", "none"])
@pytest.mark.parametrize("name", ["max@2", "max@3", "0.5*max@3 + 0.5*mean"])
def test_moments_are_those_of_all_groups(name: str, baseline: Baseline) -> None:
    n, p = 4, Fraction(3, 10)
    kernel = {
        "max@2": oracles.maximum(2),
        "max@3": oracles.maximum(3),
        "0.5*max@3 + 0.5*mean": oracles.mixture(
            (Fraction(1, 2), oracles.maximum(3)), (Fraction(1, 2), oracles.mean())
        ),
    }[name]
    mean = square = chance = Fraction(0)
    for rewards in itertools.product((0, 1), repeat=n):
        law = math.prod((p if g else 1 - p for g in rewards), start=Fraction(1))
        a = oracles.advantages(rewards, kernel, baseline)
        estimate = sum((v * (g - p) for v, g in zip(a, rewards, strict=True)), Fraction(0))
        mean, square = mean + law * estimate, square + law * estimate**2
        chance += law * any(a)
    found = signal(n, pkpo.parse_objective(name), baseline, np.array([float(p)]))
    assert found.mean[0] == pytest.approx(float(mean), rel=1e-12)
    assert found.variance[0] == pytest.approx(float(square - mean**2), rel=1e-12)
    assert found.chance[0] == pytest.approx(float(chance), rel=1e-12)
    assert found.ratio[0] == pytest.approx(float(mean**2 / (square - mean**2)), rel=1e-12)


def test_the_mean_is_the_gradient_in_the_logit() -> None:
    p = np.array([0.001, 0.2, 0.7, 0.99])
    for text in ("mean", "max@8", "0.5*max@8 + 0.5*mean", "log_pass(16)"):
        objective = pkpo.parse_objective(text)
        found = signal(16, objective, "loo_minus_one", p).mean
        np.testing.assert_allclose(found, p * (1 - p) * weight(objective, p), rtol=1e-9)


def test_known_numbers_at_n_16() -> None:
    p = np.array([0.01, 0.1, 0.5, 0.9])
    minus_one = signal(16, pkpo.max_at(8), "loo_minus_one", p).chance
    np.testing.assert_allclose(minus_one, [0.1485, 0.8147, 0.7727, 0.0005], atol=6e-5)
    centred = signal(16, pkpo.max_at(8), "loo", p).chance
    np.testing.assert_allclose(centred, [0.1485, 0.8147, 0.5982, 0.0001], atol=6e-5)
    mean = signal(16, pkpo.mean_reward(), "loo", p).chance
    np.testing.assert_allclose(mean, 1 - p**16 - (1 - p) ** 16, rtol=1e-12)
    variances = [
        signal(16, pkpo.max_at(4), baseline, p[1:2]).variance[0]
        for baseline in ("loo", "paper_loo", "loo_minus_one")
    ]
    assert variances == pytest.approx([0.01876, 0.01843, 0.0214], rel=3e-3)


@pytest.mark.parametrize("k", [2, 4, 8, 16])
def test_the_gap_is_widest_where_the_weight_is_one(k: int) -> None:
    p = np.linspace(0, 1, 20_001)
    assert p[gap(k, p).argmax()] == pytest.approx(widest_gap(k), abs=1e-4)
    at = np.array([widest_gap(k)])
    assert weight(pkpo.max_at(k), at)[0] == pytest.approx(1.0, rel=1e-12)
    assert gap(k, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


def softmax_by_enumeration(correct, wrong, n, k, p, baseline):
    """Trace of the covariance over all sequences of arms, in fractions."""
    arms = correct + wrong
    policy = [p / correct] * correct + [(1 - p) / wrong] * wrong
    mean, length = [Fraction(0)] * arms, Fraction(0)
    for drawn in itertools.product(range(arms), repeat=n):
        chance = math.prod((policy[arm] for arm in drawn), start=Fraction(1))
        rewards = [Fraction(int(arm < correct)) for arm in drawn]
        advantages = oracles.advantages(rewards, oracles.maximum(k), baseline)
        gradient = [-sum(advantages) * share for share in policy]
        for arm, advantage in zip(drawn, advantages):
            gradient[arm] += advantage
        mean = [m + chance * g for m, g in zip(mean, gradient)]
        length += chance * sum(g * g for g in gradient)
    return float(length - sum(m * m for m in mean))


@pytest.mark.parametrize("baseline", ["paper_loo", "loo_minus_one", "loo"])
def test_softmax_variance_by_enumeration(baseline):
    p = Fraction(2, 7)
    expected = softmax_by_enumeration(1, 3, 4, 2, p, baseline)
    found = softmax_variance(4, 2, baseline, np.array([float(p)]), correct=1, wrong=3)
    assert found == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize("baseline", ["paper_loo", "loo_minus_one", "loo"])
def test_bernoulli_variance_by_enumeration(baseline):
    n, k, p = 5, 3, Fraction(1, 3)
    first = second = Fraction(0)
    for drawn in itertools.product((0, 1), repeat=n):
        chance = math.prod((p if r else 1 - p for r in drawn), start=Fraction(1))
        rewards = [Fraction(r) for r in drawn]
        advantages = oracles.advantages(rewards, oracles.maximum(k), baseline)
        estimate = sum(a * (r - p) for a, r in zip(advantages, rewards))
        first, second = first + chance * estimate, second + chance * estimate**2
    found = signal(n, k, baseline, np.array([float(p)])).variance
    assert found == pytest.approx([float(second - first**2)], rel=1e-12)


def test_the_law():
    p = Fraction(3, 7)
    for n in range(1, 6):
        wanted = [float(v) for v in oracles.binomial_law(n, p)]
        np.testing.assert_allclose(law(n, np.array([float(p)]))[0], wanted, rtol=1e-14)
