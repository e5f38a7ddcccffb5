"""What the operations on ARC grids are made of: functions of one grid, of any shape.

Grids are uint8 arrays (rows, columns) of colours 0..9, at most 30 x 30; 0 is the background.
A function gives None where it has nothing to work on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from types import ModuleType

import numpy as np

from pkpo.errors import needing

LARGEST, COLOURS = 30, 10
_SQUARE = np.ones((3, 3), dtype=bool)
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


@cache
def _ndimage() -> ModuleType:
    """Imported when it is first used: it is slow to import."""
    with needing("ARC-AGI-1 by programs", "arc", "scipy"):
        from scipy import ndimage
    return ndimage


def counts(grid: np.ndarray) -> np.ndarray:
    """How many cells each of the ten colours has."""
    return np.bincount(grid.ravel(), minlength=COLOURS)


def commonest(grid: np.ndarray) -> int | None:
    """The colour that most cells have, the background aside; None for an empty grid."""
    found = counts(grid)[1:]
    return int(found.argmax()) + 1 if found.any() else None


def rarest(grid: np.ndarray) -> int | None:
    """The colour that fewest cells have of those that occur, the background aside."""
    found = counts(grid)[1:]
    return int(np.where(found, found, found.max() + 1).argmin()) + 1 if found.any() else None


def swapped(grid: np.ndarray, one: int | None, other: int | None) -> np.ndarray | None:
    """The grid with two colours exchanged."""
    if one is None or other is None:
        return None
    table = np.arange(COLOURS, dtype=np.uint8)
    table[[one, other]] = other, one
    return table[grid]


def where(mask: np.ndarray, colour: int | None, grid: np.ndarray) -> np.ndarray | None:
    """The grid with the cells of `mask` in `colour`."""
    return None if colour is None else np.where(mask, np.uint8(colour), grid)


def over(top: np.ndarray, bottom: np.ndarray) -> np.ndarray | None:
    """`top` laid on `bottom`; its background lets that through."""
    return np.where(top != 0, top, bottom) if top.shape == bottom.shape else None


def enlarged(grid: np.ndarray, rows: int, columns: int) -> np.ndarray | None:
    """Every cell as a block; None where that is no change or too large."""
    if rows * columns <= 1 or max(len(grid) * rows, grid.shape[1] * columns) > LARGEST:
        return None
    return grid.repeat(rows, axis=0).repeat(columns, axis=1)


def tiled_by(mask: np.ndarray, grid: np.ndarray) -> np.ndarray | None:
    """A copy of the grid for each cell of `mask`, blank grids for the others."""
    rows, columns = mask.shape[0] * grid.shape[0], mask.shape[1] * grid.shape[1]
    return np.kron(mask, grid).astype(np.uint8) if max(rows, columns) <= LARGEST else None


def fallen(grid: np.ndarray) -> np.ndarray:
    """In each column the cells that aren't 0 at the bottom, in their order."""
    order = np.argsort(grid != 0, axis=0, kind="stable")
    return np.take_along_axis(grid, order, axis=0)


def turned(function: Callable[[np.ndarray], np.ndarray | None], quarters: int):
    """`function` on the grid turned, and what it gives turned back."""

    def apply(grid: np.ndarray) -> np.ndarray | None:
        found = function(np.rot90(grid, quarters))
        return None if found is None else np.rot90(found, -quarters)

    return apply


def without_repeated_lines(grid: np.ndarray) -> np.ndarray:
    """The grid without rows and columns that are equal to the one before."""
    for _ in range(2):
        new = np.ones(len(grid), dtype=bool)
        new[1:] = (grid[1:] != grid[:-1]).any(axis=1)
        grid = grid[new].T
    return grid


def rays(grid: np.ndarray) -> np.ndarray:
    """Every cell that isn't 0 goes on downwards through the background."""
    rows = np.where(grid != 0, np.arange(len(grid))[:, None], 0)
    return np.take_along_axis(grid, np.maximum.accumulate(rows, axis=0), axis=0)


def diagonal_rays(grid: np.ndarray) -> np.ndarray:
    """Every cell that isn't 0 goes on to the right and downwards through the background."""
    grid = grid.copy()
    for row in range(1, len(grid)):
        below = grid[row, 1:]
        grid[row, 1:] = np.where(below != 0, below, grid[row - 1, :-1])
    return grid


def joined(grid: np.ndarray) -> np.ndarray:
    """In each column the background between two cells of one colour in that colour."""
    above, below = rays(grid), rays(grid[::-1])[::-1]
    return np.where(above == below, above, grid)


