"""The operations on ARC grids that programs are made of; none takes an argument.

Colours are named by their part in the demonstrations or in the grid, never by number: "new" is
the colour that gains most cells from the inputs to the outputs shown, "lost" the one that loses
most (neither is the background, 0); the others are the most common and the rarest of the grid.
An object is cells of any colour but 0 that touch along edges or at corners, a patch is cells of
one colour that touch along edges. A cell is filled if it isn't 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from pkpo.tasks.arc import cells

Grid = np.ndarray
_Change = Callable[[Grid], Grid | None]
_Measure = Callable[[list[Grid]], list[float]]
"""A number for each of several objects or parts."""


class Roles(NamedTuple):
    """Colours by their part in the demonstrations; None where no colour has it."""

    new: int | None
    lost: int | None


class Operation(NamedTuple):
    """What an operation does to a grid, in words and as a function: None where it can't."""

    words: str
    function: Callable[[Grid, Roles], Grid | None]


def _plain(words: str, function: _Change) -> Operation:
    return Operation(words, lambda grid, _: function(grid))


def _painted(words: str, mask_of: Callable[[Grid], np.ndarray]) -> Operation:
    """The cells of a mask become new."""
    return Operation(f"{words} become new", lambda g, roles: cells.where(mask_of(g), roles.new, g))


def _each(measure: Callable[[Grid], float], sign: int = 1) -> _Measure:
    return lambda parts: [sign * measure(part) for part in parts]


_SIZE, _HOLES, _SYMMETRY = _each(cells.size), _each(cells.num_holes), _each(cells.symmetry)


def _turned_around(grid: Grid) -> Grid | None:
    if len(grid) != grid.shape[1]:
        return None
    return np.block([[grid, np.rot90(grid, 3)], [np.rot90(grid), np.rot90(grid, 2)]])


def _palette(grid: Grid) -> Grid | None:
    found = cells.counts(grid)[1:]
    order = [colour + 1 for colour in np.argsort(-found, kind="stable") if found[colour]]
    return np.array(order, dtype=np.uint8)[:, None] if order else None


def _bars(grid: Grid) -> Grid | None:
    palette = _palette(grid)
    if palette is None:
        return None
    number = cells.counts(grid)[palette[:, 0]]
    return np.where(np.arange(number.max())[:, None] < number, palette.T, 0)


def _one(
    values: _Measure, then: Callable[[Grid, np.ndarray], Grid], *, one_colour: bool
) -> _Change:
    """What `then` makes of the grid and the mask of the one object of the greatest value."""

    def apply(grid: Grid) -> Grid | None:
        found = cells.objects(grid, one_colour=one_colour)
        chosen = cells.extreme(found.values(values)) if found.boxes else None
        return None if chosen is None else then(grid, found.labels == chosen + 1)

    return apply


def _alone(grid: Grid, mask: np.ndarray) -> Grid:
    return _box(np.where(mask, grid, 0), mask)


def _box(grid: Grid, mask: np.ndarray) -> Grid:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _those(test: _Measure, grid: Grid, *, one_colour: bool) -> np.ndarray:
    """The mask of the objects for which the test isn't 0."""
    found = cells.objects(grid, one_colour=one_colour)
    return (np.array([0.0, *found.values(test)]) > 0)[found.labels]


_SINGLE = _each(lambda part: float(part.size == 1))


def _labelled(numbers_of: _Measure, *, one_colour: bool) -> _Change:
    """Every object in the colour of its number, at most 9."""

    def apply(grid: Grid) -> Grid | None:
        found = cells.objects(grid, one_colour=one_colour)
        numbers = np.array([0, *found.values(numbers_of)])
        return np.minimum(numbers, 9)[found.labels] if found.boxes else None

    return apply


def _ranks(parts: list[Grid]) -> list[float]:
    """1 for the parts of most cells, 2 for the next and so on."""
    sizes = _SIZE(parts)
    order = sorted(set(sizes), reverse=True)
    return [1.0 + order.index(size) for size in sizes]


