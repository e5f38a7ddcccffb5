"""The oracles check each other: enumeration, closed sums, Listing 1, finite differences."""

from fractions import Fraction

import numpy as np
import pytest

import oracles

KERNELS = {
    "maximum": oracles.maximum,
    "minimum": oracles.minimum,
    "log_pass": oracles.log_pass,
    "top_mean": lambda k: oracles.top_mean((k + 1) // 2, k),
    "order_statistics": lambda k: oracles.order_statistics([3, *range(-1, k - 2)]),
    "mixture": lambda k: oracles.mixture(
        (Fraction(1, 3), oracles.maximum(k)), (2, oracles.minimum(k)), (-1, oracles.mean())
    ),
}
GROUPS = [[3], [1, -2], [0, 1, 1], [-3, 4, 4, -3], [2, 7, -1, 0, 5], [0, 1, 0, 0, 1, 1]]


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("group", GROUPS, ids=len)
def test_closed_sums_equal_enumeration(kind, group):
    for k in range(1, len(group) + 1):
        kernel = KERNELS[kind](k)
        assert oracles.exact_estimate(group, kernel) == float(oracles.estimate(group, kernel))
        for baseline in oracles.BASELINES:
            if oracles.is_defined(kernel, baseline, len(group)):
                enumerated = oracles.advantages(group, kernel, baseline)
                closed = oracles.exact_advantages(group, kernel, baseline)
                assert closed == [float(a) for a in enumerated]


@pytest.mark.parametrize("group", GROUPS, ids=len)
def test_corrected_listing_equals_enumeration(group):
    listing = {
        "none": oracles.listing_s,
        "paper_loo": oracles.listing_sloo,
        "loo_minus_one": oracles.listing_sloo_minus_one,
    }
    rewards = np.array(group, dtype=float)
    for k in range(1, len(group) + 1):
        kernel = oracles.maximum(k)
        np.testing.assert_allclose(
            oracles.listing_rho(rewards, k), float(oracles.estimate(group, kernel)), atol=1e-13
        )
        for baseline, function in listing.items():
            if oracles.is_defined(kernel, baseline, len(group)):
                exact = [float(a) for a in oracles.advantages(group, kernel, baseline)]
                np.testing.assert_allclose(function(rewards, k), exact, atol=1e-13)


@pytest.mark.parametrize("kind", KERNELS)
def test_gradient_of_the_policy_equals_central_differences(kind):
    kernel = KERNELS[kind](3)
    logits = np.array([0.3, -0.2, 0.9])

    def policy(logits: np.ndarray) -> oracles.SoftmaxPolicy:
        powers = [Fraction(x) for x in np.exp(logits).tolist()]
        rewards = (Fraction(-1), Fraction(2), Fraction(5))
        return oracles.SoftmaxPolicy(tuple(p / sum(powers) for p in powers), rewards)

    step = 1e-5
    numeric = [
        float(policy(logits + shift).objective(kernel) - policy(logits - shift).objective(kernel))
        / (2 * step)
        for shift in step * np.eye(3)
    ]
    exact = [float(slope) for slope in policy(logits).gradient(kernel)]
    np.testing.assert_allclose(numeric, exact, atol=1e-8)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (6, 4), (9, 9)])
def test_pass_at_k_equals_the_estimate_of_a_binary_group(n, k):
    for c in range(n + 1):
        exact = oracles.estimate([1] * c + [0] * (n - c), oracles.maximum(k))
        assert oracles.pass_at_k(n, c, k) == float(exact)


@pytest.mark.parametrize(("n", "k"), [(4, 1), (4, 3), (7, 7)])
def test_variance_formula_equals_the_binomial_sum(n, k):
    p = Fraction(3, 10)
    values = [oracles.estimate([1] * c + [0] * (n - c), oracles.maximum(k)) for c in range(n + 1)]
    law = oracles.binomial_law(n, p)
    average = sum(w * v for w, v in zip(law, values, strict=True))
    square = sum(w * v**2 for w, v in zip(law, values, strict=True))
    assert average == 1 - (1 - p) ** k
    assert square - average**2 == oracles.pass_variance(n, k, p)
