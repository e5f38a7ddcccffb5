"""Plans: what they choose, from what, and that this leaves the estimates unbiased."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pkpo
from objective_texts import SCHEDULES, SETTINGS, objectives
from pkpo.errors import InvalidInputError
from pkpo.plans.credit import Credit
from pkpo.plans.plan import ByStep, Choice, PerPrompt, Plan, Plateau, plan

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


def only(choice: Choice) -> pkpo.Objective:
    (objective,) = choice.objectives
    assert not choice.index_P.any()
    return objective


# Choices


def test_parts_cover_every_prompt_once():
    choice = Choice.of_each([MAX, MEAN, MAX, pkpo.max_at(2)], ["a", "b", "c", "d"])
    places = {objective: rows.tolist() for objective, rows in choice.parts()}
    assert places == {MAX: [0, 2], MEAN: [1], pkpo.max_at(2): [3]}
    assert str(choice) == "per_prompt: 2×max@8 1×max@2 1×mean"
    assert str(Choice.same(MAX, 3, "because")) == "max@8"


@pytest.mark.parametrize(
    ("objectives", "index", "reasons"),
    [
        ((), [0], ("",)),
        ((MAX, MAX), [0, 1], ("",)),
        ((MAX,), [0, 1], ("",)),
        ((MAX,), [-1], ("",)),
        ((MAX,), [0.0], ("",)),
        ((MAX,), [[0]], ("",)),
        ((MAX,), [0, 0, 0], ("", "")),
    ],
)
def test_choices_that_do_not_fit_raise(objectives, index, reasons):
    with pytest.raises(InvalidInputError):
        Choice(objectives, np.array(index), reasons)


# By step


@pytest.mark.parametrize("text", ["max@8", "8->1@5", "linear_k(8, 1, 0, 9)", "mix(8, 1, 0, 9)"])
def test_schedules_are_plans(text):
    by_step, schedule = plan(text), pkpo.schedule(text)
    assert isinstance(by_step, ByStep)
    for step in range(12):
        assert only(by_step.choose(step, ["a", "b"])) == schedule(step)
    assert by_step.possible(7) == {schedule(step) for step in range(7)}
    by_step.observe(0, ["a"], np.ones((1, 4)))
    by_step.observe_validation(0, {8: 0.5})
    assert by_step.state() == {}


# Plateau


def feed(plateau: Plateau, values: list[float], every: int = 100) -> list[str]:
    """The objective after each validation."""
    found = []
    for number, value in enumerate(values):
        plateau.observe_validation(number * every, {1: 0.9, 8: value})
        found.append(str(only(plateau.choose(number * every, ["a"]))))
    return found


def test_plateau_waits_for_patience_validations_in_a_row():
    plateau = Plateau([8, 1], patience=3, min_delta=0.01)
    # .309 isn't more than .01 above .30; .311 is, and begins the count anew.
    values = [0.2, 0.3, 0.309, 0.29, 0.311, 0.3, 0.32, 0.321, 0.5]
    assert feed(plateau, values) == ["max@8"] * 7 + ["mean"] * 2
    assert plateau.choose(800, ["a"]).reasons == (
        "validation pass@8 best 0.311 at step 400, not beaten for 3 evaluations: stage 2 of 2",
    )


def test_each_stage_of_a_plateau_has_its_own_best():
    plateau = Plateau([8, 4, 1], patience=1, min_delta=0.0)
    # Stage 2 begins at .2, so .25 is a rise there although .3 came before.
    assert feed(plateau, [0.3, 0.2, 0.25, 0.25, 0.1, 0.0]) == (
        ["max@8", "max@4", "max@4", "mean", "mean", "mean"]
    )


def test_the_earliest_end_of_a_plateau():
    plateau = Plateau([8, 4, 1], patience=2)
    found = feed(plateau, [0.5] * 9, every=10)
    assert found.index("mean") * 10 == plateau.earliest_end(10) == 40


def test_plateau_looks_at_its_own_metric():
    plateau = Plateau([8, 1], metric_k=2, patience=1)
    plateau.observe_validation(0, {2: 0.1, 8: 0.5})
    plateau.observe_validation(1, {2: 0.2, 8: 0.4})
    assert only(plateau.choose(1, ["a"])) == MAX
    for bad in ({8: 0.5}, {2: float("nan")}):
        with pytest.raises(InvalidInputError, match="pass@2"):
            plateau.observe_validation(2, bad)


# Per prompt


def solved(samples: int, correct: int) -> np.ndarray:
    return (np.arange(samples) < correct).astype(float)


@pytest.mark.parametrize("correct", range(25))
def test_per_prompt_takes_the_steepest_pass_at_k(correct):
    per_prompt = PerPrompt([1, 2, 3, 4, 8])
    per_prompt.observe(0, ["a"], solved(24, correct)[None])
    p, step = (correct + 0.5) / 25, 1e-6

    def slope(k: int) -> float:
        return ((1 - (1 - p - step) ** k) - (1 - (1 - p + step) ** k)) / (2 * step)

    chosen = only(per_prompt.choose(1, ["a"]))
    assert slope(chosen.k) == pytest.approx(max(map(slope, (1, 2, 3, 4, 8))), rel=1e-6)


def test_reasons_tell_what_was_seen():
    per_prompt = PerPrompt.up_to(8, decay=1.0)
    per_prompt.observe(0, ["a"], solved(24, 3)[None])
    assert per_prompt.choose(1, ["a", "b"]).reasons == (
        "24 earlier samples, 3 solved, p = .14: k = 8",
        "no earlier samples: k = 8",
    )


def test_older_visits_weigh_less():
    for decay, p in ((0.0, (0 + 0.5) / (4 + 1)), (0.5, (2 + 0.5) / (6 + 1)), (1, 4.5 / 9)):
        per_prompt = PerPrompt([1, 2], decay=decay)
        per_prompt.observe(0, ["a"], solved(4, 4)[None])
        per_prompt.observe(5, ["a"], solved(4, 0)[None])
        shown = f"{p:.2f}".removeprefix("0")
        (reason,) = per_prompt.choose(6, ["a"]).reasons
        assert reason.startswith(f"8 earlier samples, 4 solved, p = {shown}:")


def test_masked_samples_do_not_count():
    plain, masked = PerPrompt.up_to(8), PerPrompt.up_to(8)
    plain.observe(0, ["a"], np.array([[1.0, 0.0]]))
    rewards = np.array([[1.0, np.nan, 0.0, 1.0], [np.nan] * 4])
    mask = np.array([[True, False, True, False], [False] * 4])
    masked.observe(0, ["a", "b"], rewards, mask)
    assert masked.state() == plain.state()


def test_solved_from_a_threshold():
    per_prompt = PerPrompt([1, 2], solved=0.5)
    per_prompt.observe(0, ["a"], np.array([[0.49, 0.5, 0.9, -3.0]]))
    assert per_prompt.choose(1, ["a"]).reasons[0].startswith("4 earlier samples, 2 solved")


def test_a_prompt_twice_in_a_step_is_two_visits():
    once, twice = PerPrompt.up_to(8), PerPrompt.up_to(8)
    once.observe(0, ["a"], solved(4, 2)[None])
    once.observe(1, ["a"], solved(4, 0)[None])
    twice.observe(0, ["a", "a"], np.stack([solved(4, 2), solved(4, 0)]))
    assert once.state() == twice.state()


@pytest.mark.parametrize(
    ("prompts", "rewards", "mask"),
    [
        (["a"], np.ones((2, 3)), None),
        (["a"], np.ones(3), None),
        (["a"], np.ones((1, 3)), np.ones((1, 3))),
        (["a"], np.ones((1, 3)), np.ones((1, 2), bool)),
        (["a"], np.array([[1.0, np.nan]]), None),
        ([("a", 1)], np.ones((1, 3)), None),
        ([1.5], np.ones((1, 3)), None),
    ],
)
def test_observations_that_do_not_fit_raise(prompts, rewards, mask):
    with pytest.raises(InvalidInputError):
        PerPrompt.up_to(8).observe(0, prompts, rewards, mask)


def test_the_first_step_of_per_prompt_is_for_the_largest_k():
    assert PerPrompt.up_to(8).possible(1) == {MAX}
    assert PerPrompt.up_to(8).possible(2) == {pkpo.max_at(k) for k in (1, 2, 4, 8)}
    assert PerPrompt.up_to(12).ks == (1, 2, 4, 8, 12)


# Only earlier samples


def test_a_choice_ignores_the_rewards_of_its_own_step_and_of_other_prompts():
    prompts = ["a", "b", "c"]
    generator = np.random.default_rng(0)
    first = (generator.random((3, 16)) < [[0.1], [0.5], [0.9]]).astype(float)
    reference = PerPrompt.up_to(8)
    reference.observe(0, prompts, first)
    kept = reference.choose(1, prompts)
    for _ in range(20):
        again = PerPrompt.up_to(8)
        again.observe(0, prompts, first)
        chosen = again.choose(1, prompts)
        again.observe(1, prompts, (generator.random((3, 16)) < 0.5).astype(float))
        assert chosen.reasons == kept.reasons
        assert [str(o) for o in chosen.objectives] == [str(o) for o in kept.objectives]
        assert np.array_equal(chosen.index_P, kept.index_P)
        other = PerPrompt.up_to(8)
        other.observe(0, prompts, np.concatenate([first[:1], 1 - first[1:]]))
        assert other.choose(1, prompts).reasons[0] == kept.reasons[0]


REWARDS = np.array([0.0, 1.0, 0.0])
SAMPLES = 3
OUTCOMES = np.array(list(itertools.product(range(3), repeat=SAMPLES)))


def softmax(theta: np.ndarray) -> np.ndarray:
    weights = np.exp(theta - theta.real.max())
    return weights / weights.sum()


def exact_gradient(theta: np.ndarray, k: int) -> np.ndarray:
    """Of E[best reward of k], by complex steps."""
    best = np.array([REWARDS[list(i)].max() for i in itertools.product(range(3), repeat=k)])
    gradient = np.empty(3)
    for i in range(3):
        p = softmax(theta + 1e-30j * (np.arange(3) == i))
        weights = np.array([np.prod(p[list(j)]) for j in itertools.product(range(3), repeat=k)])
        gradient[i] = (weights * best).sum().imag / 1e-30
    return gradient


def estimates(theta: np.ndarray, choice: Choice) -> np.ndarray:
    """sum_i a_i grad log p(x_i) of every outcome of a group; (27, 3)."""
    advantages = Credit("loo_minus_one")(REWARDS[OUTCOMES], choice)
    scores = np.eye(3)[OUTCOMES] - softmax(theta)
    return (advantages[..., None] * scores).sum(axis=1)


def chances(theta: np.ndarray) -> np.ndarray:
    return softmax(theta)[OUTCOMES].prod(axis=1)


def test_two_steps_are_unbiased_for_what_was_chosen():
    """All outcomes of two steps on one prompt, the policy moving in between: the second
    step's mean gradient is that of the objectives chosen, weighted by their chances."""
    first = np.array([0.2, -0.5, 0.3])
    first_choice = Choice.same(pkpo.max_at(2), len(OUTCOMES), "")
    mean, expected, leaked, ks = np.zeros(3), np.zeros(3), np.zeros(3), set()
    for outcome, chance, gradient in zip(
        OUTCOMES, chances(first), estimates(first, first_choice), strict=True
    ):
        per_prompt = PerPrompt([1, 2, 3])
        per_prompt.observe(0, ["a"], REWARDS[outcome][None])
        objective = only(per_prompt.choose(1, ["a"]))
        ks.add(objective.k)
        second = first + 0.5 * gradient
        choice = Choice.same(objective, len(OUTCOMES), "")
        mean += chance * chances(second) @ estimates(second, choice)
        expected += chance * exact_gradient(second, objective.k)
        own = []
        for again in OUTCOMES:
            cheat = PerPrompt([1, 2, 3])
            cheat.restore(per_prompt.state())
            cheat.observe(1, ["a"], REWARDS[again][None])
            own.append(only(cheat.choose(1, ["a"])))
        cheating = Choice.of_each(own, [""])
        leaked += chance * chances(second) @ estimates(second, cheating)
        wanted = [exact_gradient(second, objective.k) for objective in own]
        expected_of_cheat = chances(second) @ np.array(wanted)
        assert not np.allclose(chances(second) @ estimates(second, cheating), expected_of_cheat)
    assert len(ks) > 1
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    assert not np.allclose(leaked, expected)


# State and text


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
