"""A k for each prompt, from earlier samples alone, which leaves the estimates unbiased."""

import itertools

import numpy as np
import pytest

import pkpo
from objective_texts import only
from pkpo.errors import InvalidInputError
from pkpo.plans.credit import Credit
from pkpo.plans.plan import Choice, PerPrompt

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


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
    for steps in (2, None):
        assert PerPrompt.up_to(8).possible(steps) == {pkpo.max_at(k) for k in (1, 2, 4, 8)}
    assert PerPrompt.up_to(12).ks == (1, 2, 4, 8, 12)


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
