"""Which ARC-AGI-1 tasks have a short program: breadth first, with a beam after two operations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from pkpo.tasks.arc_language import OPERATIONS, RECOLOUR, Grid, Shown, recoloured, step

Grids = tuple[Grid, ...]
BEAM = (1, 10_000, 60, 40, 40)
"""How many of the states that a number of operations reach go on, the likest the outputs."""


def search(
    shown: Shown, names: Sequence[str] = tuple(OPERATIONS), beam: Sequence[int] = BEAM
) -> Iterator[tuple[str, ...]]:
    """Programs that make every demonstration's output, the shorter first, of at most as many
    operations as `beam` has numbers.

    States that are the same for all inputs go on once, by the first program that reached them.
    """
    seen = {_key(shown.inputs)}
    level: list[tuple[tuple[str, ...], Grids]] = [((), shown.inputs)]
    for width in beam:
        following: list[tuple[tuple[str, ...], Grids]] = []
        level.sort(key=lambda state: -likeness(state[1], shown.outputs))
        for program, grids in level[:width]:
            for name in names:
                made = step(name, grids, shown.outputs, shown.roles)
                if made is None or (key := _key(made)) in seen:
                    continue
                seen.add(key)
                following.append(((*program, name), made))
                if fits(made, shown):
                    yield (*program, name)
        for program, grids in level:
            if len(program) and (made := recoloured(grids, shown.outputs)) and fits(made, shown):
                if not fits(grids, shown):
                    yield (*program, RECOLOUR)
        level = following


def fits(grids: Grids, shown: Shown) -> bool:
    """Whether the grids of all demonstrations are their outputs."""
    return all(map(np.array_equal, grids, shown.outputs))


def likeness(grids: Grids, outputs: Grids) -> float:
    """The share of cells that are as in the outputs; below 0 where a shape is another."""
    total = 0.0
    for grid, output in zip(grids, outputs):
        if grid.shape == output.shape:
            total += float((grid == output).mean())
        else:
            total -= 0.1 * abs(math.log(grid.size / output.size)) + 0.2
    return total / len(outputs)


def _key(grids: Grids) -> bytes:
    return b"".join(bytes(grid.shape) + grid.tobytes() for grid in grids)
