"""Questions in plain language, and the reward of what a language model writes to them."""

from __future__ import annotations

import itertools
import json
import re
import time

import numpy as np
import pytest

from pkpo.tasks.answers import last_answer
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.grids import DESCRIPTIONS, MOVES, OPERATIONS
from pkpo.tasks.reasoning import ReasoningGymTask

SIZES = {"num_train": 4, "num_validation": 4, "num_test": 4}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>a b</answer>", "a b"),
        ("no <answer>a</answer> but <answer>\n b \n</answer> it is", "b"),
        ("<answer>a</answer> and <answer>b", "a"),
        ("<answer>a<answer>b</answer>", "b"),
        ("thinking\n  a  \n\n", "a"),
        ("<answer></answer>", None),
        ("</answer> a <answer>", "</answer> a <answer>"),
        ("", None),
        (" \n\t\n", None),
    ],
)
def test_the_answer_is_the_last_pair_or_the_last_line(text: str, answer: str | None) -> None:
    assert last_answer(text) == answer


def test_finding_the_answer_is_linear_in_the_text() -> None:
    text = "<answer>" * 200_000
    start = time.perf_counter()
    assert last_answer(text) == text
    assert time.perf_counter() - start < 2.0


@pytest.fixture(scope="module")
def grids() -> GridProgramTask:
    return GridProgramTask(**SIZES, size=2, max_ops=2, lengths=(1.0, 2.0))


def test_every_operation_is_described() -> None:
    assert tuple(DESCRIPTIONS) == MOVES.names
    assert len(set(DESCRIPTIONS.values())) == len(MOVES.names)


def test_a_grid_question_shows_the_examples_and_names_every_operation(
    grids: GridProgramTask,
) -> None:
    question = grids.question("test", 1)
    shown = re.findall(r"(?<=:\n)((?:\d(?: \d)*\n)+)", question)
    numbers = [[list(map(int, row.split())) for row in grid.splitlines()] for grid in shown]
    drawn = grids.describe_prompt("test", 1).replace("  ", " -> ").split(" -> ")
    assert numbers == [[list(map(int, row)) for row in grid.split("/")] for grid in drawn]
    assert all(f"\n{name}: " in question for name in MOVES.names)
    assert "1 to 2 of these operations" in question
    example = last_answer(re.findall("<answer>[^<]+</answer>", question)[0])
    assert example is not None
    assert set(example.split()) <= set(MOVES.names)


def test_grid_text_scores_what_the_program_does(grids: GridProgramTask) -> None:
    examples = grids._splits["test"]
    for problem in range(4):
        before, after = examples.inputs_PEHW[problem], examples.outputs_PEHW[problem]
        for first, second in itertools.product(MOVES.names[:6], MOVES.names):
            made = OPERATIONS[second](OPERATIONS[first](before))
            text = f"I'd say\n<answer>{first}, {second}</answer>."
            assert grids.score_text("test", problem, text) == float((made == after).all())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rot90 rot90 rot90 rot90",
        "ROT90",
        "<answer>rot90 spin</answer>",
        "<answer></answer>",
        "<eos>",
        "é" * 10_000,
    ],
)
def test_malformed_grid_answers_score_nothing(text: str) -> None:
    # Some cells match whatever a program does, so that only the form can cost everything.
    task = GridProgramTask(**SIZES, reward="cells")
    assert task.score_text("test", 0, "<answer>rot90 rot90 rot90</answer>") > 0
    assert task.score_text("test", 0, text) == 0.0


@pytest.mark.parametrize("reward", ["binary", "grids", "cells"])
def test_text_and_tokens_of_a_program_score_alike(reward: str) -> None:
    task = GridProgramTask(**SIZES, reward=reward)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for problem, _ in itertools.product(range(4), range(20)):
        names = rng.choice(MOVES.names, size=rng.integers(1, 4)).tolist()
        ids = task.vocabulary.encode([*names, "<eos>"])[: task.max_new_tokens]
        ids += [task.vocabulary.pad_id] * (task.max_new_tokens - len(ids))
        rewards = task.verify("train", np.array([problem]), np.array([[ids]]))
        assert task.score_text("train", problem, " ".join(names)) == rewards[0, 0]


@pytest.fixture(scope="module", params=["countdown", "palindrome_generation", "basic_arithmetic"])
def reasoning(request: pytest.FixtureRequest) -> ReasoningGymTask:
    pytest.importorskip("reasoning_gym")
    return ReasoningGymTask(request.param, **SIZES)


def test_reasoning_questions_are_the_package_s_own(reasoning: ReasoningGymTask) -> None:
    for problem in range(4):
        entry = reasoning._items["test"][problem].entry
        question = reasoning.question("test", problem)
        assert question.startswith(entry["question"].strip())
        assert "<answer>" in question
        assert reasoning.score_text("test", problem, f"<answer>{entry['answer']}</answer>") == 1.0
        assert reasoning.score_text("test", problem, "") == 0.0
        assert reasoning.score_text("test", problem, "<answer>nonsense </answer>") == 0.0


def test_the_natural_form_counts_where_the_preset_has_its_own() -> None:
    pytest.importorskip("reasoning_gym")
    task = ReasoningGymTask("graph_color", **SIZES)
    colors = task._items["test"][0].entry["metadata"]["possible_answer"]
    natural = json.dumps({str(vertex): color for vertex, color in colors.items()})
    compact = "".join(str(color) for _, color in sorted(colors.items()))
    assert task.score_text("test", 0, f"<answer>{natural}</answer>") == 1.0
    assert task.score_text("test", 0, f"<answer>{compact}</answer>") == 0.0
    ids = task.vocabulary.encode(compact)
    assert task.verify("test", np.array([0]), np.array([[ids]]))[0, 0] == 1.0