def continued(grid: np.ndarray) -> np.ndarray | None:
    """The background filled by the smallest tile that repeated has all cells that aren't 0."""
    rows, columns = grid.shape
    if grid.all() or np.count_nonzero(grid) * 3 < grid.size:
        return None
    for height, width in sorted(
        ((h, w) for h in range(1, rows + 1) for w in range(1, columns + 1)), key=np.prod
    ):
        if height * width * 2 > rows * columns:
            break
        padded = np.zeros((-(-rows // height) * height, -(-columns // width) * width), np.uint8)
        padded[:rows, :columns] = grid
        blocks = padded.reshape(padded.shape[0] // height, height, -1, width)
        tile = blocks.max(axis=(0, 2))
        if tile.all() and ((blocks == 0) | (blocks == tile[None, :, None])).all():
            shape = (padded.shape[0] // height, padded.shape[1] // width)
            return np.tile(tile, shape)[:rows, :columns]
    return None


def neighbours(grid: np.ndarray) -> np.ndarray:
    """Where a cell or one of its 8 neighbours isn't 0."""
    return _ndimage().binary_dilation(grid != 0, _SQUARE)


def inside(grid: np.ndarray) -> np.ndarray:
    """Where a cell and its 8 neighbours, the border of the grid among them, aren't 0."""
    return _ndimage().binary_erosion(grid != 0, _SQUARE)


def enclosed(grid: np.ndarray) -> np.ndarray:
    """Where the background has no way to the border, up, down, left or right."""
    labels, _ = _components(np.pad(grid == 0, 1, constant_values=True), _CROSS)
    return labels[1:-1, 1:-1] > 1


def _components(mask: np.ndarray, neighbourhood: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected cells, labelled from 1 on, and how many groups there are."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    return labels, int(np.asarray(_ndimage().label(mask, neighbourhood, output=labels)))


class Objects:
    """Connected cells.

    Args:
        grid: where they are.
        labels: of each cell, 0 for the background and 1.. for objects.
    """

    def __init__(self, grid: np.ndarray, labels: np.ndarray) -> None:
        self.labels = labels
        self.boxes = _ndimage().find_objects(labels)
        self.masks = [labels[box] == i for i, box in enumerate(self.boxes, start=1)]
        self.parts = [np.where(mask, grid[box], 0) for mask, box in zip(self.masks, self.boxes)]
        self._values: dict[object, list[float]] = {}

    def values(self, measure: Callable[[list[np.ndarray]], list[float]]) -> list[float]:
        """`measure` of the objects, each alone in its box; computed once."""
        if measure not in self._values:
            self._values[measure] = measure(self.parts)
        return self._values[measure]


@lru_cache(maxsize=4096)
def _objects(cells: bytes, rows: int, one_colour: bool) -> Objects:
    grid = np.frombuffer(cells, dtype=np.uint8).reshape(rows, -1)
    if not one_colour:
        return Objects(grid, _components(grid, _SQUARE)[0])
    labels, number = np.zeros(grid.shape, dtype=np.int32), 0
    for colour in np.flatnonzero(counts(grid)[1:]) + 1:
        found, more = _components(grid == colour, _CROSS)
        labels += np.where(found, found + number, 0)
        number += more
    return Objects(grid, labels)


def objects(grid: np.ndarray, *, one_colour: bool) -> Objects:
    """The objects of a grid: cells of one colour that touch along edges, or cells of any colour
    but 0 that touch along edges or at corners."""
    return _objects(grid.tobytes(), len(grid), one_colour)


def extreme(values: list[float]) -> int | None:
    """Where the greatest of the values is, if there is one alone."""
    top = max(values, default=0.0)
    return values.index(top) if values.count(top) == 1 else None


def odd_one(parts: list[np.ndarray]) -> list[float]:
    """For each part minus how many of them are like it."""
    keys = [(part.shape, part.tobytes()) for part in parts]
    return [-float(keys.count(key)) for key in keys]


def shapes(parts: list[np.ndarray]) -> list[float]:
    """`odd_one` of the parts' shapes, whatever their colours."""
    return odd_one([part != 0 for part in parts])


def size(part: np.ndarray) -> float:
    """Cells that aren't 0."""
    return float(np.count_nonzero(part))


def num_colours(part: np.ndarray) -> float:
    """Different colours, the background aside."""
    return float(np.count_nonzero(counts(part)[1:]))


def num_holes(part: np.ndarray) -> float:
    """Parts of the background that the part encloses."""
    if min(part.shape) < 3 or part.all():
        return 0.0
    blank = np.pad(part == 0, 1, constant_values=True)
    return float(_components(blank, _CROSS)[1] - 1)


def symmetry(part: np.ndarray) -> float:
    """1 for a part that is its own mirror image left to right or top to bottom."""
    same = np.array_equal(part, part[:, ::-1]) or np.array_equal(part, part[::-1])
    return float(same)


def parts(grid: np.ndarray) -> list[np.ndarray]:
    """The parts between lines of one colour across the whole grid; without such lines the squares
    it is made of along its longer side, or its left and right or upper and lower halves. All of
    one shape, else none."""
    rows, columns = _between_lines(grid)
    found = [grid[a:b, c:d] for a, b in rows for c, d in columns]
    if len(found) < 2:
        axis = int(grid.shape[0] <= grid.shape[1])
        long, short = grid.shape[axis], grid.shape[1 - axis]
        number = long // short if long % short == 0 and long > short else 2
        found = np.split(grid, number, axis=axis) if long % number == 0 else []
    return found if len({part.shape for part in found}) == 1 and len(found) > 1 else []


def part_rows(grid: np.ndarray) -> int:
    """How many rows of parts the lines make; 1 without lines."""
    return max(1, len(_between_lines(grid)[0]))


def _between_lines(grid: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The first and last rows, and columns, between the lines of the first colour that has some."""
    for colour in np.flatnonzero(counts(grid)[1:]) + 1:
        rows, columns = ((grid == colour).all(axis=axis) for axis in (1, 0))
        if (rows.any() or columns.any()) and not rows.all():
            return _runs(~rows), _runs(~columns)
    return [], []


def _runs(kept: np.ndarray) -> list[tuple[int, int]]:
    steps = np.flatnonzero(np.diff(np.r_[False, kept, False]))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist()))
