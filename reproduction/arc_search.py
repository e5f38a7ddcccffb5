"""Which ARC-AGI-1 tasks have a short program, and which operations they need.

`python -m reproduction.arc_search` writes results/arc/programs.csv and operations.csv.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pkpo.tasks.arc.language import NAMES, RECOLOUR, Shown, recoloured, run, step
from pkpo.tasks.arc.operations import OPERATIONS, Grid
from pkpo.tasks.arc.puzzles import Puzzle, read_puzzles
from reproduction.results import write_text

Grids = tuple[Grid, ...]
Program = tuple[str, ...]
FOLDER = Path(__file__).parents[1] / "results" / "arc"
BEAM = (1, 16, 6, 4, 3)
"""How many of the states that 0, 1, ... operations reach go on: those likest the outputs."""
_MOST_PROGRAMS = 40


def search(shown: Shown, beam: Sequence[int] = BEAM) -> Iterator[Program]:
    """Programs that make every demonstration's output, the shorter first, of at most as many
    operations as `beam` has numbers.

    States that are the same for all inputs, those of the tests among them, go on once, by the
    first program that reached them.
    """
    seen = {_key(shown.inputs)}
    level: list[tuple[Program, Grids]] = [((), shown.inputs)]
    for width in beam:
        following: list[tuple[Program, Grids]] = []
        level.sort(key=lambda state: -likeness(state[1], shown.outputs))
        for program, grids in level[:width]:
            for name in OPERATIONS:
                made = step(name, grids, shown.outputs, shown.roles)
                if made is None or (key := _key(made)) in seen:
                    continue
                seen.add(key)
                following.append(((*program, name), made))
                if fits(made, shown):
                    yield (*program, name)
        for program, grids in level:
            if recoloured(grids, shown.outputs) and not fits(grids, shown):
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
            total -= 0.2 + 0.1 * abs(math.log(grid.size / output.size))
    return total / len(outputs)


def _key(grids: Grids) -> bytes:
    return b"".join(bytes(grid.shape) + grid.tobytes() for grid in grids)


def solves(program: Program, puzzle: Puzzle) -> bool:
    """Whether a program makes the outputs of the demonstrations and of the tests."""
    made = run(program, puzzle)
    return made is not None and all(map(np.array_equal, made, (*puzzle.outputs, *puzzle.answers)))


def shortest(puzzle: Puzzle) -> tuple[list[Program], Program | None]:
    """The shortest programs found that solve a task, and the first found that makes all outputs of
    its demonstrations and not those of its tests."""
    found: list[Program] = []
    wrong = None
    for number, program in enumerate(search(Shown(puzzle.inputs, puzzle.outputs))):
        if number >= _MOST_PROGRAMS or (found and len(program) > len(found[0])):
            break
        if solves(program, puzzle):
            found.append(program)
        else:
            wrong = wrong or program
    return found, wrong


def needed(solved: Mapping[str, Sequence[Program]]) -> dict[str, int]:
    """By operation, how many of the tasks have no program among those found without it."""
    return {
        name: sum(all(name in program for program in found) for found in solved.values())
        for name in NAMES
    }


def main() -> None:
    """Search all 800 tasks: some minutes on one core."""
    start = time.process_time()
    training, evaluation = read_puzzles()
    solved: dict[str, list[Program]] = {}
    rows = []
    for name, puzzles in (("training", training), ("evaluation", evaluation)):
        for number, puzzle in enumerate(puzzles, start=1):
            found, wrong = shortest(puzzle)
            if found:
                solved[puzzle.name] = found
            if program := found[0] if found else wrong:
                right = "yes" if found else "no"
                rows.append((puzzle.name, name, len(program), " ".join(program), right))
            if number % 50 == 0:
                print(f"{name}: {number} of {len(puzzles)}, {len(solved)} solved", flush=True)
    need = needed(solved)
    used = {n: sum(n in found[0] for found in solved.values()) for n in NAMES}
    _write("programs.csv", ("task", "set", "operations", "program", "right"), rows)
    table = [(name, used[name], need[name]) for name in sorted(NAMES, key=lambda n: -need[n])]
    _write("operations.csv", ("operation", "tasks", "tasks that need it"), table)
    print(f"{len(solved)} of {len(training) + len(evaluation)} tasks", end=", ")
    print(f"{time.process_time() - start:.0f} s of CPU time")


def _write(name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(FOLDER / name, text.getvalue())


if __name__ == "__main__":
    main()
