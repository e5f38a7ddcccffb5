"""Numbers as text: bounds stay true, and only a certainty looks like one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pkpo.digits import decimal_text
from pkpo.evaluate.formats import Numbers
from pkpo.evaluate.intervals import Interval


def close_to_the_ends() -> list[float]:
    rng = np.random.default_rng(0)
    tiny = 10.0 ** rng.uniform(-12, -1, size=200)
    return [*tiny.tolist(), *(1.0 - tiny).tolist(), *rng.random(200).tolist(), 0.0, 1.0, 0.999]


def shown(text: str) -> Fraction:
    return Fraction(text.removesuffix(" %").strip("≥≤<> +"))


@pytest.mark.parametrize("decimals", [1, 2, 4])
def test_bounds_are_rounded_outward_and_never_look_like_a_certainty(decimals: int):
    numbers = Numbers(percent=True, decimals=decimals)
    for value in close_to_the_ends():
        exact = 100 * Fraction(repr(value))
        lower = numbers.interval(Interval(value, np.nan, "lower bound", 0.95))
        upper = numbers.interval(Interval(np.nan, value, "upper bound", 0.95))
        assert exact - Fraction(1, 10**decimals) < shown(lower) <= exact
        assert exact <= shown(upper) < exact + Fraction(1, 10**decimals)
        if 0 < exact < 100:
            assert shown(lower) < 100
            assert shown(upper) > 0


@pytest.mark.parametrize("decimals", [1, 3])
def test_values_and_limits_look_like_a_certainty_only_if_they_are_one(decimals: int):
    numbers = Numbers(percent=True, decimals=decimals)
    for value in close_to_the_ends():
        exact, text = 100 * Fraction(repr(value)), numbers.text(value)
        assert (shown(text) in (0, 100)) == (exact in (0, 100))
        assert abs(shown(text) - exact) <= Fraction(1, 10**decimals)
        if "<" in text or ">" in text:
            assert (exact < shown(text)) == ("<" in text)
        both = numbers.interval(Interval(value, value, "interval", 0.95))
        assert both == f"{text} to {text} %"


def test_other_numbers_are_rounded_as_ever():
    rng = np.random.default_rng(1)
    for value in (*rng.normal(0, 1e3, size=200), -1e-9, 0.0, 1e15, -1e-300):
        assert decimal_text(value, 2) == f"{value or 0.0:.2f}".replace("-0.00", "0.00")
    plus = Numbers(percent=True, decimals=1, signed=True)
    assert [plus.text(v) for v in (0.5, 0.0, -0.00001, -0.25)] == ["+50.0", "0.0", "0.0", "-25.0"]
    assert Numbers(percent=False, decimals=1).text(float("nan")) == "undefined"
    assert decimal_text(float("inf"), 1) == "inf"


def test_a_bound_in_words_is_true_too():
    assert str(Interval(0.99999, np.nan, "lower bound", 0.95)) == ">= 0.9999"
    assert str(Interval(np.nan, 0.00001, "upper bound", 0.95)) == "<= 0.0001"
