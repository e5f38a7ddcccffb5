"""Small languages of grid programs: what each operation does to a grid, in words and in code.

Grids are uint8 arrays (..., size, size); 0 is the background, 1..colours-1 are colours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Operation(NamedTuple):
    """What an operation does to grids, in words and as a function."""

    words: str
    function: Callable[[np.ndarray], np.ndarray]

    def __call__(self, grids: np.ndarray) -> np.ndarray:
        return self.function(grids)


def _recoloured(words: str, changes: Mapping[int, int]) -> Operation:
    table = np.arange(256, dtype=np.uint8)
    table[list(changes)] = list(changes.values())
    return Operation(words, lambda grids: table[grids])


def _turned(grids: np.ndarray, quarter_turns: int) -> np.ndarray:
    return np.rot90(grids, quarter_turns, axes=(-2, -1))


def _fallen(grids: np.ndarray) -> np.ndarray:
    order = np.argsort(grids != 0, axis=-2, kind="stable")
    return np.take_along_axis(grids, order, axis=-2)


@dataclass(frozen=True, eq=False)
class Language:
    """The operations that programs are made of.

    Args:
        operations: by name; the order gives them their numbers.
        colours: how many values a cell has.
    """

    operations: Mapping[str, Operation]
    colours: int

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.operations)

    def run(self, grids_NHW: np.ndarray, programs_NL: np.ndarray) -> np.ndarray:
        """Apply to each grid its own program.

        Args:
            grids_NHW: uint8 (N, ..., size, size).
            programs_NL: integer (N, L) operation numbers, -1 where the program has ended.

        Returns:
            uint8, the shape of `grids_NHW`.

        Cost: L passes over the operations, O(N L) cells.
        """
        grids = grids_NHW.copy()
        for number_N in programs_NL.T:
            for number, operation in enumerate(self.operations.values()):
                rows = np.flatnonzero(number_N == number)
                if len(rows):
                    grids[rows] = operation(grids[rows])
        return grids

    def successors(self, grids: np.ndarray) -> np.ndarray:
        """Every operation applied to every grid: (N, ...) -> (N, number of operations, ...)."""
        return np.stack([each(grids) for each in self.operations.values()], axis=1)

    def needs_at_least(self, grids: np.ndarray, target: np.ndarray, num_operations: int) -> bool:
        """Whether no program of fewer operations turns `grids` into `target`.

        Args:
            grids: uint8, of any shape (..., size, size).
            target: the same shape.
            num_operations: at least 1.

        Cost: every operation on each of the different grids that `num_operations` - 2
        operations reach.
        """
        states = grids[None]
        for done in range(num_operations):
            if (states == target).reshape(len(states), -1).all(axis=1).any():
                return False
            if done + 1 < num_operations:
                states = self.successors(states).reshape(-1, *grids.shape)
            if done + 2 < num_operations:
                states = _different(states)
        return True


def _different(grids: np.ndarray) -> np.ndarray:
    """Each of the grids once."""
    rows = np.ascontiguousarray(grids.reshape(len(grids), -1))
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    return grids[np.unique(keys, return_index=True)[1]]


MOVES = Language(
    {
        "rot90": Operation("turn the grid a quarter counterclockwise", lambda g: _turned(g, 1)),
        "rot180": Operation("turn it by half", lambda g: _turned(g, 2)),
        "rot270": Operation("turn it a quarter clockwise", lambda g: _turned(g, 3)),
        "flip_h": Operation("mirror it left to right", lambda g: g[..., ::-1]),
        "flip_v": Operation("mirror it top to bottom", lambda g: g[..., ::-1, :]),
        "transpose": Operation("swap rows and columns", lambda g: np.swapaxes(g, -2, -1)),
        "shift_left": Operation(
            "move every column one to the left; the first becomes the last",
            lambda g: np.roll(g, -1, axis=-1),
        ),
        "shift_right": Operation(
            "move every column one to the right; the last becomes the first",
            lambda g: np.roll(g, 1, axis=-1),
        ),
        "shift_up": Operation(
            "move every row one up; the first becomes the last", lambda g: np.roll(g, -1, axis=-2)
        ),
        "shift_down": Operation(
            "move every row one down; the last becomes the first", lambda g: np.roll(g, 1, axis=-2)
        ),
        "fall_down": Operation(
            "in each column, cells that aren't 0 fall to the bottom in their order", _fallen
        ),
        "fall_left": Operation(
            "in each row, cells that aren't 0 slide to the left in their order",
            lambda g: _turned(_fallen(_turned(g, 1)), 3),
        ),
        "swap_1_2": _recoloured("swap 1 and 2", {1: 2, 2: 1}),
        "swap_1_3": _recoloured("swap 1 and 3", {1: 3, 3: 1}),
        "invert_1": _recoloured("swap 0 and 1", {0: 1, 1: 0}),
        "cycle": _recoloured("1 becomes 2, 2 becomes 3, 3 becomes 1", {1: 2, 2: 3, 3: 1}),
    },
    colours=4,
)
"""16 operations on 4 colours."""

PAINTING = Language(
    {
        **MOVES.operations,
        **{
            f"paint_{before}_{after}": _recoloured(f"{before} becomes {after}", {before: after})
            for before, after in itertools.permutations(range(6), 2)
        },
    },
    colours=6,
)
"""Those and one for each pair of 6 colours: 46 operations, 4.5 million programs of four."""

LANGUAGES: Mapping[str, Language] = {"moves": MOVES, "painting": PAINTING}
