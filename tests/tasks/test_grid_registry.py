"""Tasks by name, and vocabularies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Vocabulary
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.registry import TASKS, build_task

SIZES = {"num_train": 10, "num_validation": 5, "num_test": 5}


def test_options_reach_the_task():
    task = build_task("grid-programs", SIZES | {"size": 4, "lengths": [1, 2, 3], "seed": 7})
    expected = GridProgramTask(**SIZES, size=4, lengths=(1, 2, 3), seed=7)
    assert task == expected
    np.testing.assert_array_equal(
        task.problems("test").prompts_PT, expected.problems("test").prompts_PT
    )


def test_unknown_task_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="no task 'chess'") as caught:
        build_task("chess", {})
    assert all(name in str(caught.value) for name in TASKS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 3}, "colour"),
        ({"name": "other"}, "name"),
        ({"reward": "partial"}, "reward"),
        ({"size": "three"}, "grid-programs"),
        ({"size": None}, "grid-programs"),
        ({"lengths": 3}, "grid-programs"),
    ],
)
def test_bad_options_name_the_place(options: dict[str, Any], message: str):
    with pytest.raises(InvalidInputError, match=message):
        build_task("grid-programs", SIZES | options)


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
