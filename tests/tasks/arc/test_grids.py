"""ARC-AGI-1 in text: how answers are read and judged."""

from __future__ import annotations

import pickle

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.arc.grids import ArcTask, grid_in
from pkpo.tasks.base import check_splits
from pkpo.tasks.registry import build_task


@pytest.fixture(scope="module")
def task() -> ArcTask:
    return ArcTask()


def test_splits_are_apart(task: ArcTask):
    check_splits(task)


def test_every_reference_is_right_and_a_changed_one_is_not(task: ArcTask):
    for split in task.splits:
        for problem in range(len(task.ids(split))):
            answer = task.reference(split, problem)
            assert task.judge(split, problem, answer).reward == 1
            digit = next(c for c in reversed(answer) if c.isdigit())
            wrong = str((int(digit) + 1) % 10).join(answer.rsplit(digit, 1))
            assert task.judge(split, problem, wrong).reward == 0


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


def test_options_and_pickles(task: ArcTask):
    for option in ({"subset": "hard"}, {"reward": "grids"}):
        with pytest.raises(InvalidInputError, match="must be one of"):
            build_task("arc", option)
    again = pickle.loads(pickle.dumps(task))
    assert again.ids("test") == task.ids("test")
