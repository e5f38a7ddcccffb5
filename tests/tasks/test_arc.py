"""ARC-AGI-1 as grids of text: what is read, how it is split and judged."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.arc import (
    EASY_SIDE,
    ArcTask,
    find_puzzle,
    grid_in,
    held_out,
    read_puzzles,
    split_puzzles,
)
from pkpo.tasks.base import check_splits
from pkpo.tasks.registry import build_task

PAIR = {"input": [[0, 1], [2, 0]], "output": [[1, 0], [0, 2]]}
ENTRY = {"train": [PAIR, PAIR], "test": [PAIR, PAIR]}
TURNED = {"train": [PAIR], "test": [{"input": [[3]], "output": [[3]]}]}


def folder(path: Path, **tasks: object) -> str:
    for name, entry in ({"aa": ENTRY} | tasks).items():
        part = path / ("evaluation" if name == "zz" else "training")
        part.mkdir(exist_ok=True)
        (part / f"{name}.json").write_text(json.dumps(entry), encoding="utf-8")
    if "zz" not in tasks:
        folder(path, zz=TURNED)
    return str(path)


@pytest.fixture(scope="module")
def task() -> ArcTask:
    return ArcTask()


def test_the_benchmark_has_800_tasks():
    assert [len(each) for each in read_puzzles()] == [400, 400]
    puzzle = find_puzzle("007bbfb7")
    assert (len(puzzle.outputs), len(puzzle.inputs), len(puzzle.answers)) == (5, 6, 1)
    assert puzzle.pairs[0][1].shape == (9, 9)
    with pytest.raises(InvalidInputError, match="ARC-AGI-1 has no task 'nothing'"):
        find_puzzle("nothing")


def test_splits_are_apart_and_easy_tasks_are_small(task: ArcTask):
    check_splits(task)
    splits = split_puzzles("easy", None)
    assert {split: len(puzzles) for split, puzzles in splits.items()} == {
        "train": 176,
        "validation": 114,
        "test": 44,
    }
    training, evaluation = ({p.name for p in each} for each in read_puzzles())
    assert all(p.largest_side <= EASY_SIDE for each in splits.values() for p in each)
    assert {p.name for p in splits["train"]} | {p.name for p in splits["test"]} <= training
    assert {p.name for p in splits["validation"]} <= evaluation
    everything = split_puzzles("all", None)
    for split, puzzles in splits.items():
        assert {p.name for p in puzzles} <= {p.name for p in everything[split]}
    assert sum(map(held_out, training)) == len(everything["test"]) == 86


def test_every_reference_is_right_and_a_changed_one_is_not(task: ArcTask):
    for split in task.splits:
        for problem in range(len(task.ids(split))):
            answer = task.reference(split, problem)
            assert task.judge(split, problem, answer).reward == 1
            digit = next(c for c in reversed(answer) if c.isdigit())
            wrong = str((int(digit) + 1) % 10).join(answer.rsplit(digit, 1))
            assert task.judge(split, problem, wrong).reward == 0


def test_a_task_of_two_tests_is_two_problems(tmp_path: Path):
    task = ArcTask(path=folder(tmp_path, ab=TURNED))
    names = {name for split in task.splits for name in task.ids(split)}
    assert names == {"aa-1", "aa-2", "ab", "zz"}


def test_cells_are_counted_and_the_reason_says_how_many():
    task = ArcTask(reward="cells")
    wanted = grid_in(task.reference("train", 0))
    assert wanted is not None
    wanted[0, 0] = (wanted[0, 0] + 1) % 10
    found = task.judge("train", 0, str(wanted.tolist()))
    assert found.reward == pytest.approx(1 - 1 / wanted.size)
    assert found.reason == f"{wanted.size - 1} of {wanted.size} cells right"
    assert task.judge("train", 0, "1 2").reason == "1 x 2 cells instead of 9 x 9"
    assert task.judge("train", 0, "I don't know").reason == "no grid"
    assert (task.reward_type, ArcTask().reward_type) == ("continuous", "binary")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<answer>\n1 2\n3 4\n</answer>", [[1, 2], [3, 4]]),
        ("First\n1 2\nthen\n```\n12\n34\n```", [[1, 2], [3, 4]]),
        ("so [[1, 2], [3, 4]], as 5", [[1, 2], [3, 4]]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[\n [1, 2],\n [3, 4]\n]\n", [[1, 2], [3, 4]]),
        ("1 2\n3 4\nThat is all.", [[1, 2], [3, 4]]),
        ("<answer>1 2\n3</answer>", None),
        ("<answer></answer>", None),
        ("", None),
        ("1 " * 31, None),
    ],
)
def test_grids_in_texts(text: str, found: list[list[int]] | None):
    made = grid_in(text)
    assert (None if made is None else made.tolist()) == found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([], r"ab\.json: 'train' must be a list of pairs"),
        ({"train": [PAIR], "test": []}, r"ab\.json: 'test' must be a list of pairs"),
        ({"train": [{"input": [[1]]}], "test": [PAIR]}, r"train\[0\]\.output must be a grid"),
        ({"train": [{**PAIR, "input": [[1], [1, 2]]}], "test": [PAIR]}, r"train\[0\]\.input must"),
        ({"train": [PAIR, {**PAIR, "output": [[10]]}], "test": [PAIR]}, r"train\[1\]\.output must"),
        ({"train": [{**PAIR, "input": [[True]]}], "test": [PAIR]}, r"train\[0\]\.input must"),
        ({"train": [{**PAIR, "input": [[]]}], "test": [PAIR]}, r"train\[0\]\.input must"),
        ({"train": [{**PAIR, "input": [[0] * 31]}], "test": [PAIR]}, r"up to 30 rows"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, entry: object, message: str):
    with pytest.raises(InvalidInputError, match=message):
        read_puzzles(folder(tmp_path, ab=entry))


def test_missing_files_and_ids_that_come_twice_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="has no file of an ARC task"):
        read_puzzles(str(tmp_path))
    path = Path(folder(tmp_path))
    (path / "evaluation" / "aa.json").write_text(json.dumps(ENTRY), encoding="utf-8")
    with pytest.raises(InvalidInputError, match="two tasks are named 'aa'"):
        read_puzzles(str(path))
    (path / "training" / "aa.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"aa\.json: Expecting"):
        split_puzzles("all", str(path))


def test_options_and_pickles(task: ArcTask):
    for option in ({"subset": "hard"}, {"reward": "grids"}):
        with pytest.raises(InvalidInputError, match="must be one of"):
            build_task("arc", option)
    again = pickle.loads(pickle.dumps(task))
    assert again.ids("test") == task.ids("test")
    assert np.array_equal(find_puzzle("007bbfb7").inputs[0], find_puzzle("007bbfb7").inputs[0])
