"""Vocabularies, splits, and where the answer stands in what a language model writes."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Problems, Split, Vocabulary, check_splits, last_answer
from tests.tasks.made_up import Obedient


def test_vocabulary_ids_are_in_order_after_the_special_tokens():
    vocabulary = Vocabulary(("x", "y"))
    assert len(vocabulary) == 5
    assert [vocabulary.tokens[i] for i in (0, 1, 2)] == ["<pad>", "<eos>", "<answer>"]
    assert (vocabulary.pad_id, vocabulary.eos_id, vocabulary.answer_id) == (0, 1, 2)
    assert vocabulary.encode(["y", "<answer>", "x"]) == [4, 2, 3]


@pytest.mark.parametrize("symbols", [("x", "x"), ("<pad>",), ("x", "<eos>")])
def test_vocabulary_symbols_must_be_distinct(symbols: tuple[str, ...]):
    with pytest.raises(InvalidInputError):
        Vocabulary(symbols)


def test_unknown_symbol_is_refused():
    with pytest.raises(InvalidInputError, match="'z'"):
        Vocabulary(("x",)).encode(["x", "z"])


@pytest.mark.parametrize(
    ("ids", "text"),
    [([3, 4], "x y"), ([3, 1, 4], "x"), ([3, 0, 4], "x"), ([2, 3], "x"), ([1], ""), ([], "")],
)
def test_decode_stops_at_the_end(ids: list[int], text: str):
    assert Vocabulary(("x", "y")).decode(ids) == text


def test_decode_joins_with_the_separator():
    assert Vocabulary(("x", "y")).decode([4, 3, 4], separator="") == "yxy"


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


def test_a_question_is_a_conversation_of_one_message_by_default() -> None:
    assert Obedient().messages("test", 1) == [{"role": "user", "content": "What is 3?"}]


def test_splits_that_ask_the_same_are_found() -> None:
    check_splits(Obedient())
    with pytest.raises(InvalidInputError, match="'test-0' of test asks the same as 'train-0'"):
        check_splits(Obedient(alike=True))


def test_a_split_that_is_needed_and_lacking_is_named() -> None:
    check_splits(Obedient(), ("train", "test"))
    with pytest.raises(
        InvalidInputError,
        match="obedient has the splits train, test, but not validation; needed are train, validat",
    ):
        check_splits(Obedient(), ("train", "validation"))


def test_the_documented_task_keeps_its_splits_apart() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n([^`]*class Parity.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    task = names["Parity"]()
    check_splits(task, ("train", "validation", "test"))
    assert task.judge("test", 1, "No.").reward == task.judge("train", 2, " yes").reward == 1.0
    with pytest.raises(InvalidInputError, match="no problems in split 'exam'"):
        task.ids("exam")


def test_problems_of_one_name_are_found() -> None:
    class SameNames(Obedient):
        def ids(self, split: Split) -> tuple[str, ...]:
            return ("first", "second")

    with pytest.raises(InvalidInputError, match=r"'first' \(splits train and test\)"):
        check_splits(SameNames())


def test_prompts_are_no_wider_than_the_longest_of_them():
    problems = Problems(("a", "b", "c"), np.arange(12).reshape(3, 4), np.array([2, 4, 3]))
    prompts_PT, lengths_P = problems.prompts(np.array([2, 0]))
    assert prompts_PT.tolist() == [[8, 9, 10], [0, 1, 2]]
    assert lengths_P.tolist() == [3, 2]
