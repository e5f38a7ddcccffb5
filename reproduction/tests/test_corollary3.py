"""Corollary 3 against sums over all numbers of correct samples."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from oracles import binomial_law
from reproduction.corollary3 import topic
from reproduction.corollary3.claims import claims
from reproduction.corollary3.numbers import (
    CHANCES,
    KS,
    NS,
    asymptotic_variance,
    distance_from_normal,
    exact_variance,
    first_order_samples,
    projection_variance,
    rate,
    ratio,
    samples_for,
)
from reproduction.old_results import Verdict
from reproduction.old_topics import Context


def estimate(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def summed_variance(n: int, k: int, p: Fraction) -> Fraction:
    law = binomial_law(n, p)
    mean = sum((w * estimate(n, c, k) for c, w in enumerate(law)), Fraction(0))
    square = sum((w * estimate(n, c, k) ** 2 for c, w in enumerate(law)), Fraction(0))
    return square - mean**2


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 3), (16, 4), (16, 16), (64, 8), (256, 2)])
@pytest.mark.parametrize("p", ["0.02", "0.5", "0.8"])
def test_exact_variance_is_that_of_the_binomial_sum(n, k, p):
    wanted = float(summed_variance(n, k, Fraction(p)))
    assert exact_variance(n, k, float(p)) == pytest.approx(wanted, rel=1e-12)


def test_asymptotic_variance_is_the_first_term():
    for n, k, p in itertools.product(NS, KS, CHANCES):
        wanted = Fraction(k * k, n) * Fraction(str(p)) * (1 - Fraction(str(p))) ** (2 * k - 1)
        assert asymptotic_variance(n, k, p) == pytest.approx(float(wanted), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "k", "wanted"), [(16, 4, 0.967), (16, 8, 0.834), (16, 16, 0.404), (256, 8, 0.989)]
)
def test_ratios_at_one_in_ten(n, k, wanted):
    assert ratio(n, k, 0.1) == pytest.approx(wanted, abs=5e-4)


def test_ratio_is_one_at_k_1():
    assert [ratio(n, 1, p) for n in NS for p in CHANCES] == pytest.approx([1.0] * 20, rel=1e-14)


@pytest.mark.parametrize(("k", "p"), [(1, 0.1), (2, 0.1), (4, 0.5), (8, 0.1), (4, 0.02)])
def test_samples_for_is_the_first_n_that_is_enough(k, p):
    found = next(n for n in itertools.count(k) if ratio(n, k, p) >= 0.95)
    assert samples_for(0.05, k, p) == found
    assert all(ratio(n, k, p) >= 0.95 for n in range(found, 2 * found))


def test_first_order_samples_are_close_for_large_n():
    assert first_order_samples(0.001, 8, 0.3) == pytest.approx(samples_for(0.001, 8, 0.3), rel=0.01)


def test_rate():
    falls = float(summed_variance(64, 8, Fraction(1, 2)) / summed_variance(16, 8, Fraction(1, 2)))
    assert rate(16, 8, 0.5) == pytest.approx(math.log(falls, 4), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_projection_variance(k):
    p = Fraction(3, 10)
    given_wrong = 1 - (1 - p) ** (k - 1)
    assert projection_variance(k, p) == p * (1 - p) * (1 - given_wrong) ** 2


@pytest.mark.parametrize(
    ("n", "k", "p"), [(20, 1, 0.3), (64, 4, 0.1), (16, 16, 0.5), (300, 8, 0.8)]
)
def test_distance_from_normal(n, k, p):
    scale = math.sqrt(k * k * p * (1 - p) ** (2 * k - 1) / n)
    values = np.array([float(estimate(n, c, k)) for c in range(n + 1)])
    away = (values - (1 - (1 - p) ** k)) / scale
    places = np.unique(values)
    law = stats.binom.pmf(np.arange(n + 1), n, p)
    found = 0.0
    for place in places:
        normal = stats.norm.cdf(away[values == place][0])
        at_most, less = law[values <= place].sum(), law[values < place].sum()
        found = max(found, abs(at_most - normal), abs(less - normal))
    assert distance_from_normal(n, k, p) == pytest.approx(found, abs=1e-9)


@pytest.fixture(scope="module")
def distances() -> dict[tuple[float, int], tuple[float, ...]]:
    return {
        (p, k): tuple(distance_from_normal(n, k, p) for n in topic.NORMAL_NS)
        for p in CHANCES
        for k in KS
    }


def test_every_claim_holds(distances):
    found = claims(distances)
    assert [c.verdict for c in found] == [Verdict.HOLDS] * 6
    assert "0.967 (k = 4), 0.834 (k = 8), 0.404 (k = 16)" in found[4].found


def test_normality_fails_where_the_distance_stays(distances):
    stays = {key: (*found[:-1], found[-2] * 0.9) for key, found in distances.items()}
    assert claims(stays)[1].verdict is Verdict.NO
    one = {**distances, (0.1, 4): (0.1, 0.2, 0.1, 0.01)}
    assert claims(one)[1].verdict is Verdict.IN_PART


def test_claims_fail_with_another_formula(monkeypatch: pytest.MonkeyPatch, distances):
    def doubled(n: int, k: int, p: float) -> float:
        return 2.0 * ratio(n, k, p)

    monkeypatch.setattr("reproduction.corollary3.claims.ratio", doubled)
    _, _, _, limit, too_small, _ = claims(distances)
    assert limit.verdict is Verdict.NO
    assert too_small.verdict is Verdict.IN_PART


def test_tables_and_drawing(tmp_path: Path):
    result = topic.make(Context(True, tmp_path))
    ratios, samples, normal = result.tables
    by_key = {row[:2]: row[2:] for row in ratios.rows}
    assert by_key["0.1", "16"][0] == "0.404 (0.151)"
    assert [row[3] for row in samples.rows][1] == "11, 51 (10)"
    assert len(normal.rows) == len(CHANCES) * len(KS)
    below = result.drawings[0].figure.axes[3]
    assert np.asarray(below.lines[4].get_ydata())[0] == pytest.approx(ratio(16, 16, 0.1))
