"""Figure 1 against another form of the expectation, integrated by scipy."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from scipy.special import ndtr

from reproduction import figure1
from reproduction.figure1 import (
    KS,
    Optimum,
    chance_above_one,
    chance_of_one_close,
    curve,
    measures,
    optimum,
    slope,
    value,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context

OPTIMA = {
    1: (0.862411, 0.661281),
    2: (0.901704, 0.800425),
    4: (0.938661, 0.892414),
    8: (0.968999, 0.943774),
    16: (0.985571, 0.970656),
}
"""theta and max@k, found before this package was written."""


def expected_largest(theta: float, k: int) -> float:
    """The largest reward's density times the reward, over the samples that have a reward."""
    nothing = ndtr(-theta / 0.1) + ndtr((theta - 1.0) / 0.1)

    def integrand(x: float) -> float:
        z = (x - theta) / 0.1
        at_most = nothing + ndtr(z) - ndtr(-theta / 0.1)
        density = math.exp(-0.5 * z * z) / (0.1 * math.sqrt(2.0 * math.pi))
        return x**2 * k * at_most ** (k - 1) * density

    peak = min(max(theta, 0.05), 0.95)
    return integrate.quad(integrand, 0.0, 1.0, points=[peak], epsabs=1e-12, epsrel=1e-12)[0]


@pytest.fixture(scope="module")
def optima() -> tuple[Optimum, ...]:
    return tuple(optimum(k) for k in KS)


@pytest.fixture(scope="module")
def slopes() -> np.ndarray:
    thetas = np.linspace(*figure1.THETAS, figure1.POINTS)
    return np.array([curve(float(theta))[1] for theta in thetas])


@pytest.mark.parametrize("theta", [0.6, 0.9, 1.0, 1.2])
@pytest.mark.parametrize("k", KS)
def test_value_is_the_expected_largest_reward(theta, k):
    assert value(theta, k) == pytest.approx(expected_largest(theta, k), abs=1e-10)


@pytest.mark.parametrize("theta", [0.7, 0.95, 1.1])
def test_slope_is_the_derivative_of_the_value(theta):
    step = 1e-4
    for k in KS:
        rise = expected_largest(theta + step, k) - expected_largest(theta - step, k)
        assert slope(theta, k) == pytest.approx(rise / (2 * step), abs=2e-5)


def test_slope_of_max_at_4_where_figure_4_is():
    assert slope(1.0, 4) == pytest.approx(-1.77717, abs=5e-6)


@pytest.mark.parametrize("k", KS)
def test_optima(k, optima):
    theta, best = OPTIMA[k]
    found = optima[KS.index(k)]
    assert (found.k, found.theta, found.value) == (
        k,
        pytest.approx(theta, abs=1e-6),
        pytest.approx(best, abs=1e-6),
    )
    peak = optimize.minimize_scalar(
        lambda t: -expected_largest(t, k), bounds=(0.6, 1.2), method="bounded"
    )
    assert found.theta == pytest.approx(peak.x, abs=1e-4)
    assert found.value == pytest.approx(-peak.fun, abs=1e-10)


def test_quadrature_has_converged():
    for theta in (0.6, 0.9, 1.2):
        few, many = curve(theta, nodes=96), curve(theta, nodes=192)
        np.testing.assert_allclose(few[0], many[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(few[1], many[1], rtol=0, atol=1e-11)


def test_chances(optima):
    policy = stats.norm(optima[2].theta, 0.1)
    assert chance_above_one(optima[2].theta) == pytest.approx(policy.sf(1.0), abs=1e-14)
    close = policy.cdf(1.0) - policy.cdf(0.9)
    found = chance_of_one_close(optima[2].theta, 4)
    assert found == pytest.approx(stats.binom.sf(0, 4, close), abs=1e-14)


def test_zero_crossings_to_the_last_digit(optima):
    for found in optima:
        assert slope(found.theta - 1e-13, found.k) > 0 > slope(found.theta + 1e-13, found.k)
        assert found.peak == pytest.approx(found.theta, abs=1e-7)


def test_every_claim_of_the_caption_holds(optima, slopes):
    found = verdicts("figure1", measures(optima, slopes))
    assert len(found) == 4
    assert set(found.values()) == {Verdict.HOLDS}


def test_claims_fail_where_the_optimum_does_not_move(optima, slopes):
    still = [dataclasses.replace(o, theta=optima[0].theta) for o in optima]
    found = verdicts("figure1", measures(still, slopes))
    for claim in ("figure-1-moves", "figure-1-risk", "figure-1-one-close"):
        assert found[claim] is Verdict.NO
    assert found["figure-1-zero-crossing"] is Verdict.IN_PART


def test_crossing_claim_suffers_from_a_second_crossing(optima, slopes):
    wavy = slopes.copy()
    wavy[3] = -1.0
    found = measures(optima, wavy)
    assert found["sign changes of the derivative after the first at k = 4"].value == 2
    assert verdicts("figure1", found)["figure-1-zero-crossing"] is Verdict.NO


def test_result_is_the_same_in_quick_settings(tmp_path: Path):
    quick, full = (figure1.make(Context(quick, tmp_path)) for quick in (True, False))
    assert quick.tables == full.tables
    assert quick.measures == full.measures
    rows = {row[0]: row for row in full.tables["optima"].rows}
    assert rows["4"][1:3] == ("0.938661", "0.892414")
    assert rows["4"][-1] == "-1.77717"


def test_drawing_shows_the_curves_and_the_optima(tmp_path: Path):
    left, right = figure1.make(Context(True, tmp_path)).drawings[0].figure.axes
    for index, (theta, best) in enumerate(OPTIMA.values()):
        line, marker = left.lines[2 * index], left.lines[2 * index + 1]
        assert np.max(line.get_ydata()) == pytest.approx(best, abs=1e-4)
        assert np.asarray(marker.get_xdata())[0] == pytest.approx(theta, abs=1e-6)
        assert np.asarray(right.lines[2 * index + 2].get_ydata())[0] == 0.0