def _boxed(grid: Grid) -> np.ndarray:
    """Blank cells in the boxes of objects."""
    found = cells.objects(grid, one_colour=False)
    mask = np.zeros(grid.shape, dtype=bool)
    for box in found.boxes:
        mask[box] = True
    return mask & (grid == 0)


def _row_of_patches(grid: Grid) -> Grid | None:
    number, colour = len(cells.objects(grid, one_colour=True).boxes), cells.commonest(grid)
    return None if colour is None else np.full((1, number), colour)


def _outermost(grid: Grid) -> np.ndarray:
    mask = np.ones(grid.shape, dtype=bool)
    mask[1:-1, 1:-1] = False
    return mask


def _of_parts(function: Callable[[list[Grid]], Grid | None]) -> _Change:
    def apply(grid: Grid) -> Grid | None:
        found = cells.parts(grid)
        return function(found) if found else None

    return apply


def _combined(rule: Callable[[np.ndarray], np.ndarray]) -> _Change:
    """Filled where `rule` holds of the share of the parts that are: with a colour of theirs, or
    with their most common one where all are blank."""

    def combine(found: list[Grid]) -> Grid:
        stack = np.stack(found)
        kept = rule((stack != 0).mean(axis=0))
        return np.where(kept, np.maximum(stack.max(axis=0), cells.commonest(stack) or 0), 0)

    return _of_parts(combine)


def _laid(found: list[Grid]) -> Grid:
    made = np.zeros_like(found[0])
    for part in found[::-1]:
        made = np.where(part != 0, part, made)
    return made


def _map(value: Callable[[Grid], int]) -> _Change:
    """One cell for each part."""

    def apply(grid: Grid) -> Grid | None:
        found, rows = cells.parts(grid), cells.part_rows(grid)
        if not found or len(found) % rows:
            return None
        return np.array([value(part) for part in found]).reshape(rows, -1)

    return apply


