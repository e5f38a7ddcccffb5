"""The search of ARC programs on made-up tasks."""

from __future__ import annotations

import numpy as np

from pkpo.tasks.arc.language import NAMES, Shown, run
from pkpo.tasks.arc.puzzles import Puzzle
from reproduction.arc_search import fits, likeness, needed, search, shortest, solves


def grids(*rows: list[list[int]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(each, dtype=np.uint8) for each in rows)


INPUTS = grids([[1, 2, 0], [0, 0, 3]], [[0, 4, 4], [5, 0, 0]], [[6, 0, 0], [0, 7, 0]])


def made_up(*program: str) -> Puzzle:
    made = run(program, Shown(INPUTS, ()))
    assert made is not None
    return Puzzle(INPUTS, made[:2], "made-up", made[2:])


def test_the_shortest_programs_come_first():
    puzzle = made_up("transpose", "mirror_right")
    found = list(search(Shown(puzzle.inputs, puzzle.outputs), (1, 30)))
    assert min(map(len, found)) == 2
    assert all(solves(program, puzzle) for program in found)
    assert shortest(made_up("flip_h"))[0][0] == ("flip_h",)


def test_a_change_of_colours_is_fitted_last():
    puzzle = made_up("flip_h")
    table = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 1], dtype=np.uint8)
    changed = Puzzle(puzzle.inputs, grids(*(table[g] for g in puzzle.outputs)), "b", puzzle.answers)
    assert ("flip_h", "as_shown") in list(search(Shown(changed.inputs, changed.outputs), (1, 5)))


def test_a_program_that_fails_the_test_is_told_apart():
    puzzle = made_up("flip_h")
    other = Puzzle(puzzle.inputs, puzzle.outputs, "b", (puzzle.answers[0] + 1,))
    found, wrong = shortest(other)
    assert (found, wrong) == ([], ("flip_h",))


def test_likeness_prefers_the_right_shape():
    outputs = grids([[1, 2]], [[3, 4]])
    assert likeness(outputs, outputs) == 1
    half = grids([[1, 0]], [[3, 0]])
    assert likeness(half, outputs) == 0.5
    assert likeness(grids([[1, 2]], [[3]]), outputs) < likeness(half, outputs)
    assert fits(outputs, Shown((), outputs))


def test_what_operations_are_needed_for():
    need = needed({"a": [("flip_h",), ("rot90",)], "b": [("flip_h", "dedupe")]})
    assert (need["flip_h"], need["rot90"], need["dedupe"]) == (1, 0, 1)
    assert set(need) == set(NAMES)
