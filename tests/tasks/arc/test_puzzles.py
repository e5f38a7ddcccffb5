"""The tasks of ARC-AGI-1: what is read, what is refused, and how they are split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.arc.grids import ArcTask
from pkpo.tasks.arc.puzzles import (
    EASY_SIDE,
    find_puzzle,
    held_out,
    read_puzzles,
    split_puzzles,
)

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


def test_the_benchmark_has_800_tasks():
    assert [len(each) for each in read_puzzles()] == [400, 400]
    puzzle = find_puzzle("007bbfb7")
    assert (len(puzzle.outputs), len(puzzle.inputs), len(puzzle.answers)) == (5, 6, 1)
    assert puzzle.pairs[0][1].shape == (9, 9)
    with pytest.raises(InvalidInputError, match="ARC-AGI-1 has no task 'nothing'"):
        find_puzzle("nothing")


def test_splits_are_apart_and_easy_tasks_are_small():
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


def test_a_task_of_two_tests_is_two_problems(tmp_path: Path):
    task = ArcTask(path=folder(tmp_path, ab=TURNED))
    names = {name for split in task.splits for name in task.ids(split)}
    assert names == {"aa-1", "aa-2", "ab", "zz"}


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
