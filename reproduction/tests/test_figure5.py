"""Figure 5 against integrals over the uniform law and the definitions of the transforms."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy import integrate

import oracles
from reproduction import figure5
from reproduction.figure5 import (
    BINS,
    KEYS,
    KS,
    LABELS,
    RESOLUTION,
    N,
    Sampled,
    bin_edges,
    exact_moments,
    expected_bins,
    expected_curve,
    expected_mean,
    measures,
    sample,
    tilt_gradient,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context

GROUPS = 2_000


@pytest.fixture(scope="module")
def samples():
    return sample(GROUPS)


@pytest.fixture(scope="module")
def moments():
    return {key: exact_moments(*key) for key in KEYS}


def mean_of_largest_with(x: float, others: int) -> float:
    """E max(x, largest of so many uniform rewards)."""
    if others == 0:
        return x
    return integrate.quad(
        lambda y: max(x, y) * others * (y + 0.5) ** (others - 1), -0.5, 0.5, points=[x]
    )[0]


def mean_of_largest(k: int) -> float:
    return mean_of_largest_with(-0.5, k) if k else 0.0


BASELINE_MEANS = {
    "none": lambda k: 0.0,
    "paper_loo": lambda k: k / (N - 1) * mean_of_largest(k),
    "loo_minus_one": lambda k: k / N * mean_of_largest(k - 1),
    "loo": lambda k: k / N * mean_of_largest(k),
}


@pytest.mark.parametrize(("baseline", "k"), KEYS)
def test_expected_curve(baseline, k):
    """A sample is in k/n of the subsets; baselines know nothing of it."""
    places = np.array([-0.5, -0.2, 0.0, 0.31, 0.5])
    plain = [k / N * mean_of_largest_with(float(x), k - 1) for x in places]
    wanted = np.array(plain) - BASELINE_MEANS[baseline](k)
    np.testing.assert_allclose(expected_curve(baseline, k, places), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("baseline", "k"), KEYS)
def test_bins_and_offset_average_the_curve(baseline, k):
    def curve(x: float) -> float:
        return float(expected_curve(baseline, k, np.array(x)))

    edges = np.array([-0.5, -0.1, 0.4, 0.5])
    wanted = [integrate.quad(curve, a, b)[0] / (b - a) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(expected_bins(baseline, k, edges), wanted, rtol=0, atol=1e-12)
    whole = integrate.quad(curve, -0.5, 0.5)[0]
    assert expected_mean(baseline, k) == pytest.approx(whole, abs=1e-12)


def integrated(n: int, k: int, baseline: str) -> tuple[float, float, float]:
    """E a^2, E G and Var G with G = sum a_i x_i, by quadrature over sorted samples, on which all
    is polynomial: u_(n) = t_1, u_(n-1) = t_1 t_2, and so on."""
    nodes, weights = legendre.leggauss(5)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    square = gradient = gradient_square = 0.0
    for places in itertools.product(range(5), repeat=n):
        t = nodes[list(places)]
        x = np.cumprod(t)[::-1] - 0.5
        jacobian = math.prod(t[j] ** (n - 1 - j) for j in range(n))
        chance = math.factorial(n) * jacobian * weights[list(places)].prod()
        rewards = [Fraction(float(value)) for value in x]
        a = np.array([float(v) for v in oracles.advantages(rewards, oracles.maximum(k), baseline)])
        square += chance * (a @ a) / n
        gradient += chance * (a @ x)
        gradient_square += chance * (a @ x) ** 2
    return square, gradient, gradient_square - gradient**2


@pytest.mark.parametrize("baseline", LABELS)
def test_exact_moments(baseline):
    found = exact_moments(baseline, 2, 3)
    square, gradient, variance = integrated(3, 2, baseline)
    assert found.square == pytest.approx(square, rel=1e-12)
    assert found.gradient == pytest.approx(gradient, rel=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-11)


def test_exact_moments_with_more_samples():
    found = exact_moments("loo_minus_one", 3, 4)
    wanted = integrated(4, 3, "loo_minus_one")
    assert (found.square, found.gradient, found.variance) == pytest.approx(wanted, rel=1e-11)


def test_exact_moments_at_k_1():
    """s is x/n there; s(loo) takes the mean of the others over n - 1 from it."""
    plain, baselined = exact_moments("none", 1), exact_moments("paper_loo", 1)
    assert plain.square == pytest.approx(1 / (12 * N**2), rel=1e-12)
    assert plain.variance == pytest.approx((1 / 80 - 1 / 144) / N, rel=1e-11)
    wanted = (1 / N**2 + 1 / (N - 1) ** 3) / 12
    assert baselined.square == pytest.approx(wanted, rel=1e-12)


def test_every_transform_gives_the_gradient_without_bias(moments):
    for (_, k), found in moments.items():
        assert found.gradient == pytest.approx(tilt_gradient(k), rel=1e-12)


@pytest.mark.parametrize("k", KS)
def test_tilt_gradient_is_the_derivative(k):
    def value(theta: float) -> float:
        def chance(x: float) -> float:  # of being below x
            return np.expm1(theta * (x + 0.5)) / np.expm1(theta)

        return 0.5 - integrate.quad(lambda x: chance(x) ** k, -0.5, 0.5, epsabs=1e-13)[0]

    rise = (value(1e-3) - value(-1e-3)) / 2e-3
    assert tilt_gradient(k) == pytest.approx(rise, rel=1e-6)


def test_samples_by_loops():
    """On rewards drawn again, bin by bin and group by group."""
    groups = 400
    found = sample(groups, seed=11)
    rewards = np.random.default_rng(11).uniform(-0.5, 0.5, (groups, N))
    for baseline, k in (("loo_minus_one", 4), ("paper_loo", 8)):
        seen = found[baseline, k]
        a = np.array(
            [oracles.exact_advantages(g, oracles.maximum(k), baseline) for g in rewards.tolist()]
        )
        edges = bin_edges()
        for b in (0, 17, BINS - 1):
            inside = (rewards >= edges[b]) & (rewards < edges[b + 1])
            mean = a[inside].mean()
            assert seen.bins[b] == pytest.approx(mean, rel=1e-9, abs=1e-15)
            per_group = [(row[mask] - mean).sum() for row, mask in zip(a, inside)]
            error = math.sqrt(sum(d * d for d in per_group)) / inside.sum()
            assert seen.bin_errors[b] == pytest.approx(error, rel=1e-9, abs=1e-15)
        means = a.mean(axis=1)
        assert seen.offset[0] == pytest.approx(means.mean(), rel=1e-9)
        assert seen.offset[1] == pytest.approx(means.std(ddof=1) / 20, rel=1e-9)
        assert seen.square[0] == pytest.approx((a**2).mean(), rel=1e-9)
        gradients = (a * rewards).sum(axis=1)
        wanted = ((gradients - tilt_gradient(k)) ** 2).mean()
        assert seen.variance[0] == pytest.approx(wanted, rel=1e-9)


def test_samples_are_the_same_again(samples):
    again = sample(GROUPS)
    for key, seen in samples.items():
        np.testing.assert_array_equal(seen.bins, again[key].bins)
        assert seen.variance == again[key].variance


def test_at_k_2_the_smaller_baseline_changes_nothing_on_symmetric_rewards(moments):
    assert expected_mean("loo_minus_one", 2) == pytest.approx(expected_mean("none", 2), rel=1e-14)
    plain, baselined = moments["none", 2], moments["loo_minus_one", 2]
    assert baselined.square == pytest.approx(plain.square, rel=1e-12)
    assert baselined.variance == pytest.approx(plain.variance, rel=1e-12)


def test_verdicts(samples, moments):
    assert verdicts("figure5", measures(samples, moments)) == {
        "figure-5-offset": Verdict.HOLDS,
        "figure-5-loo-centred": Verdict.HOLDS,
        "figure-5-minus-one-centred": Verdict.IN_PART,  # as s at k = 2
        "figure-5-loo-variance": Verdict.IN_PART,  # more at k = 1
        "figure-5-minus-one-variance": Verdict.IN_PART,  # as s at k = 2
        "centred-sums": Verdict.HOLDS,
        "figure-5-agreement": Verdict.HOLDS,
    }


def test_offset_claim_fails_with_a_centred_transform(samples, moments):
    still = {**samples, **{("none", k): samples["loo", k] for k in KS}}
    found = verdicts("figure5", measures(still, moments))
    assert found["figure-5-offset"] is not Verdict.HOLDS


def test_agreement_fails_where_one_bin_is_off(samples, moments):
    seen: Sampled = samples["loo", 4]
    bins = seen.bins.copy()
    bins[BINS // 2] += 6 * seen.bin_errors[BINS // 2] + RESOLUTION * 5
    off = {**samples, ("loo", 4): dataclasses.replace(seen, bins=bins)}
    assert verdicts("figure5", measures(off, moments))["figure-5-agreement"] is Verdict.NO


def test_tables_and_drawings(tmp_path: Path):
    result = figure5.make(Context(True, tmp_path))
    offsets, variances = result.tables["offsets"], result.tables["variances"]
    assert offsets.rows[0][3] == "-"
    assert "(0.03750; +3.84)" in offsets.rows[2][1]
    assert variances.rows[1][3] == "1"
    assert variances.rows[0][3] == "-"
    paper, ours = result.drawings
    assert [a.get_title(loc="left") for a in paper.figure.axes] == [
        "(a) s",
        "(b) s(loo)",
        "(c) s(loo-1)",
    ]
    assert ours.figure.axes[2].get_title(loc="left") == "centred loo (ours)"
    assert len(paper.figure.axes[2].lines) == 1 + 2 * (len(KS) - 1)
