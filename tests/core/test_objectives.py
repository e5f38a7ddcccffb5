"""None"""

import copy
import math
import pickle
from fractions import Fraction

import pytest
from hypothesis import given

import pkpo
from objective_texts import SETTINGS, objectives
from pkpo.core.objectives import MaxAt
from pkpo.errors import InvalidInputError


def test_spellings_of_the_mean_are_one_objective():
    spellings = [
        pkpo.max_at(1),
        pkpo.min_at(1),
        pkpo.pass_at(1),
        pkpo.mean_reward(),
        pkpo.top_mean(1, 1),
        pkpo.top_mean(5, 5),
        pkpo.order_statistics((1.0,)),
        pkpo.order_statistics((0.25,) * 4),
        pkpo.log_pass(1),
    ]
    assert len(set(spellings)) == 1


@pytest.mark.parametrize("weight", [10**400, Fraction(10**400), math.nan, -math.inf, True, "2", 1j])
def test_weights_that_are_no_finite_numbers_are_refused(weight):
    with pytest.raises(InvalidInputError, match="finite"):
        pkpo.Objective(((weight, MaxAt(8)),))


def test_objectives_add_up():
    parts = [0.5 * pkpo.max_at(8), pkpo.mean_reward(), 0.5 * pkpo.max_at(8)]
    assert sum(parts) == pkpo.max_at(8) + pkpo.mean_reward()
    for other in (1, 0.0, False, None):
        with pytest.raises(TypeError):
            other + pkpo.max_at(8)


def test_spellings_of_the_maximum_and_minimum():
    assert pkpo.pass_at(8) == pkpo.max_at(8) == pkpo.top_mean(1, 8)
    assert pkpo.order_statistics((0, 0, 1)) == pkpo.max_at(3)
    assert pkpo.order_statistics((1, 0, 0)) == pkpo.min_at(3)
    assert pkpo.order_statistics((0, 0, 2)) == 2 * pkpo.max_at(3)


def test_different_objectives_differ():
    different = {
        pkpo.max_at(2),
        pkpo.max_at(3),
        pkpo.min_at(3),
        pkpo.mean_reward(),
        2 * pkpo.mean_reward(),
        pkpo.top_mean(2, 3),
        pkpo.top_mean(2, 4),
        pkpo.order_statistics((0, 1, 0)),
        pkpo.max_at(3) + pkpo.mean_reward(),
        pkpo.max_at(3) - pkpo.mean_reward(),
    }
    assert len(different) == 10
    assert pkpo.max_at(2) != 2
    assert pkpo.max_at(2) != "max@2"


def test_sums_do_not_depend_on_order():
    a, b, c = pkpo.max_at(8), 0.5 * pkpo.min_at(2), pkpo.mean_reward()
    assert a + b + c == c + b + a == b + (c + a)
    assert hash(a + b + c) == hash(c + b + a)
    assert str(a + b + c) == str(c + b + a)


def test_arithmetic():
    best, mean = pkpo.max_at(4), pkpo.mean_reward()
    assert best + best == 2 * best == best * 2
    assert best + mean - best == mean
    assert 0.5 * (best + mean) == 0.5 * best + 0.5 * mean
    assert best - mean == best + (-1) * mean
    assert 2 * pkpo.log_pass(3) == pkpo.log_pass(3) + pkpo.log_pass(3)


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (pkpo.max_at(8), "max@8"),
        (pkpo.min_at(4), "min@4"),
        (pkpo.mean_reward(), "mean"),
        (pkpo.max_at(1), "mean"),
        (0.5 * pkpo.max_at(8) + 0.5 * pkpo.mean_reward(), "0.5*max@8 + 0.5*mean"),
        (pkpo.top_mean(2, 8), "top_mean(2, 8)"),
        (pkpo.order_statistics((0, 0.5, 0.5)), "order_statistics(0.0, 0.5, 0.5)"),
        (pkpo.log_pass(8), "log_pass(8)"),
    ],
)
def test_text(objective, text):
    assert str(objective) == text
    assert pkpo.parse_objective(text) == objective


@SETTINGS
@given(objectives())
def test_copies_and_pickles_are_equal(objective):
    assert copy.deepcopy(objective) == objective
    assert pickle.loads(pickle.dumps(objective)) == objective


@pytest.mark.parametrize("constructor", [pkpo.max_at, pkpo.pass_at, pkpo.min_at, pkpo.log_pass])
@pytest.mark.parametrize("k", [0, -1, 1.0, 2.5, True, False, "2", None, math.nan])
def test_invalid_k_raises(constructor, k):
    with pytest.raises(InvalidInputError):
        constructor(k)


@pytest.mark.parametrize(
    ("m", "k"), [(0, 3), (4, 3), (-1, 3), (1.0, 3), (True, 3), (2, True), (1, 0), (2, 3.0)]
)
def test_invalid_top_mean_raises(m, k):
    with pytest.raises(InvalidInputError):
        pkpo.top_mean(m, k)


@pytest.mark.parametrize(
    "weights", [(), (0.0,), (0, 0, 0), (1, math.inf), (math.nan, 1), ("a", 1), 3, None]
)
def test_invalid_order_statistics_raise(weights):
    with pytest.raises(InvalidInputError):
        pkpo.order_statistics(weights)


@pytest.mark.parametrize("factor", [0, 0.0, math.inf, -math.inf, math.nan])
def test_zero_and_infinite_factors_raise(factor):
    with pytest.raises(InvalidInputError):
        factor * pkpo.max_at(4)
    with pytest.raises(InvalidInputError):
        pkpo.max_at(4) * factor


def test_sums_that_cancel_or_overflow_raise():
    with pytest.raises(InvalidInputError):
        pkpo.max_at(4) - pkpo.max_at(4)
    with pytest.raises(InvalidInputError):
        1.5e308 * pkpo.max_at(4) + 1.5e308 * pkpo.max_at(4)


@pytest.mark.parametrize("other", [1, "mean", None])
def test_sums_with_anything_else_raise(other):
    with pytest.raises((TypeError, InvalidInputError)):
        pkpo.max_at(4) + other
    with pytest.raises((TypeError, InvalidInputError)):
        pkpo.max_at(4) - other


def test_products_of_objectives_raise():
    with pytest.raises((TypeError, InvalidInputError)):
        pkpo.max_at(4) * pkpo.max_at(2)


def test_objectives_are_immutable():
    objective = pkpo.max_at(4)
    for name in ("k", "terms", "anything"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(objective, name, 3)
    assert objective == pkpo.max_at(4)
