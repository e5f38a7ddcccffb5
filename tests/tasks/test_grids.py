"""Grid operations against a slow oracle on lists of lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pkpo.tasks.grids import LANGUAGES, MOVES, PAINTING, Language

Grid = list[list[int]]

RECOLOURED = {
    "swap_1_2": {1: 2, 2: 1},
    "swap_1_3": {1: 3, 3: 1},
    "invert_1": {0: 1, 1: 0},
    "cycle": {1: 2, 2: 3, 3: 1},
}


def fallen(cells: list[int]) -> list[int]:
    """The coloured cells at the end, in order."""
    coloured = [cell for cell in cells if cell != 0]
    return [0] * (len(cells) - len(coloured)) + coloured


def slow(name: str, grid: Grid) -> Grid:
    """The operation, cell by cell."""
    n = len(grid)
    if name in RECOLOURED:
        return [[RECOLOURED[name].get(cell, cell) for cell in row] for row in grid]
    if name == "fall_down":
        columns = [fallen([grid[i][j] for i in range(n)]) for j in range(n)]
        return [[columns[j][i] for j in range(n)] for i in range(n)]
    if name == "fall_left":
        return [list(reversed(fallen(list(reversed(row))))) for row in grid]
    source = {
        "rot90": lambda i, j: (j, n - 1 - i),
        "rot180": lambda i, j: (n - 1 - i, n - 1 - j),
        "rot270": lambda i, j: (n - 1 - j, i),
        "flip_h": lambda i, j: (i, n - 1 - j),
        "flip_v": lambda i, j: (n - 1 - i, j),
        "transpose": lambda i, j: (j, i),
        "shift_left": lambda i, j: (i, (j + 1) % n),
        "shift_right": lambda i, j: (i, (j - 1) % n),
        "shift_up": lambda i, j: ((i + 1) % n, j),
        "shift_down": lambda i, j: ((i - 1) % n, j),
    }[name]
    places = [[source(i, j) for j in range(n)] for i in range(n)]
    return [[grid[a][b] for a, b in row] for row in places]


def random_grids(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape, dtype=np.uint8)


def test_there_are_sixteen_operations_and_names_number_them():
    assert len(MOVES.operations) == 16
    assert tuple(MOVES.operations) == MOVES.names


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_operation_is_described(language: Language):
    words = {operation.words for operation in language.operations.values()}
    assert len(words) == len(language.names)
    assert all(words)


def test_known_results():
    grid = np.array([[1, 2, 0], [0, 3, 0], [2, 0, 1]], dtype=np.uint8)
    assert MOVES.operations["rot90"](grid).tolist() == [[0, 0, 1], [2, 3, 0], [1, 0, 2]]
    assert MOVES.operations["fall_down"](grid).tolist() == [[0, 0, 0], [1, 2, 0], [2, 3, 1]]
    assert MOVES.operations["fall_left"](grid).tolist() == [[1, 2, 0], [3, 0, 0], [2, 1, 0]]
    assert MOVES.operations["shift_left"](grid).tolist() == [[2, 0, 1], [3, 0, 0], [0, 1, 2]]
    assert MOVES.operations["cycle"](grid).tolist() == [[2, 3, 0], [0, 1, 0], [3, 0, 2]]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("name", MOVES.names)
def test_operation_equals_the_oracle(name: str, size: int):
    grids = random_grids(size, 40, size, size)
    before = grids.copy()
    out = MOVES.operations[name](grids)
    assert out.dtype == np.uint8
    assert out.tolist() == [slow(name, grid) for grid in grids.tolist()]
    np.testing.assert_array_equal(grids, before)


@pytest.mark.parametrize("name", MOVES.names)
def test_operation_on_every_2x2_grid(name: str):
    grids = np.array(list(itertools.product(range(4), repeat=4)), dtype=np.uint8).reshape(-1, 2, 2)
    assert MOVES.operations[name](grids).tolist() == [slow(name, grid) for grid in grids.tolist()]


@pytest.mark.parametrize("name", MOVES.names)
def test_leading_axes_are_batches(name: str):
    grids = random_grids(1, 5, 2, 3, 3)
    flat = MOVES.operations[name](grids.reshape(10, 3, 3))
    np.testing.assert_array_equal(MOVES.operations[name](grids), flat.reshape(grids.shape))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_run_programs_equals_one_grid_and_operation_at_a_time(size: int):
    rng = np.random.default_rng(0)
    grids = random_grids(2, 60, 2, size, size)
    programs = rng.integers(0, len(MOVES.names), (60, 4))
    lengths = rng.integers(0, 5, 60)
    programs[np.arange(4) >= lengths[:, None]] = -1
    before = grids.copy()
    out = MOVES.run(grids, programs)
    for row in range(60):
        for example in range(2):
            grid = grids[row, example].tolist()
            for number in programs[row, : lengths[row]]:
                grid = slow(MOVES.names[number], grid)
            assert out[row, example].tolist() == grid
    np.testing.assert_array_equal(grids, before)


def test_ended_programs_leave_grids_alone():
    grids = random_grids(3, 7, 3, 3)
    np.testing.assert_array_equal(MOVES.run(grids, np.full((7, 3), -1)), grids)


def test_successors_are_in_the_order_of_the_operations():
    grids = random_grids(4, 6, 2, 3, 3)
    out = MOVES.successors(grids)
    assert out.shape == (6, 16, 2, 3, 3)
    for row, number, example in itertools.product(range(6), range(16), range(2)):
        expected = slow(MOVES.names[number], grids[row, example].tolist())
        assert out[row, number, example].tolist() == expected


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_needs_at_least_agrees_with_trying_every_program(language: Language):
    rng = np.random.default_rng(3)
    numbers = range(len(language.names))
    for _ in range(6):
        grids = rng.integers(0, language.colours, (2, 3, 3), dtype=np.uint8)
        target = language.run(grids[None], rng.integers(0, len(numbers), (1, 2)))[0]
        shortest = next(
            length
            for length in range(3)
            if any(
                (language.run(grids[None], np.array([program], dtype=int)) == target).all()
                for program in itertools.product(numbers, repeat=length)
            )
        )
        for count in (1, 2, 3):
            assert language.needs_at_least(grids, target, count) == (shortest >= count)


def test_painting_turns_one_colour_into_another():
    grid = np.arange(6, dtype=np.uint8).reshape(1, 2, 3).repeat(2, axis=1)[:, :3, :3]
    number = PAINTING.names.index("paint_4_1")
    made = PAINTING.run(grid, np.array([[number]]))
    assert made.tolist() == [[[1 if cell == 4 else cell for cell in row] for row in grid[0]]]
    assert len(PAINTING.names) == 16 + 6 * 5