OPERATIONS: Mapping[str, Operation] = {
    "flip_h": _plain("mirror left to right", lambda g: g[:, ::-1]),
    "flip_v": _plain("mirror top to bottom", lambda g: g[::-1]),
    "rot90": _plain("turn a quarter counterclockwise", np.rot90),
    "rot180": _plain("turn by half", lambda g: g[::-1, ::-1]),
    "transpose": _plain("swap rows and columns", lambda g: g.T),
    "shift_down": _plain("move rows down; the last becomes the first", lambda g: np.roll(g, 1, 0)),
    "fall_down": _plain("filled cells fall to the bottom", cells.fallen),
    "fall_right": _plain("filled cells slide to the right", cells.turned(cells.fallen, 3)),
    "fall_up": _plain("filled cells rise to the top", cells.turned(cells.fallen, 2)),
    "sort_rows": _plain(
        "rows in the order of their filled cells, fewest first",
        lambda g: g[np.argsort((g != 0).sum(axis=1), kind="stable")],
    ),
    "scale_2": _plain("every cell becomes 2 x 2", lambda g: cells.enlarged(g, 2, 2)),
    "scale_3": _plain("every cell becomes 3 x 3", lambda g: cells.enlarged(g, 3, 3)),
    "scale_colours": _plain(
        "every cell becomes n x n, for n colours besides 0",
        lambda g: cells.enlarged(g, n := int(cells.num_colours(g)), n),
    ),
    "heighten_2": _plain("every cell becomes two high", lambda g: cells.enlarged(g, 2, 1)),
    "dedupe": _plain("drop lines equal to the one before", cells.without_repeated_lines),
    "drop_blank": _plain(
        "drop rows and columns that are all 0", lambda g: g[(g != 0).any(1)][:, (g != 0).any(0)]
    ),
    "repeat_right": _plain("the grid beside itself", lambda g: np.hstack([g, g])),
    "mirror_right": _plain(
        "the grid beside its mirror image", lambda g: np.hstack([g, g[:, ::-1]])
    ),
    "mirror_down": _plain("the grid above its mirror image", lambda g: np.vstack([g, g[::-1]])),
    "turn_around": _plain("the grid and its quarter turns, clockwise in a square", _turned_around),
    "tile_filled": _plain("a copy for each filled cell", lambda g: cells.tiled_by(g != 0, g)),
    "tile_common": _plain(
        "a copy of the grid for each cell of its most common colour",
        lambda g: cells.tiled_by(g == cells.commonest(g), g),
    ),
    "tile_rare": _plain(
        "a copy of the grid for each cell of its rarest colour",
        lambda g: cells.tiled_by(g == cells.rarest(g), g),
    ),
    "inner": _plain("drop the outermost rows and columns", lambda g: g[1:-1, 1:-1]),
    "top_third": _plain("the upper third", lambda g: g[: len(g) // 3]),
    "left_third": _plain("the left third", lambda g: g[:, : g.shape[1] // 3]),
    "square": _plain(
        "the largest square at the upper left", lambda g: g[:, : len(g)][: g.shape[1]]
    ),
    "alternate": _plain("every other row and column", lambda g: g[::2, ::2]),
    "paint_new": _painted("filled cells", lambda g: g != 0),
    "paint_common": _plain(
        "filled cells get the most common colour",
        lambda g: cells.where(g != 0, cells.commonest(g), g),
    ),
    "blank_to_common": _plain(
        "0 becomes the most common colour", lambda g: cells.where(g == 0, cells.commonest(g), g)
    ),
    "lost_to_new": Operation(
        "lost becomes new",
        lambda g, roles: None if roles.lost is None else cells.where(g == roles.lost, roles.new, g),
    ),
    "drop_lost": Operation(
        "lost becomes 0",
        lambda g, roles: None if roles.lost is None else cells.where(g == roles.lost, 0, g),
    ),
    "keep_common": _plain(
        "all but the most common colour becomes 0",
        lambda g: cells.where(g != cells.commonest(g), 0, g),
    ),
    "keep_rare": _plain(
        "all but the rarest colour becomes 0", lambda g: cells.where(g != cells.rarest(g), 0, g)
    ),
    "swap_blank": _plain(
        "swap 0 and the most common colour", lambda g: cells.swapped(g, 0, cells.commonest(g))
    ),
    "swap_ends": _plain(
        "swap the most common and the rarest colour",
        lambda g: cells.swapped(g, cells.commonest(g), cells.rarest(g)),
    ),
    "to_one_cell": _plain(
        "one cell of the most common colour", lambda g: np.full((1, 1), cells.commonest(g) or 0)
    ),
    "palette": _plain("a column of the colours, the most common first", _palette),
    "bars": _plain("for each colour a column of its cells, the most common first", _bars),
    "enclosed_new": _painted("blank cells that are enclosed", cells.enclosed),
    "outline_new": _painted("blank cells around objects", lambda g: (g == 0) & cells.neighbours(g)),
    "inside_new": _painted("cells whose neighbours are all filled", cells.inside),
    "hollow": _plain(
        "cells whose neighbours are all filled become 0", lambda g: np.where(cells.inside(g), 0, g)
    ),
    "frame_new": _painted("the outermost cells", _outermost),
    "boxes_new": _painted("blank cells in objects' boxes", _boxed),
    "blank_lines_new": _painted(
        "rows and columns that are all 0",
        lambda g: (g == 0).all(axis=1)[:, None] | (g == 0).all(axis=0),
    ),
    "full_rows_new": _painted(
        "rows of one colour",
        lambda g: np.broadcast_to((g == g[:, :1]).all(axis=1)[:, None], g.shape),
    ),
    "alternate_columns_new": _painted(
        "filled cells of every other column", lambda g: (g != 0) & (np.arange(g.shape[1]) % 2 == 1)
    ),
    "join_h": _plain(
        "blanks between two cells of one colour in a row get it", lambda g: cells.joined(g.T).T
    ),
    "join_h_new": _painted(
        "blanks between two cells of one colour in a row",
        lambda g: (g == 0) & (cells.joined(g.T).T != 0),
    ),
    "ray_down": _plain("filled cells go on downwards", cells.rays),
    "ray_down_right": _plain("filled cells go on to the lower right", cells.diagonal_rays),
    "symmetric_h": _plain(
        "fill 0 from the image left to right", lambda g: cells.over(g, g[:, ::-1])
    ),
    "symmetric_v": _plain("fill 0 from the image top to bottom", lambda g: cells.over(g, g[::-1])),
    "symmetric_d": _plain("fill 0 from the image in the diagonal", lambda g: cells.over(g, g.T)),
    "continue": _plain("fill 0 by the smallest tile that fits", cells.continued),
    "crop_largest_patch": _plain("the patch of most cells", _one(_SIZE, _alone, one_colour=True)),
    "crop_smallest_patch": _plain(
        "the patch of fewest cells", _one(_each(cells.size, -1), _alone, one_colour=True)
    ),
    "crop_holed_patch": _plain("the patch of most holes", _one(_HOLES, _alone, one_colour=True)),
    "crop_box_largest_patch": _plain(
        "the box of the patch of most cells", _one(_SIZE, _box, one_colour=True)
    ),
    "crop_box_odd_patch": _plain(
        "the box of the patch whose shape no other has", _one(cells.shapes, _box, one_colour=True)
    ),
    "crop_odd_object": _plain(
        "the object whose shape no other has", _one(cells.shapes, _alone, one_colour=False)
    ),
    "crop_colourful_object": _plain(
        "the object of most colours", _one(_each(cells.num_colours), _alone, one_colour=False)
    ),
    "crop_symmetric_object": _plain(
        "the object that alone is symmetric", _one(_SYMMETRY, _alone, one_colour=False)
    ),
    "crop_lopsided_object": _plain(
        "the object that alone isn't symmetric",
        _one(_each(cells.symmetry, -1), _alone, one_colour=False),
    ),
    "paint_single_patches": _painted(
        "patches of one cell", partial(_those, _SINGLE, one_colour=True)
    ),
    "drop_single_objects": _plain(
        "objects of one cell become 0",
        lambda g: np.where(_those(_SINGLE, g, one_colour=False), 0, g),
    ),
    "paint_holed_objects": _painted(
        "objects with holes", partial(_those, _HOLES, one_colour=False)
    ),
    "label_size_patch": _plain(
        "every patch in the colour of its number of cells", _labelled(_SIZE, one_colour=True)
    ),
    "label_size_rank_object": _plain(
        "every object in the colour of its rank by cells, the most first",
        _labelled(_ranks, one_colour=False),
    ),
    "label_holes_object": _plain(
        "every object in the colour of its number of holes and one",
        _labelled(_each(lambda part: 1 + cells.num_holes(part)), one_colour=False),
    ),
    "count_patches": _plain("a row of as many cells as patches", _row_of_patches),
    "parts_none": _plain("cells that are filled in no part", _combined(lambda share: share == 0)),
    "parts_some": _plain(
        "cells that are filled in some but not all parts",
        _combined(lambda share: (share > 0) & (share < 1)),
    ),
    "parts_first_top": _plain("the parts on each other, the first on top", _of_parts(_laid)),
    "part_last": _plain("the last part", _of_parts(lambda found: found[-1])),
    "parts_map": _plain(
        "one cell a part, of its most common colour", _map(lambda part: cells.commonest(part) or 0)
    ),
    "parts_count_map": _plain(
        "one cell a part, in the colour of its number of filled cells",
        _map(lambda part: min(9, int(cells.size(part)))),
    ),
}
"""By name."""
