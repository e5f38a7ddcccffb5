"""Small languages of grid programs: what each operation does to a grid.

Grids are uint8 arrays (..., size, size); 0 is the background, 1..colours-1 are colours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Operation = Callable[[np.ndarray], np.ndarray]


def _recoloured(*cycle: int) -> Operation:
    """Each colour of the cycle becomes the next one; the rest stay."""

    def apply(grids: np.ndarray) -> np.ndarray:
        table = np.arange(256, dtype=np.uint8)
        table[list(cycle)] = np.roll(cycle, -1)
        return table[grids]

    return apply


def _painted(before: int, after: int) -> Operation:
    """Cells of one colour take another."""

    def apply(grids: np.ndarray) -> np.ndarray:
        return np.where(grids == before, np.uint8(after), grids)

    return apply


def _fall(grids: np.ndarray) -> np.ndarray:
    """Coloured cells fall to the bottom of their column, in order."""
    order = np.argsort(grids != 0, axis=-2, kind="stable")
    return np.take_along_axis(grids, order, axis=-2)


def _turned(grids: np.ndarray, quarter_turns: int) -> np.ndarray:
    return np.rot90(grids, quarter_turns, axes=(-2, -1))


OPERATIONS: dict[str, Operation] = {
    "rot90": lambda g: _turned(g, 1),
    "rot180": lambda g: _turned(g, 2),
    "rot270": lambda g: _turned(g, 3),
    "flip_h": lambda g: g[..., ::-1],
    "flip_v": lambda g: g[..., ::-1, :],
    "transpose": lambda g: np.swapaxes(g, -2, -1),
    "shift_left": lambda g: np.roll(g, -1, axis=-1),
    "shift_right": lambda g: np.roll(g, 1, axis=-1),
    "shift_up": lambda g: np.roll(g, -1, axis=-2),
    "shift_down": lambda g: np.roll(g, 1, axis=-2),
    "fall_down": _fall,
    "fall_left": lambda g: _turned(_fall(_turned(g, 1)), 3),
    "swap_1_2": _recoloured(1, 2),
    "swap_1_3": _recoloured(1, 3),
    "invert_1": _recoloured(0, 1),
    "cycle": _recoloured(1, 2, 3),
}
"""Name -> function; the order gives the operations their numbers."""

DESCRIPTIONS = {
    "rot90": "turn the grid a quarter counterclockwise",
    "rot180": "turn it by half",
    "rot270": "turn it a quarter clockwise",
    "flip_h": "mirror it left to right",
    "flip_v": "mirror it top to bottom",
    "transpose": "swap rows and columns",
    "shift_left": "move every column one to the left; the first becomes the last",
    "shift_right": "move every column one to the right; the last becomes the first",
    "shift_up": "move every row one up; the first becomes the last",
    "shift_down": "move every row one down; the last becomes the first",
    "fall_down": "in each column, cells that aren't 0 fall to the bottom in their order",
    "fall_left": "in each row, cells that aren't 0 slide to the left in their order",
    "swap_1_2": "swap 1 and 2",
    "swap_1_3": "swap 1 and 3",
    "invert_1": "swap 0 and 1",
    "cycle": "1 becomes 2, 2 becomes 3, 3 becomes 1",
}
"""Name -> what the operation does, in words."""


@dataclass(frozen=True, eq=False)
class Language:
    """The operations that programs are made of.

    Args:
        operations: name -> function on grids (..., size, size); the order numbers them.
        descriptions: name -> what the operation does, in words.
        colours: how many values a cell has.
    """

    operations: Mapping[str, Operation]
    descriptions: Mapping[str, str]
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
        for step in range(programs_NL.shape[1]):
            for number, operation in enumerate(self.operations.values()):
                rows = np.flatnonzero(programs_NL[:, step] == number)
                if len(rows):
                    grids[rows] = operation(grids[rows])
        return grids

    def successors(self, grids: np.ndarray) -> np.ndarray:
        """Every operation applied to every grid: (N, ...) -> (N, number of operations, ...)."""
        return np.stack([operation(grids) for operation in self.operations.values()], axis=1)

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


_PAINTS = tuple(itertools.permutations(range(6), 2))

MOVES = Language(OPERATIONS, DESCRIPTIONS, colours=4)
"""The 16 operations, on 4 colours."""

PAINTING = Language(
    OPERATIONS | {f"paint_{a}_{b}": _painted(a, b) for a, b in _PAINTS},
    DESCRIPTIONS | {f"paint_{a}_{b}": f"{a} becomes {b}" for a, b in _PAINTS},
    colours=6,
)
"""Those and one for each pair of 6 colours: 46 operations, 4.5 million programs of four."""

LANGUAGES: Mapping[str, Language] = {"moves": MOVES, "painting": PAINTING}
