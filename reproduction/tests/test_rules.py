"""The rules on made-up measures: what each verdict means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pkpo.errors import InvalidInputError
from reproduction.claims import Claim
from reproduction.measures import Measure, by_seed, estimated, exact, from_json
from reproduction.rules import RULES, Verdict, found_text, judge, rule_text, verdict_of

UP = by_seed([0.9, 1.0, 1.1, 1.0, 1.0])
DOWN = UP.times(-1.0)
NOISE = by_seed([-1.0, 1.2, -0.9, 1.1, -0.1])


def claim(rule: str, **fields: Any) -> Claim:
    given = {"id": "it", "kind": "training", "paper": "here", "place": "", "says": "It helps."}
    return Claim(**given, topic="made-up", rule=rule, **fields)


def above(values: dict[str, Measure], **fields: Any) -> Verdict:
    cases = tuple({"case": name} for name in values)
    return judge(claim("above", first="{case}", cases=cases, **fields), values).verdict


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([1, 1], Verdict.HOLDS),
        ([1, 0], Verdict.IN_PART),
        ([1, 1, -1], Verdict.IN_PART),
        ([1, -1], Verdict.NO),
        ([1, -1, 0], Verdict.NO),
        ([-1, 0], Verdict.NO),
        ([0, 0], Verdict.OPEN),
        ([], Verdict.OPEN),
    ],
)
def test_one_verdict_from_all_cases(outcomes: list[int], verdict: Verdict):
    assert verdict_of(outcomes) is verdict


def test_above_is_symmetric_and_within_error_it_cannot_be_told():
    assert above({"a": UP, "b": UP}) is Verdict.HOLDS
    assert above({"a": DOWN, "b": DOWN}) is Verdict.NO
    assert above({"a": NOISE}) is Verdict.OPEN
    assert above({"a": UP, "b": NOISE}) is Verdict.IN_PART
    assert above({"a": UP, "b": DOWN}) is Verdict.NO
    for values, verdict in (({"a": DOWN}, Verdict.HOLDS), ({"a": UP}, Verdict.NO)):
        assert above(values, sign="-") is verdict
    assert above({"a": UP}, target=1.0) is Verdict.OPEN
    assert above({"a": UP}, bound=2.0) is Verdict.NO


def test_one_seed_tells_nothing_and_equal_seeds_tell_no_difference():
    assert above({"a": by_seed([1.0])}) is Verdict.OPEN
    assert above({"a": by_seed([0.0, 0.0, 0.0])}) is Verdict.OPEN
    assert above({"a": by_seed([1.0, 1.0, 1.0])}) is Verdict.HOLDS


def test_differences_are_paired_by_seed():
    drift = np.array([0.0, 5.0, -3.0, 9.0, 2.0])
    measures = {"a": by_seed(drift + np.array(UP.values)), "b": by_seed(drift)}
    found = judge(claim("above", first="a", second="b"), measures)
    assert found.verdict is Verdict.HOLDS
    assert found.cases[0][0].found.error == pytest.approx(UP.error)
    with pytest.raises(InvalidInputError, match="the same seeds, got 5 and 2"):
        judge(claim("above", first="a", second="b"), {**measures, "b": by_seed([1.0, 2.0])})


def test_the_interval_is_students_and_p_values_are_corrected_over_the_cases():
    found = by_seed([0.1, 0.5, 0.3, 0.9, 0.2])
    p_value = stats.ttest_1samp(found.values, 0.0).pvalue
    assert 0.01 < p_value < 0.05
    assert above({"a": found}) is Verdict.HOLDS
    many = {"a": found, **{str(i): NOISE for i in range(9)}}
    assert above(many) is Verdict.OPEN


def test_independent_estimates_have_welchs_degrees_of_freedom():
    gap = estimated(10.0, 0.5, 2).minus(estimated(8.0, 0.5, 2))
    assert (gap.value, gap.error, gap.degrees) == pytest.approx((2.0, math.sqrt(0.5), 4.0))
    assert estimated(1.0, 0.1, 2).minus(exact(0.5)).degrees == 2


def test_exact_numbers_always_tell():
    assert above({"a": exact(1e-9)}) is Verdict.HOLDS
    assert above({"a": exact(0.0)}) is Verdict.NO
    rises = claim("rises", first="x {k}", over={"k": [1, 2, 3]}, along="k")
    values = {"x 1": exact(1.0), "x 2": exact(2.0), "x 3": exact(1.5)}
    assert judge(rises, values).tally == (1, 1, 0)
    assert judge(rises, values | {"x 3": exact(3.0)}).verdict is Verdict.HOLDS
    falls = claim("rises", first="x {k}", over={"k": [3, 2, 1]}, along="k", sign="-")
    assert judge(falls, values | {"x 3": exact(3.0)}).verdict is Verdict.HOLDS


def test_within_a_bound_or_standard_errors():
    near = claim("within", first="x", target=1.0, bound=0.1)
    assert judge(near, {"x": exact(1.1 - 1e-12)}).verdict is Verdict.HOLDS
    assert judge(near, {"x": exact(1.2)}).verdict is Verdict.NO
    sampled = claim("within", first="x", second="y", errors=4.0)
    assert judge(sampled, {"x": estimated(1.0, 0.1), "y": exact(1.3)}).verdict is Verdict.HOLDS
    assert judge(sampled, {"x": estimated(1.0, 0.1), "y": exact(1.5)}).verdict is Verdict.NO
    assert judge(sampled, {"x": by_seed([1.0]), "y": exact(1.5)}).verdict is Verdict.OPEN


def test_not_below_allows_a_margin_but_no_loss_beyond_it():
    rule = claim("not below", first="x", bound=0.5)
    assert judge(rule, {"x": by_seed([-0.1, -0.12, -0.11])}).verdict is Verdict.HOLDS
    assert judge(rule, {"x": by_seed([-0.9, -0.92, -0.91])}).verdict is Verdict.NO
    assert judge(rule, {"x": NOISE}).verdict is Verdict.OPEN


def test_best_is_above_every_other():
    rule = claim("best", first="{own}", others=("a", "b", "c"), cases=({"own": "b"},))
    values = {"a": exact(1.0), "b": exact(3.0), "c": exact(2.0)}
    assert judge(rule, values).verdict is Verdict.HOLDS
    assert judge(rule, values | {"c": exact(4.0)}).tally == (1, 1, 0)


def test_unlike_settings_are_not_compared():
    rule = claim("above", first="a", second="b", same_setting=True)
    values = [1.0, 1.1, 0.9]
    one, two = by_seed(values, "lr 1"), by_seed([0.0, 0.1, 0.0], "lr 2")
    assert judge(rule, {"a": one, "b": two}).verdict is Verdict.OPEN
    assert judge(rule, {"a": one, "b": by_seed(two.values, "lr 1")}).verdict is Verdict.HOLDS
    assert "settings differ" in found_text(judge(rule, {"a": one, "b": two}))


def test_tests_speak_for_and_against():
    rule = claim("passed")
    assert judge(rule, {"it": by_seed([1.0, 1.0])}).verdict is Verdict.HOLDS
    assert judge(rule, {"it": by_seed([-1.0])}).verdict is Verdict.NO
    assert judge(rule, {"it": by_seed([1.0, 0.0])}).verdict is Verdict.IN_PART
    judged = judge(rule, {"it": by_seed([1.0]), "it largest deviation": exact(1e-16)})
    assert found_text(judged) == "Tests: 1 for, 0 against, 0 can't tell. Largest deviation 1e-16."


def test_an_unknown_rule_is_refused():
    with pytest.raises(InvalidInputError, match="claim it: no rule 'alike'; rules: passed"):
        judge(claim("alike"), {})


def test_missing_measures_are_named_and_decide_nothing():
    judged = judge(claim("above", first="{study} x", studies=("one", "two")), {"one x": UP})
    assert judged.verdict is Verdict.OPEN
    assert found_text(judged) == "Not measured: two x."


def test_what_was_found_and_every_rule_can_be_said():
    rule = claim("above", first="{study} x", second="{study} y", studies=("one",), scale=100)
    judged = judge(rule, {"one x": UP, "one y": by_seed([0.0] * 5)})
    assert found_text(judged) == "1 for, 0 against, 0 can't tell. one: +100.0 ± 3.2 ✓."
    assert rule_text(rule) == "{study} x is above {study} y."
    for name in RULES:
        assert rule_text(claim(name, first="x", why="Too little.")).endswith(".")


@pytest.mark.parametrize("measure", [exact(0.5), estimated(1.0, 0.1, 3), UP, by_seed([1.0], "lr")])
def test_measures_are_stored_as_json(measure: Measure):
    assert from_json(measure.to_json()) == measure
