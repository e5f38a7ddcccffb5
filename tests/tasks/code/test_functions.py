"""Generated functions: what the sentence says is what the solution does, and no split shares it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import check_splits
from pkpo.tasks.code.functions import FunctionsTask, _all_functions
from pkpo.tasks.verification import verify
from tests.sandbox.needs import needs_sandbox

SIZES = {"num_train": 40, "num_validation": 10, "num_test": 20}


@pytest.fixture(scope="module")
def task() -> FunctionsTask:
    return FunctionsTask(**SIZES, reward="tests")


def test_there_are_thousands_and_splits_are_apart(task: FunctionsTask) -> None:
    check_splits(task)
    functions = _all_functions(1, 3)
    assert len(functions) > 7000
    assert len({one.words for one in functions}) == len(functions)
    lists = np.random.default_rng(1).integers(-20, 40, (60, 6)).tolist()
    drawn = [one for split in task.splits for one in task._functions[split]]
    assert len({repr(one.results(lists)) for one in drawn}) == len(drawn) == 70


def test_problems_follow_from_the_seed(task: FunctionsTask) -> None:
    again, other = FunctionsTask(**SIZES | {"num_train": 9}), FunctionsTask(**SIZES, seed=1)
    questions = [[one.question("test", i) for i in range(20)] for one in (task, again, other)]
    assert questions[0] == questions[1]
    assert len(set(questions[0]) & set(questions[2])) < 3


def test_a_question_is_a_sentence_one_of_the_asserts_and_the_form(task: FunctionsTask) -> None:
    problem = task.code_problems("train")[0]
    sentence, example, form = problem.prompt.splitlines()
    assert sentence.startswith("Write a Python function f of a list of numbers x: ")
    assert example.removeprefix("For example, ") in problem.checks.parts
    assert form == "Answer with the code of f alone."
    assert len(problem.checks.parts) == 4
    assert task.question("train", 0) == problem.prompt
    assert task.describe_prompt("train", 0) == sentence
    assert max(len(task.question("train", i)) for i in range(40)) < 300


@needs_sandbox
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "```python\n{}\n```",
        "```\n{}\n```\nIt keeps the numbers, then ...",
        "Sure! Here is the function:\n\n```python\n{}\n",
        "Here is the code:\n{}\n\nprint(f([1, 2",
        "<code>\n{}\n</code>",
    ],
)
def test_the_function_counts_whatever_is_around_it(task: FunctionsTask, form: str) -> None:
    solution = task.reference("test", 3)
    found = task.judge("test", 3, form.format(solution))
    assert found.reason == "4 of 4 tests passed"


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_difficulty_is_the_number_of_stages(stages: int) -> None:
    sizes = {"num_train": 10, "num_validation": 5, "num_test": 5}
    task = FunctionsTask(**sizes, min_stages=stages, max_stages=stages)
    for split in task.splits:
        for i in range(len(task.ids(split))):
            assert task.describe_prompt(split, i).count(", then ") == stages - 1


@needs_sandbox
def test_references_pass_and_others_fail(task: FunctionsTask) -> None:
    pairs = [(i, task.reference("test", i) or "") for i in range(20)]
    found = verify(task, "test", pairs, workers=2)
    assert [verdict.reason for verdict in found] == ["4 of 4 tests passed"] * 20
    wrong = verify(task, "test", [(i, pairs[i - 1][1]) for i in range(20)], workers=2)
    assert max(verdict.reward for verdict in wrong) < 1


@needs_sandbox
def test_tokens_are_judged_as_the_program_that_they_spell(task: FunctionsTask) -> None:
    shown = task.demonstrations(12, seed=3)
    assert shown.answers_PT.shape == (12, task.max_new_tokens)
    problems = task.problems("train")
    eos = task.vocabulary.eos_id
    assert all(row[n - 1] == task.vocabulary.answer_id for row, n in zip(*shown_prompts(problems)))
    right = [task._functions["train"][i].code for i in range(3)]
    texts = [*right, "x", ") x", "sum ( x", ""]
    width = max(len(text.split()) for text in texts) + 1
    ids = np.full((3, len(texts), width), eos)
    for place, text in enumerate(texts):
        words = task.vocabulary.encode(text.split()) if text else []
        ids[:, place, : len(words)] = words
    rewards = task.verify("train", np.arange(3), ids)
    assert rewards[np.arange(3), np.arange(3)].tolist() == [1.0] * 3
    assert rewards[:, 4:].tolist() == [[0.0] * 3] * 3
    for p in range(3):
        program = f"def f(x):\n    return ({right[0]})"
        assert rewards[p, 0] == task.judge("train", p, program).reward
    ids[0, 0, 0] = len(task.vocabulary)
    assert task.verify("train", np.arange(3), ids)[0, 0] == 0.0


def shown_prompts(problems: Any) -> tuple[np.ndarray, np.ndarray]:
    return problems.prompts_PT, problems.lengths_P


def test_demonstrations_are_never_of_what_is_held_out(task: FunctionsTask) -> None:
    shown = task.demonstrations(300, seed=0)
    held_out = {
        task.vocabulary.decode(row) for split in ("validation", "test")
        for row in task.problems(split).prompts_PT.tolist()
    }  # fmt: skip
    assert not {task.vocabulary.decode(row) for row in shown.prompts_PT.tolist()} & held_out
    again = task.demonstrations(300, seed=0)
    np.testing.assert_array_equal(shown.answers_PT, again.answers_PT)


def test_a_copy_is_the_same_task(task: FunctionsTask) -> None:
    copy = pickle.loads(pickle.dumps(task))
    assert copy.ids("test") == task.ids("test")
    np.testing.assert_array_equal(
        copy.problems("test").prompts_PT, task.problems("test").prompts_PT
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_stages": 0}, "min_stages"),
        ({"min_stages": 3, "max_stages": 2}, "min_stages"),
        ({"num_test": 0}, "splits >= 1"),
        ({"max_stages": 1, "num_train": 70}, "100 problems, but 78 functions"),
        ({"reward": "some"}, "reward must be"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        FunctionsTask(**SIZES | options)
