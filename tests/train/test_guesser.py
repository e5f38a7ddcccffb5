"""Answers drawn from those to the training problems."""

from __future__ import annotations

import math

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Split, Task, Verdict
from pkpo.train.config import EvaluationSettings
from pkpo.train.guesser import Guesser


class Parities(Task):
    """Odd or even; three of four training answers are "odd"."""

    name, reward_type = "parities", "binary"

    def __init__(self, answers: tuple[str | None, ...] = ("odd", "odd", "even", "odd")) -> None:
        self.answers = answers

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(f"{split}/{n}" for n in range(4 if split == "train" else 50))

    def question(self, split: Split, problem: int) -> str:
        return f"{split} {problem}"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        return Verdict(float(text == ("odd" if problem % 2 else "even")), "")

    def reference(self, split: Split, problem: int) -> str | None:
        return self.answers[problem] if split == "train" else None


def measured(seed: int, task: Task | None = None) -> dict[str, object]:
    settings = EvaluationSettings(k_values=(1, 2), num_samples=200)
    return Guesser(task or Parities(), "test", settings).full(None, seed=seed, step=0)


def test_it_is_right_as_often_as_an_answer_is_frequent():
    found = measured(0)
    chances = found["solve_probability"]
    assert isinstance(chances, list)
    # 25 problems x 200 draws each: five standard errors are .03.
    assert sum(chances[1::2]) / 25 == pytest.approx(0.75, abs=0.03)
    assert sum(chances[::2]) / 25 == pytest.approx(0.25, abs=0.03)
    assert found["entropy"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert found["distinct_solutions"] == 1.0
    assert found["problem_ids"] == list(Parities().ids("test"))


def test_a_solution_is_an_answer_however_it_is_said():
    class Patient(Parities):
        def judge(self, split: Split, problem: int, text: str) -> Verdict:
            return Verdict(1.0, "")

    spoken = ("odd", "It is <answer>odd</answer>.", "even", "So:\n\nodd")
    assert measured(0, Patient(spoken))["distinct_solutions"] == 2.0


def test_it_follows_its_seed():
    assert measured(1) == measured(1) != measured(2)


def test_without_reference_answers_there_is_nothing_to_guess_from():
    with pytest.raises(InvalidInputError, match="no reference answers"):
        measured(0, Parities((None,) * 4))
    assert measured(0, Parities((None, "odd", None, None)))["entropy"] == 0


def test_it_answers_the_problems_that_it_is_given():
    settings = EvaluationSettings(k_values=(1,), num_samples=200)
    odd = Parities().ids("test")[1::2]
    found = Guesser(Parities(), "test", settings, odd).full(None, seed=0, step=0)
    assert found["problem_ids"] == list(odd)
    assert found["pass_at_k"]["1"] == pytest.approx(0.75, abs=0.03)
