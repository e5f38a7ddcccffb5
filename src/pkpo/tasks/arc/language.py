"""Programs on ARC grids: operations one after another, and what they are run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pkpo.tasks.arc import cells
from pkpo.tasks.arc.operations import OPERATIONS, Grid, Roles

RECOLOUR = "as_shown"
"""The one operation that is fitted to the demonstrations: see `recoloured`."""

NAMES: tuple[str, ...] = (*OPERATIONS, RECOLOUR)
"""Of all operations, in the order of their numbers."""


@dataclass(frozen=True)
class Shown:
    """A task's inputs, the demonstrations' first, and the outputs of the demonstrations.

    Args:
        inputs: of the demonstrations and then of the tests.
        outputs: of the demonstrations.
    """

    inputs: tuple[Grid, ...]
    outputs: tuple[Grid, ...]

    @property
    def pairs(self) -> list[tuple[Grid, Grid]]:
        """The demonstrations."""
        return list(zip(self.inputs, self.outputs))

    @cached_property
    def roles(self) -> Roles:
        """The colours that the demonstrations name; the smaller number of two alike."""
        gain = np.zeros(cells.COLOURS - 1, dtype=np.int64)
        for before, after in self.pairs:
            gain += cells.counts(after)[1:] - cells.counts(before)[1:]
        return Roles(
            int(gain.argmax()) + 1 if gain.max() > 0 else None,
            int(gain.argmin()) + 1 if gain.min() < 0 else None,
        )


def step(
    name: str, grids: Sequence[Grid], outputs: Sequence[Grid], roles: Roles
) -> tuple[Grid, ...] | None:
    """An operation applied to the grids of all inputs; None where it can't on one of them, or
    where it makes an empty or too large grid.

    Args:
        name: of the operation.
        grids: the demonstrations' first.
        outputs: of the demonstrations.
        roles: colours that they name.
    """
    if name == RECOLOUR:
        return recoloured(grids, outputs)
    function, made = OPERATIONS[name].function, []
    for grid in grids:
        found = function(grid, roles)
        if found is None or not found.size or max(found.shape) > cells.LARGEST:
            return None
        made.append(np.ascontiguousarray(found, dtype=np.uint8))
    return tuple(made)


def recoloured(grids: Sequence[Grid], outputs: Sequence[Grid]) -> tuple[Grid, ...] | None:
    """Every colour changed as the demonstrations show; None where no such change leads from the
    grids to all outputs. Colours that they don't show stay."""
    table = np.arange(cells.COLOURS, dtype=np.uint8)
    for grid, output in zip(grids, outputs):
        if grid.shape != output.shape:
            return None
        table[grid] = output
    made = tuple(table[grid] for grid in grids)
    return made if all(map(np.array_equal, made, outputs)) else None


def run(program: Sequence[str], shown: Shown) -> tuple[Grid, ...] | None:
    """What a program makes of every input; None where an operation can't be applied."""
    grids: tuple[Grid, ...] | None = shown.inputs
    for name in program:
        if grids is not None:
            grids = step(name, grids, shown.outputs, shown.roles)
    return grids
