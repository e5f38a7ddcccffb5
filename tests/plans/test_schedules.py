import copy

import pytest
from hypothesis import given

import pkpo
from objective_texts import SCHEDULES, SETTINGS
from pkpo.errors import InvalidInputError

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


def test_constant():
    constant = pkpo.Schedule.constant(MAX)
    assert constant(0) == constant(10**9) == MAX
    for spec in (8, "8", "max@8", "pass@8", MAX, constant):
        assert pkpo.schedule(spec) == constant
    assert str(constant) == "max@8"


def test_switch():
    switch = pkpo.Schedule.switch(MAX, 1500, MEAN)
    assert [switch(step) for step in (0, 1499, 1500, 10**6)] == [MAX, MAX, MEAN, MEAN]
    assert str(switch) == "switch(max@8, 1500, mean)"
    for text in ("switch(max@8, 1500, mean)", "switch(max@8, 1500, max@1)", "8->1@1500"):
        assert pkpo.schedule(text) == switch


def test_staged():
    staged = pkpo.Schedule.staged([(0, MAX), (500, pkpo.max_at(4)), (1000, MEAN)])
    expected = {0: MAX, 499: MAX, 500: pkpo.max_at(4), 999: pkpo.max_at(4), 1000: MEAN, 9999: MEAN}
    assert {step: staged(step) for step in expected} == expected
    assert str(staged) == "staged(max@8, 500, max@4, 1000, mean)"
    assert pkpo.schedule("staged(max@8, 500, max@4, 1000, mean)") == staged


@pytest.mark.parametrize(("start", "end"), [(8, 1), (1, 8), (16, 16), (3, 100)])
def test_linear_k(start, end):
    begin, last = 100, 1601
    linear = pkpo.Schedule.linear_k(start, end, begin, last)
    assert linear(0) == linear(begin) == pkpo.max_at(start)
    assert linear(last) == linear(last + 10**6) == pkpo.max_at(end)
    for step in range(begin, last + 1, 7):
        k = start + (end - start) * (step - begin) / (last - begin)
        if abs(k % 1 - 0.5) > 1e-6:
            assert linear(step) == pkpo.max_at(round(k)), step


def test_text_of_linear_k():
    linear = pkpo.Schedule.linear_k(8, 1, 0, 1500)
    assert str(linear) == "linear_k(8, 1, 0, 1500)"
    assert pkpo.schedule("linear_k(8, 1, 0, 1500)") == linear


def test_mix():
    mix = pkpo.Schedule.mix(MAX, MEAN, 100, 300)
    assert mix(0) == mix(100) == MAX
    assert mix(150) == 0.75 * MAX + 0.25 * MEAN
    assert mix(200) == 0.5 * MAX + 0.5 * MEAN
    assert mix(300) == mix(10**6) == MEAN
    assert str(pkpo.Schedule.mix(MAX, MEAN, 0, 1500)) == "mix(max@8, mean, 0, 1500)"
    assert pkpo.schedule("mix(max@8, mean, 0, 1500)") == pkpo.Schedule.mix(MAX, MEAN, 0, 1500)


def test_mix_of_equal_objectives_stays_there():
    mix = pkpo.Schedule.mix(MAX, MAX, 0, 8)
    assert {mix(step) for step in range(10)} == {MAX}


@pytest.mark.parametrize(
    ("first", "then", "step"),
    [
        ("max@8", "-max@8", 50),
        ("max@8", "-2*max@8", 33),
        ("0.1*max@8", "-0.7*max@8", 12.5),
        ("max@4 - 0.5*mean", "1.5*mean - 3*max@4", 25),
        ("max@2 + min@2", "-2*mean", 50),
        ("log_pass(2)", "-mean - 0.5*max@2", 50),
        ("order_statistics(1, 3)", "-2*min@2 - 6*max@2", 33),
        ("top_mean(2, 3)", "order_statistics(0, -0.5, -0.5)", 50),
    ],
)
def test_a_mixture_that_vanishes_on_the_way_is_refused_when_it_is_built(first, then, step):
    for build in (
        lambda: pkpo.Schedule.mix(first, then, 0, 100),
        lambda: pkpo.schedule(f"mix({first}, {then}, 0, 100)"),
        lambda: pkpo.Schedule(
            "mix", (pkpo.parse_objective(first), pkpo.parse_objective(then), 0, 100)
        ),
    ):
        with pytest.raises(InvalidInputError, match=f"leaves nothing at step {step}"):
            build()


