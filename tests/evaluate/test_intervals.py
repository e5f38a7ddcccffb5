"""The variances, intervals and bounds, against enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

import oracles
from pkpo.core.objectives import Objective, max_at, mean_reward, min_at, order_statistics, top_mean
from pkpo.evaluate import within
from pkpo.evaluate.between import between_problems
from pkpo.evaluate.counts import central_moment, covariance, unbiased_variance, values
from pkpo.evaluate.intervals import Moments, bound, limits, two_sided_p
from pkpo.evaluate.solve_rates import fit_solve_rates

KERNELS = [
    (mean_reward(), oracles.mean()),
    (max_at(2), oracles.maximum(2)),
    (max_at(4), oracles.maximum(4)),
    (min_at(3), oracles.minimum(3)),
    (top_mean(2, 3), oracles.top_mean(2, 3)),
    (order_statistics([1, -2, 4]), oracles.order_statistics([1, -2, 4])),
    (
        2 * max_at(3) - mean_reward(),
        oracles.mixture((2, oracles.maximum(3)), (-1, oracles.mean())),
    ),
]
IDS = [str(objective) for objective, _ in KERNELS]


def groups_of(n: int) -> list[list[int]]:
    return [[1] * c + [0] * (n - c) for c in range(n + 1)]


def exact_moment(n: int, kernel: oracles.Kernel, p: Fraction, order: int) -> Fraction:
    law = oracles.binomial_law(n, p)
    found = [oracles.estimate(group, kernel) for group in groups_of(n)]
    mean = sum(w * v for w, v in zip(law, found, strict=True))
    return sum((w * (v - mean) ** order for w, v in zip(law, found, strict=True)), Fraction(0))


@pytest.mark.parametrize(("objective", "kernel"), KERNELS, ids=IDS)
@pytest.mark.parametrize("n", [4, 8])
def test_tables_are_the_averages_over_all_subsets(
    objective: Objective, kernel: oracles.Kernel, n: int
) -> None:
    expected = [float(oracles.estimate(group, kernel)) for group in groups_of(n)]
    np.testing.assert_allclose(values(n, objective), expected, atol=1e-14)


@pytest.mark.parametrize(("objective", "kernel"), KERNELS, ids=IDS)
@pytest.mark.parametrize("order", [2, 3])
def test_moments_are_the_sums_over_all_counts(
    objective: Objective, kernel: oracles.Kernel, order: int
) -> None:
    chances = [Fraction(1, 20), Fraction(1, 2), Fraction(9, 10)]
    expected = [float(exact_moment(6, kernel, p, order)) for p in chances]
    found = central_moment(6, objective, np.array([float(p) for p in chances]), order)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("n", "k"), [(16, 4), (16, 8), (16, 16), (64, 3)])
def test_the_variance_of_pass_at_k_is_the_closed_form_and_not_its_limit(n: int, k: int) -> None:
    p = Fraction(1, 10)
    exact = float(oracles.pass_variance(n, k, p))
    assert central_moment(n, max_at(k), np.array([0.1]), 2)[0] == pytest.approx(exact, rel=1e-10)
    assert float(oracles.pass_variance_limit(n, k, p)) < 0.998 * exact


def test_covariances_between_ks() -> None:
    law = oracles.binomial_law(6, Fraction(3, 10))
    first = [oracles.estimate(g, oracles.maximum(2)) for g in groups_of(6)]
    second = [oracles.estimate(g, oracles.maximum(5)) for g in groups_of(6)]

    def mean(items: list[Fraction]) -> Fraction:
        return sum((w * x for w, x in zip(law, items, strict=True)), Fraction(0))

    products = [a * b for a, b in zip(first, second, strict=True)]
    expected = mean(products) - mean(first) * mean(second)
    found = covariance(6, (max_at(2), max_at(5)), np.array([0.3]))
    assert found[0] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("objective", "kernel"), KERNELS, ids=IDS)
def test_the_unbiased_variance_of_counts_is_unbiased(
    objective: Objective, kernel: oracles.Kernel
) -> None:
    n = 2 * objective.k + 1
    found = [Fraction(float(v)) for v in unbiased_variance(n, objective)]
    for p in (Fraction(1, 50), Fraction(2, 5), Fraction(19, 20)):
        law = oracles.binomial_law(n, p)
        expected = exact_moment(n, kernel, p, 2)
        average = sum(w * v for w, v in zip(law, found, strict=True))
        assert float(average) == pytest.approx(float(expected), rel=1e-9)


def test_no_unbiased_variance_below_2k() -> None:
    with pytest.raises(ValueError, match="n = 7 < 2k = 8"):
        unbiased_variance(7, max_at(4))


def over_disjoint_pairs(rewards: list[float], kernel: oracles.Kernel) -> float:
    """rho^2 less the average of h(I) h(I') over all disjoint pairs of subsets."""
    (term,) = kernel
    exact = [Fraction(g) for g in rewards]
    places = range(len(exact))
    products = [
        term.of([exact[i] for i in first]) * term.of([exact[i] for i in second])
        for first in itertools.combinations(places, term.k)
        for second in itertools.combinations([i for i in places if i not in first], term.k)
    ]
    square = oracles.estimate(exact, kernel) ** 2
    return float(square - sum(products, Fraction(0)) / len(products))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "min"])
