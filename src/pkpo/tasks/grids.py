"""A small language of grid programs: what each operation does to a grid.

Grids are uint8 arrays (..., size, size); 0 is the background, 1..colours-1 are colours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Operation = Callable[[np.ndarray], np.ndarray]


def _recoloured(*cycle: int) -> Operation:
    """Each colour of the cycle becomes the next one; the rest stay."""

    def apply(grids: np.ndarray) -> np.ndarray:
        table = np.arange(256, dtype=np.uint8)
        table[list(cycle)] = np.roll(cycle, -1)
        return table[grids]

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

NAMES = tuple(OPERATIONS)

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


def run_programs(grids_NHW: np.ndarray, programs_NL: np.ndarray) -> np.ndarray:
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
        for number, name in enumerate(NAMES):
            rows = np.flatnonzero(programs_NL[:, step] == number)
            if len(rows):
                grids[rows] = OPERATIONS[name](grids[rows])
    return grids


def successors(grids: np.ndarray) -> np.ndarray:
    """Every operation applied to every grid: (N, ...) -> (N, number of operations, ...)."""
    return np.stack([operation(grids) for operation in OPERATIONS.values()], axis=1)


def distinct_successors(grids: np.ndarray) -> np.ndarray:
    """The different ones among `successors(grids)`, (N', ...) in no particular order."""
    after = successors(grids).reshape(-1, *grids.shape[1:])
    rows = np.ascontiguousarray(after.reshape(len(after), -1))
    keys = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    return after[np.unique(keys, return_index=True)[1]]


def needs_at_least(grids: np.ndarray, target: np.ndarray, num_operations: int) -> bool:
    """Whether no program of fewer operations turns `grids` into `target`.

    Args:
        grids: uint8, of any shape (..., size, size).
        target: the same shape.

    Cost: the different grids that `num_operations` - 2 operations reach, times 16.
    """
    states = grids[None]
    for done in range(num_operations):
        if (states == target).reshape(len(states), -1).all(axis=1).any():
            return False
        if done + 2 < num_operations:
            states = distinct_successors(states)
        elif done + 1 < num_operations:
            states = successors(states).reshape(-1, *grids.shape)
    return True
