"""ARC tasks as pictures: demonstrations, and what a program makes of a test input."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from pkpo.report.style import MUTED, new_figure
from pkpo.tasks.arc.language import run
from pkpo.tasks.arc.operations import Grid
from pkpo.tasks.arc.puzzles import find_puzzle
from reproduction.arc_search import FOLDER
from reproduction.results import Drawing

_COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00")
_COLOURS += ("#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""Of the benchmark's own pictures."""
_RIGHT, _WRONG = "#1a7f37", "#b42318"
_DEMONSTRATIONS, _LARGEST = 2, 12


def found_programs() -> list[dict[str, str]]:
    """The rows of programs.csv."""
    with (FOLDER / "programs.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chosen(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Of the small tasks the first solved by each number of operations, and the first two whose
    program is wrong."""
    found: dict[object, dict[str, str]] = {}
    for row in rows:
        if find_puzzle(row["task"]).largest_side <= _LARGEST:
            wrong = len([key for key in found if key in ("wrong", "wrong too")])
            right = row["right"] == "yes"
            key = row["operations"] if right else ("wrong", "wrong too")[min(wrong, 1)]
            found.setdefault(key, row)
    return sorted(found.values(), key=lambda row: (row["right"] == "no", int(row["operations"])))


def draw_puzzles(rows: Sequence[dict[str, str]]) -> Figure:
    """A row for each task."""
    columns = 2 * _DEMONSTRATIONS + 3
    figure = new_figure(1.35 * columns, 1.75 * len(rows))
    figure.set_layout_engine("constrained", h_pad=0.3)
    panels = np.atleast_2d(figure.subplots(len(rows), columns))
    for row, axes in zip(rows, panels):
        puzzle = find_puzzle(row["task"])
        made = run(row["program"].split(), puzzle)
        assert made is not None
        shown = [grid for pair in puzzle.pairs[:_DEMONSTRATIONS] for grid in pair]
        for place, (grid, panel) in enumerate(zip(shown, axes)):
            _draw(panel, grid, ("input", "output")[place % 2])
        given, wanted = puzzle.tests[0]
        output = made[len(puzzle.outputs)]
        right = np.array_equal(output, wanted)
        _draw(axes[-3], given, "test input")
        mark = "program: right" if right else "program: wrong"
        _draw(axes[-2], output, mark, _RIGHT if right else _WRONG)
        _draw(axes[-1], wanted, "test output")
        text = f"{row['task']}: {row['program'].replace(' ', ', ')}"
        label = axes[0].annotate(
            text, (0, 1), (0, 16), xycoords="axes fraction", textcoords="offset points", fontsize=9
        )
        label.set_in_layout(False)
    return figure


def _draw(axes: Axes, grid: Grid, title: str, colour: str = MUTED) -> None:
    axes.imshow(grid, cmap=ListedColormap(_COLOURS), vmin=0, vmax=len(_COLOURS) - 1)
    axes.set_title(title, fontsize=8, color=colour, pad=3)
    axes.set_xticks(np.arange(1, grid.shape[1]) - 0.5, labels=[])
    axes.set_yticks(np.arange(1, grid.shape[0]) - 0.5, labels=[])
    axes.tick_params(length=0)
    axes.grid(color="#555555", linewidth=0.4)
    axes.set_anchor("N")
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linewidth=2.0 if colour != MUTED else 0.6)


def puzzles_drawing() -> Drawing:
    """Some tasks with the programs that the search found."""
    rows = found_programs()
    solved = sum(row["right"] == "yes" for row in rows)
    return Drawing(
        name="puzzles",
        title="Tasks and programs",
        caption=f"The search finds a program for {solved} of the 800 tasks, and for "
        f"{len(rows) - solved} more one that fits the demonstrations and not the test. Two "
        "demonstrations of each, the test's input, what the program makes of it, and the output "
        "that is right.",
        alt="Rows of coloured grids: for each task two pairs of input and output, a test input, "
        "the program's output marked right or wrong, and the test output.",
        figure=draw_puzzles(chosen(rows)),
    )