def test_the_variance_of_real_rewards_is_over_all_disjoint_pairs(k: int, kind: str) -> None:
    rng = np.random.default_rng(4)
    rows = [[*rng.normal(size=5), 0.5, 0.5] for _ in range(3)]
    objective = max_at(k) if kind == "max" else min_at(k)
    kernel = oracles.maximum(k) if kind == "max" else oracles.minimum(k)
    found = within.unbiased_variance_of_rewards(np.sort(np.array(rows), axis=1), objective)
    expected = [over_disjoint_pairs(row, kernel) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_random_halves_come_close_to_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(within, "SPLITS", 4000)
    row = np.sort(np.random.default_rng(5).normal(size=7))
    found = within.unbiased_variance_of_rewards(row[None], top_mean(2, 3))[0]
    expected = over_disjoint_pairs(row.tolist(), oracles.top_mean(2, 3))
    assert found == pytest.approx(expected, abs=0.01)


def test_the_fit_counts_the_influence_of_each_problem() -> None:
    n, c = np.array([8, 8, 8, 5, 8, 16]), np.array([0, 2, 8, 1, 0, 3])
    rates = fit_solve_rates(n, c)
    assert rates.weights_G.sum() == pytest.approx(1.0)
    assert (rates.weights_G > 0).all()
    # An additional problem adds its column, to first order in its weight.
    many = 400
    before = fit_solve_rates(np.tile(n, many), np.tile(c, many))
    after = fit_solve_rates(np.append(np.tile(n, many), 8), np.append(np.tile(c, many), 2))
    pairs = np.unique(np.stack([n, c], axis=-1), axis=0).tolist()
    column = before.influence_GC[:, pairs.index([8, 2])]
    change = after.weights_G - before.weights_G
    np.testing.assert_allclose(
        change,
        column - before.weights_G * column.sum(),
        rtol=0,
        atol=5e-3 * np.abs(change).max(),
    )


def test_a_fit_to_many_problems_has_their_moments() -> None:
    rng = np.random.default_rng(6)
    c = rng.binomial(8, rng.beta(0.5, 2.0, 20_000))
    rates = fit_solve_rates(np.full(20_000, 8), c)
    for k in (1, 3, 8):
        expected = values(8, max_at(k))[c].mean()
        assert rates.mean(1 - (1 - rates.grid_G) ** k) == pytest.approx(expected, abs=1e-3)


def test_values_of_0_and_1_have_jeffreys_interval() -> None:
    estimates = np.repeat([0.0, 1.0], [21, 9])
    moments, _ = between_problems(estimates, (0.0, 1.0))
    expected = stats.beta.ppf([0.025, 0.975], 29 * 0.3 + 0.5, 29 * 0.7 + 0.5)
    np.testing.assert_allclose(limits(moments, 0.95), expected, rtol=1e-6)


def test_without_skewness_or_bounds_it_is_students() -> None:
    moments = Moments(1.0, 4.0, 0.0, 12.0)
    expected = stats.t.interval(0.9, 12, 1.0, 2.0)
    np.testing.assert_allclose(limits(moments, 0.9), expected)


@pytest.mark.parametrize("skewness", [-0.4, 0.0, 0.3])
def test_p_values_and_limits_agree(skewness: float) -> None:
    low, high = limits(Moments(2.0, 0.5, skewness, 9.0), 0.95)
    for limit in (low, high):
        shifted = Moments(2.0 - limit, 0.5, skewness, 9.0)
        assert two_sided_p(shifted) == pytest.approx(0.05)


def test_clusters_are_the_units() -> None:
    estimates = np.array([0.1, 0.3, 0.2, 0.9, 0.8, 0.4])
    clusters = ["a", "a", "b", "c", "c", "b"]
    moments, units = between_problems(estimates, None, clusters)
    residuals = estimates - estimates.mean()
    totals = [residuals[[0, 1]].sum(), residuals[[2, 5]].sum(), residuals[[3, 4]].sum()]
    assert units == 3
    assert moments.variance == pytest.approx(3 / 2 * sum(t**2 for t in totals) / 36)
    assert moments.df <= 2


@pytest.mark.parametrize("chances", [(0.01, 0.02, 0.3), (0.2, 0.2, 0.2), (0.9, 0.99, 0.5)])
@pytest.mark.parametrize(("n", "k"), [(2, 2), (4, 2), (5, 2)])
def test_bounds_hold_for_fixed_problems(chances: tuple[float, ...], n: int, k: int) -> None:
    truth = np.mean([1 - (1 - p) ** k for p in chances])
    missed = 0.0
    for counts in itertools.product(range(n + 1), repeat=len(chances)):
        chance = math.prod(stats.binom.pmf(c, n, p) for c, p in zip(counts, chances, strict=True))
        estimates = values(n, max_at(k))[list(counts)]
        found = bound(estimates, 0.95, "", n // k, n == k)
        missed += chance * (truth not in found)
    assert missed <= 0.025


def test_a_bound_from_nothing_solved_uses_all_samples() -> None:
    found = bound(np.zeros(30), 0.95, "", 16, False)
    assert found.kind == "upper bound"
    assert found.upper == pytest.approx(1 - 0.025 ** (1 / 480), rel=1e-6)