@pytest.mark.parametrize(("first", "then"), [("max@8", "-mean"), ("max@4", "2*max@4 - mean")])
def test_mixtures_of_different_signs_that_never_vanish_are_built(first, then):
    mix = pkpo.Schedule.mix(first, then, 0, 100)
    assert all(mix(step).terms for step in range(102))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("cosine", (MAX,)),
        ("constant", ()),
        ("constant", (8,)),
        ("constant", (MAX, 5, MEAN)),
        ("switch", (MAX,)),
        ("switch", (MAX, 5)),
        ("switch", (MAX, -5, MEAN)),
        ("switch", (MAX, 0, MEAN)),
        ("switch", (MAX, "5", MEAN)),
        ("switch", (MAX, 5, "mean")),
        ("switch", (MAX, 5, MEAN, 9, MAX)),
        ("staged", (MAX, 5, MEAN, 5, MAX)),
        ("staged", (MAX, 5, MEAN, 5.5, MAX)),
        ("linear_k", (8, 1, 0)),
        ("linear_k", (8, 0, 0, 5)),
        ("linear_k", (8, 1, 5, 5)),
        ("mix", (MAX, MEAN, 5, 4)),
        ("mix", (MAX, "mean", 0, 5)),
        ("mix", (MAX, MEAN)),
    ],
)
def test_the_constructor_checks_what_it_is_given(kind, arguments):
    with pytest.raises(InvalidInputError):
        pkpo.Schedule(kind, arguments)


def test_the_constructor_takes_what_the_builders_make():
    for text in ("max@8", "8->1@5", "staged(8, 5, 4, 9, 1)", "linear_k(8, 1, 0, 5)"):
        made = pkpo.schedule(text)
        assert pkpo.Schedule(made.kind, made.arguments) == made


def test_schedules_compare_and_hash_by_value():
    same = [
        pkpo.Schedule.switch(MAX, 5, MEAN),
        pkpo.schedule("8->1@5"),
        pkpo.schedule("8 -> 1 @ 5"),
    ]
    assert len(set(same)) == 1
    different = {
        pkpo.schedule("8->1@5"),
        pkpo.schedule("8->1@6"),
        pkpo.schedule("8->2@5"),
        pkpo.schedule("mix(max@8, mean, 0, 5)"),
        pkpo.schedule("linear_k(8, 1, 0, 5)"),
        pkpo.schedule("max@8"),
    }
    assert len(different) == 6
    assert pkpo.schedule("max@8") != "max@8"
    assert copy.deepcopy(same[0]) == same[0]


def test_schedules_are_immutable():
    switch = pkpo.schedule("8->1@5")
    with pytest.raises((AttributeError, TypeError)):
        switch.anything = 3


@SETTINGS
@given(SCHEDULES)
def test_parsing_inverts_printing(schedule):
    again = pkpo.schedule(str(schedule))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert str(again) == str(schedule)
    assert again(0) == schedule(0)
    assert again(10**6) == schedule(10**6)


@pytest.mark.parametrize("step", [-1, 1.5, "3", None])
def test_invalid_steps_raise(step):
    for text in ("max@8", "8->1@5", "linear_k(8, 1, 0, 5)", "mix(max@8, mean, 0, 5)"):
        with pytest.raises(InvalidInputError):
            pkpo.schedule(text)(step)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "switch(max@8, 1500)",
        "switch(max@8, mean, 1500)",
        "switch(max@8, -5, mean)",
        "switch(max@8, 1.5, mean)",
        "switch(best@8, 1500, mean)",
        "staged()",
        "staged(max@8, 500, max@4, 400, mean)",
        "staged(max@8, 500, max@4, 500, mean)",
        "staged(max@8, 500)",
        "linear_k(8, 1, 0)",
        "linear_k(0, 1, 0, 10)",
        "linear_k(8, 1, 10, 5)",
        "linear_k(8.5, 1, 0, 10)",
        "linear_k(mean, 1, 0, 10)",
        "mix(max@8, mean)",
        "mix(max@8, mean, 10, 5)",
        "mix(max@8, mean, 0, 10",
        "8->1",
        "8->@5",
        "8->1@x",
        "cosine(8, 1, 0, 10)",
    ],
)
def test_unreadable_text_raises(text):
    with pytest.raises(InvalidInputError):
        pkpo.schedule(text)


def test_unreadable_text_is_named():
    with pytest.raises(InvalidInputError, match="cosine"):
        pkpo.schedule("cosine(8, 1, 0, 10)")


@pytest.mark.parametrize("spec", [None, 2.5, True, 0, [8]])
def test_other_specifications_raise(spec):
    with pytest.raises(InvalidInputError):
        pkpo.schedule(spec)


@pytest.mark.parametrize(
    "stages", [[], [(5, MAX)], [(0, MAX), (0, MEAN)], [(0, MAX), (9, MEAN), (3, MAX)], [(-1, MAX)]]
)
def test_stages_must_start_at_zero_and_rise(stages):
    with pytest.raises(InvalidInputError):
        pkpo.Schedule.staged(stages)


@pytest.mark.parametrize(
    "arguments", [(0, 1, 0, 10), (8, 0, 0, 10), (8, 1, -1, 10), (8, 1, 10, 9), (2.5, 1, 0, 10)]
)
def test_invalid_linear_k_raises(arguments):
    with pytest.raises(InvalidInputError):
        pkpo.Schedule.linear_k(*arguments)
