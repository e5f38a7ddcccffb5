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
from reproduction import corollary3
from reproduction.corollary3 import (
    CASES,
    CHANCES,
    KS,
    NORMAL_NS,
    NS,
    asymptotic_variance,
    distance_from_normal,
    exact_variance,
    first_order_samples,
    measures,
    rate,
    ratio,
    samples_for,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


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
def distances() -> dict[tuple[float, int, int], float]:
    return {(p, k, n): distance_from_normal(n, k, p) for p, k in CASES for n in NORMAL_NS}


def test_every_claim_holds(distances):
    found = verdicts("corollary3", measures(distances))
    assert len(found) == 6
    assert set(found.values()) == {Verdict.HOLDS}


def test_normality_fails_where_the_distance_stays(distances):
    one = {**distances, (0.1, 4, 262144): 0.5}
    assert verdicts("corollary3", measures(one))["theorem-9"] is Verdict.IN_PART
    none = {(p, k, n): 1 + n * 1e-9 for p, k, n in distances}
    assert verdicts("corollary3", measures(none))["theorem-9"] is Verdict.NO


def test_claims_fail_with_another_formula(monkeypatch: pytest.MonkeyPatch, distances):
    monkeypatch.setattr(corollary3, "ratio", lambda n, k, p: 2.0 * ratio(n, k, p))
    found = verdicts("corollary3", measures(distances))
    assert found["corollary-3"] is Verdict.NO
    assert found["corollary-3-too-small"] is not Verdict.HOLDS


def test_tables_and_drawing(tmp_path: Path):
    result = corollary3.make(Context(True, tmp_path))
    by_key = {row[:2]: row[2:] for row in result.tables["ratios"].rows}
    assert by_key["0.1", "16"][0] == "0.404 (0.151)"
    assert [row[3] for row in result.tables["samples"].rows][1] == "11, 51 (10)"
    assert len(result.tables["normal"].rows) == len(CHANCES) * len(KS)
    below = result.drawings[0].figure.axes[3]
    assert np.asarray(below.lines[4].get_ydata())[0] == pytest.approx(ratio(16, 16, 0.1))
