"""Paired comparisons against SciPy, and the verdict rules case by case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pkpo.errors import InvalidInputError
from reproduction.comparing import (
    Difference,
    all_above,
    difference,
    is_above,
    mean_and_error,
    t_quantile,
)
from reproduction.old_results import Verdict

ABOVE = Difference(mean=2.0, standard_error=0.5, half_width=1.0)
SOMEWHAT_ABOVE = Difference(mean=0.5, standard_error=0.5, half_width=1.0)
SOMEWHAT_BELOW = Difference(mean=-0.5, standard_error=0.5, half_width=1.0)
BELOW = Difference(mean=-2.0, standard_error=0.5, half_width=1.0)
ZERO = Difference(mean=0.0, standard_error=0.0, half_width=0.0)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 9, 10, 29, 30, 200])
@pytest.mark.parametrize("probability", [0.51, 0.75, 0.95, 0.975, 0.995, 0.9999])
def test_quantiles_are_scipys(probability: float, degrees: int) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_intervals_are_scipys(count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.random((2, count))
    found = difference(first, second)
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(float(np.mean(first - second)))
    assert found.mean / found.standard_error == pytest.approx(expected.statistic)
    assert found.mean - found.half_width == pytest.approx(interval.low)
    assert found.mean + found.half_width == pytest.approx(interval.high)
    assert found.above == (interval.low > 0)
    assert found.below == (interval.high < 0)


def test_pairing_takes_out_what_seeds_share() -> None:
    shared = np.array([0.1, 0.5, 0.9])
    found = difference(shared + np.array([0.02, 0.03, 0.04]), shared)
    assert found.mean == pytest.approx(0.03)
    assert found.standard_error == pytest.approx(0.01 / math.sqrt(3))
    assert found.above


def test_a_number_may_stand_on_the_right() -> None:
    assert difference([0.75, 0.5], 0.25) == difference([0.5, 0.25], [0.0, 0.0])


def test_one_seed_has_no_interval() -> None:
    for sign in (1, -1):
        found = difference([sign * 0.5], [0.0])
        assert found.mean == sign * 0.5
        assert math.isnan(found.standard_error)
        assert not found.above
        assert not found.below
        assert found.text() == f"{sign * 50.0:+.1f}"


def test_seeds_that_agree_have_an_interval_of_no_width() -> None:
    assert difference([0.75, 0.5], [0.5, 0.25]).above
    assert difference([0.25, 0.5], [0.5, 0.75]).below
    same = difference([0.5, 0.5], [0.5, 0.5])
    assert not same.above
    assert not same.below


@pytest.mark.parametrize(
    ("first", "second"),
    [([0.1, 0.2], [0.1]), ([0.1], [0.1, 0.2]), ([], []), ([], 0.0), ([[0.1, 0.2]], [[0.0, 0.1]])],
)
def test_what_can_not_be_paired_is_refused(first: Any, second: Any) -> None:
    with pytest.raises(InvalidInputError, match="one number a seed"):
        difference(first, second)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([ABOVE], Verdict.HOLDS),
        ([ABOVE, ABOVE], Verdict.HOLDS),
        ([ABOVE, SOMEWHAT_ABOVE], Verdict.IN_PART),
        ([ABOVE, BELOW], Verdict.IN_PART),
        ([SOMEWHAT_ABOVE], Verdict.OPEN),
        ([SOMEWHAT_ABOVE, SOMEWHAT_BELOW], Verdict.OPEN),
        ([SOMEWHAT_ABOVE, BELOW], Verdict.NO),
        ([SOMEWHAT_BELOW], Verdict.NO),
        ([SOMEWHAT_BELOW, ZERO], Verdict.NO),
        ([BELOW], Verdict.NO),
    ],
)
def test_verdicts(found: list[Difference], verdict: Verdict) -> None:
    assert all_above(found) is verdict
    assert all_above(found[::-1]) is verdict
    if len(found) == 1:
        assert is_above(found[0]) is verdict


def test_nothing_compared_is_no_finding() -> None:
    assert all_above([]) is Verdict.OPEN


def test_means_and_errors_as_text() -> None:
    assert mean_and_error([0.1, 0.2, 0.3]) == "20.0 ± 5.8"
    assert mean_and_error([0.123]) == "12.3"
    assert mean_and_error([1.0, 3.0], scale=1.0) == "2.0 ± 1.0"
    assert difference([0.1, 0.2, 0.6], 0.0).text() == "+30.0 ± 15.3"
    assert difference([1.0, 3.0], 5.0).text(scale=1.0) == "-3.0 ± 1.0"
