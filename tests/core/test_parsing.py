"""Text that names objectives."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

import pkpo
from objective_texts import SETTINGS, objectives
from pkpo.core.objectives import MaxAt, Mean, OrderStatistics
from pkpo.errors import InvalidInputError


@pytest.mark.parametrize(
    "weight",
    [
        3,
        2**70,
        Fraction(1, 3),
        Fraction(10**300, 7),
        np.float64(0.1),
        np.float32(0.1),
        np.float16(0.1),
        np.longdouble(0.1),
        np.int64(-7),
        5e-324,
        1.7e308,
        -2.5e-9,
    ],
    ids=repr,
)
def test_every_type_of_number_prints_so_that_it_parses(weight):
    raw = pkpo.Objective(((weight, MaxAt(8)), (weight, Mean())))
    for objective in (raw, weight * pkpo.max_at(8), weight * pkpo.order_statistics([0.5, 0, 1])):
        again = pkpo.parse_objective(str(objective))
        assert again == objective
        assert all(type(w) is float for w, _ in objective.terms)
    statistics = OrderStatistics((weight, weight * 0, weight))
    printed = pkpo.Objective(((1.0, statistics),))
    assert pkpo.parse_objective(str(printed)) == printed


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("pass@8", pkpo.max_at(8)),
        ("pass^8", pkpo.min_at(8)),
        ("8", pkpo.max_at(8)),
        ("1", pkpo.mean_reward()),
        ("max@1", pkpo.mean_reward()),
        ("max@8 - 0.5*mean", pkpo.max_at(8) - 0.5 * pkpo.mean_reward()),
        ("0.5*mean+0.5*max@8", 0.5 * pkpo.max_at(8) + 0.5 * pkpo.mean_reward()),
        ("  max@8 ", pkpo.max_at(8)),
        ("1e-3*max@2 + 2*log_pass(3)", 1e-3 * pkpo.max_at(2) + 2 * pkpo.log_pass(3)),
        ("order_statistics(-1, 0, 1)", pkpo.order_statistics((-1, 0, 1))),
    ],
)
def test_accepted_text(text, objective):
    assert pkpo.parse_objective(text) == objective


@SETTINGS
@given(objectives())
def test_parsing_inverts_printing(objective):
    again = pkpo.parse_objective(str(objective))
    assert again == objective
    assert hash(again) == hash(objective)
    assert str(again) == str(objective)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "max",
        "max@",
        "max@0",
        "max@-1",
        "max@1.5",
        "max@8 +",
        "max@8 max@4",
        "+",
        "best@8",
        "0*max@8",
        "max@8 - max@8",
        "top_mean(3)",
        "top_mean(9, 8)",
        "log_pass()",
        "order_statistics()",
        "order_statistics(0, 0)",
        "order_statistics(1, nan)",
        "inf*max@8",
        "1e999*max@8",
        "maximum@8",
        "meanmax@8",
        "mean;import os",
    ],
)
def test_unreadable_text_raises(text):
    with pytest.raises(InvalidInputError):
        pkpo.parse_objective(text)


def test_unreadable_text_is_named_with_what_is_allowed():
    with pytest.raises(InvalidInputError) as caught:
        pkpo.parse_objective("best@8")
    message = str(caught.value)
    assert "best@8" in message
    for allowed in ("max@", "min@", "mean", "top_mean", "order_statistics", "log_pass"):
        assert allowed in message
