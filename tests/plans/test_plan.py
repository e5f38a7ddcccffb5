"""Plans: text, state, and that they choose by step."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pkpo
from objective_texts import SCHEDULES, SETTINGS, objectives, only
from pkpo.errors import InvalidInputError
from pkpo.plans.plan import ByStep, PerPrompt, Plan, Plateau, plan

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


@pytest.mark.parametrize("text", ["max@8", "8->1@5", "linear_k(8, 1, 2, 9)", "mix(8, 1, 0, 9)"])
def test_schedules_are_plans(text):
    by_step, schedule = plan(text), pkpo.schedule(text)
    assert isinstance(by_step, ByStep)
    for step in range(12):
        assert only(by_step.choose(step, ["a", "b"])) == schedule(step)
    for steps in (0, 1, 5, 7, 12):
        assert by_step.possible(steps) == {schedule(step) for step in range(steps)}
    assert by_step.possible() == by_step.possible(12)
    by_step.observe(0, ["a"], np.ones((1, 4)))
    by_step.observe_validation(0, {8: 0.5})
    assert by_step.state() == {}


def filled(text: str) -> Plan:
    made = plan(text)
    generator = np.random.default_rng(1)
    for step in range(6):
        made.observe_validation(step, {1: 0.1, 8: 0.3 - 0.01 * step})
        made.choose(step, ["a", 7, "c"])
        made.observe(step, ["a", 7, "c"], generator.integers(0, 2, (3, 4)))
    return made


@pytest.mark.parametrize(
    "text", ["max@8", "8->1@3", "plateau(8, 4, 1, patience=2)", "per_prompt(8)"]
)
def test_a_restored_plan_goes_on_as_before(text):
    made, again = filled(text), plan(text)
    again.restore(json.loads(json.dumps(made.state())))
    assert again.state() == made.state()
    for step in range(6, 12):
        for each in (made, again):
            each.observe_validation(step, {1: 0.1, 8: 0.2})
            each.observe(step, ["a"], np.full((1, 4), step % 2))
        chosen, same = (each.choose(step, ["a", 7, "new"]) for each in (made, again))
        assert (chosen.objectives, chosen.reasons) == (same.objectives, same.reasons)
        assert np.array_equal(chosen.index_P, same.index_P)


PLANS = st.one_of(
    SCHEDULES.map(ByStep),
    st.builds(
        lambda stages, k, patience, delta: Plateau(
            stages, metric_k=k, patience=patience, min_delta=delta
        ),
        st.lists(objectives(), min_size=2, max_size=4),
        st.none() | st.integers(1, 64),
        st.integers(1, 9),
        st.floats(0, 1),
    ),
    st.builds(
        lambda ks, decay, threshold: PerPrompt(ks, decay=decay, solved=threshold),
        st.lists(st.integers(1, 64), min_size=2, max_size=5, unique=True),
        st.floats(0, 1),
        st.floats(-10, 10),
    ),
)


@SETTINGS
@given(PLANS)
def test_parsing_inverts_printing(made):
    again = plan(str(made))
    assert type(again) is type(made)
    assert str(again) == str(made)
    assert again.possible(3) == made.possible(3)
    assert only(again.choose(0, ["a"])) == only(made.choose(0, ["a"]))


def test_other_specifications():
    made = Plateau([8, 1])
    assert plan(made) is made
    assert str(plan(8)) == str(plan(MAX)) == str(plan(pkpo.schedule(8))) == "max@8"
    assert str(plan("per_prompt( 8 , decay = .25)")) == (
        "per_prompt(1, 2, 4, 8, decay=0.25, solved=1.0)"
    )
    assert str(plan("plateau(8, 0.5*max@4 + 0.5*mean, patience=2)")) == (
        "plateau(max@8, 0.5*max@4 + 0.5*mean, metric=pass@8, patience=2, min_delta=0.002)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plateau()",
        "plateau(max@8)",
        "plateau(max@8, best)",
        "plateau(max@8, mean, metric=8)",
        "plateau(max@8, mean, metric=max@8)",
        "plateau(max@8, mean, metric=pass@0)",
        "plateau(max@8, mean, patience=0)",
        "plateau(max@8, mean, patience=1.5)",
        "plateau(max@8, mean, min_delta=-1)",
        "plateau(max@8, mean, min_delta=nan)",
        "plateau(max@8, mean, decay=0.5)",
        "plateau(max@8, patience=2, mean)",
        "plateau(max@8, mean, patience=2, patience=3)",
        "plateau(max@8, mean",
        "per_prompt()",
        "per_prompt(1)",
        "per_prompt(0)",
        "per_prompt(8, 8)",
        "per_prompt(max@8)",
        "per_prompt(8, decay=2)",
        "per_prompt(8, solved=inf)",
        "per_prompt(8, metric=pass@8)",
        "cosine(8, 1)",
    ],
)
def test_unreadable_text_raises_and_lists_the_forms(text):
    with pytest.raises(InvalidInputError) as caught:
        plan(text)
    for form in ("an objective", "switch(", "plateau(FIRST", "per_prompt(K_MAX"):
        assert form in str(caught.value)


@pytest.mark.parametrize("spec", [None, 2.5, True, 0, [8]])
def test_specifications_of_no_plan_raise(spec):
    with pytest.raises(InvalidInputError):
        plan(spec)
