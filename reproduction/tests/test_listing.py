"""Listing 1 as printed: what it implements, and where it is silent.

The listing's `c[:-(N-1)]` at line 40 is read as `c[:(N-1)]`: so other transcriptions of the same
version of the paper have it.
"""

from fractions import Fraction

import numpy as np
import pytest

import oracles
from reproduction.tests import listing

FUNCTIONS = {
    "s": (listing.s, oracles.listing_s, "none"),
    "sloo": (listing.sloo, oracles.listing_sloo, "paper_loo"),
    "sloo_minus_one": (listing.sloo_minus_one, oracles.listing_sloo_minus_one, "loo_minus_one"),
}
INTEGERS = np.array([0, 0, 1, 0, 1])


def groups(n):
    """Eighths between -1 and 1 in any order, ties among them."""
    eighths = np.random.default_rng((20250521, n)).integers(-8, 9, size=(4, n))
    return [[Fraction(int(v), 8) for v in row] for row in eighths]


@pytest.mark.claim("listing-rho")
@pytest.mark.parametrize("n", range(1, 9))
def test_rho_is_equation_12(n):
    for g in groups(n):
        for k in range(1, n + 1):
            wanted = float(oracles.estimate(g, oracles.maximum(k)))
            assert listing.rho(np.array(g, dtype=float), k) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", range(2, 9))
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("s", marks=pytest.mark.claim("listing-s")),
        pytest.param("sloo", marks=pytest.mark.claim("listing-sloo")),
        pytest.param("sloo_minus_one", marks=pytest.mark.claim("listing-sloo-minus-one")),
    ],
)
def test_functions_are_the_equations(name, n):
    function, mended, baseline = FUNCTIONS[name]
    for g in groups(n):
        rewards = np.array(g, dtype=float)
        for k in range(2 if name == "sloo_minus_one" else 1, n + (name != "sloo")):
            wanted = [float(a) for a in oracles.advantages(g, oracles.maximum(k), baseline)]
            np.testing.assert_allclose(function(rewards, k), wanted, rtol=0, atol=1e-12)
            np.testing.assert_allclose(mended(rewards, k), wanted, rtol=0, atol=1e-12)


@pytest.mark.claim("listing-sloo-minus-one", holds=False)
def test_sloo_minus_one_has_no_numbers_for_one_draw():
    assert np.isnan(listing.sloo_minus_one(np.array([0.0, 0.25, 1.0]), 1)).all()


@pytest.mark.claim("listing-integers", holds=False)
@pytest.mark.parametrize(
    ("name", "as_integers", "as_floats"),
    [
        ("s", [0, 0, 0, 0, 0], [0.2, 0.2, 0.4, 0.2, 0.4]),
        ("sloo", [-0.25, -0.25, 0, -0.25, 0], [-13 / 60, -13 / 60, 0.15, -13 / 60, 0.15]),
        ("sloo_minus_one", [0, 0, 0, 0, 0], [0, 0, 0.3, 0, 0.3]),
    ],
)
def test_integer_rewards_are_truncated(name, as_integers, as_floats):
    function = FUNCTIONS[name][0]
    np.testing.assert_allclose(function(INTEGERS, 2), as_integers, atol=1e-15)
    np.testing.assert_allclose(function(INTEGERS.astype(float), 2), as_floats, atol=1e-12)


@pytest.mark.claim("listing-without-baseline", holds=False)
@pytest.mark.parametrize("n", range(2, 9))
def test_sloo_returns_s_where_its_baseline_has_no_subsets(n):
    for g in groups(n):
        rewards = np.array(g, dtype=float)
        np.testing.assert_array_equal(listing.sloo(rewards, n), listing.s(rewards, n))


@pytest.mark.claim("listing-too-few", holds=False)
@pytest.mark.parametrize("n", range(2, 9))
def test_more_draws_than_samples_give_zeros(n):
    rewards = np.linspace(0.5, 1.0, n)
    for function in (listing.rho, listing.s, listing.sloo, listing.sloo_minus_one):
        assert not np.any(function(rewards, n + 2))
