"""Every operation on ARC grids, by example, and what all of them keep to."""

from __future__ import annotations

import numpy as np
import pytest

from pkpo.tasks.arc.cells import LARGEST
from pkpo.tasks.arc.language import NAMES, RECOLOUR, Shown, recoloured, run, step
from pkpo.tasks.arc.operations import OPERATIONS, Roles
from pkpo.tasks.arc.puzzles import read_puzzles

ROLES = Roles(new=8, lost=2)

EXAMPLES = {
    "flip_h": ("12/30", "21/03"),
    "flip_v": ("12/30", "30/12"),
    "rot90": ("12/30", "20/13"),
    "rot180": ("12/30", "03/21"),
    "transpose": ("12/30", "13/20"),
    "shift_down": ("12/30/40", "40/12/30"),
    "fall_down": ("12/30/00", "00/10/32"),
    "fall_right": ("120/300", "012/003"),
    "fall_up": ("00/10/32", "12/30/00"),
    "sort_rows": ("11/00/02", "00/02/11"),
    "scale_2": ("12", "1122/1122"),
    "scale_3": ("1", "111/111/111"),
    "scale_colours": ("12", "1122/1122"),
    "heighten_2": ("12", "12/12"),
    "dedupe": ("1122/1122/3344", "12/34"),
    "drop_blank": ("010/000/020", "1/2"),
    "repeat_right": ("12", "1212"),
    "mirror_right": ("12", "1221"),
    "mirror_down": ("12/30", "12/30/30/12"),
    "turn_around": ("12/30", "1231/3002/2003/1321"),
    "tile_filled": ("10/12", "1000/1200/1010/1212"),
    "tile_common": ("12/11", "1200/1100/1212/1111"),
    "tile_rare": ("12/11", "0012/0011/0000/0000"),
    "inner": ("111/121/111", "2"),
    "top_third": ("12/34/56", "12"),
    "left_third": ("123/456", "1/4"),
    "square": ("123/456", "12/45"),
    "alternate": ("123/456/789", "13/79"),
    "paint_new": ("10/02", "80/08"),
    "paint_common": ("11/02", "11/01"),
    "blank_to_common": ("11/02", "11/12"),
    "lost_to_new": ("12/20", "18/80"),
    "drop_lost": ("12/20", "10/00"),
    "keep_common": ("11/02", "11/00"),
    "keep_rare": ("11/02", "00/02"),
    "swap_blank": ("11/02", "00/12"),
    "swap_ends": ("11/02", "22/01"),
    "to_one_cell": ("11/02", "1"),
    "palette": ("122/022", "2/1"),
    "bars": ("22/10", "21/20"),
    "enclosed_new": ("010/101/010", "010/181/010"),
    "outline_new": ("0000/0100/0000", "8880/8180/8880"),
    "inside_new": ("11111/11111/11111", "11111/18881/11111"),
    "hollow": ("11111/11111/11111", "11111/10001/11111"),
    "frame_new": ("000/010/000", "888/818/888"),
    "boxes_new": ("0000/0110/0100", "0000/0110/0180"),
    "blank_lines_new": ("100/000/001", "180/888/081"),
    "full_rows_new": ("11/12/00", "88/12/88"),
    "alternate_columns_new": ("111/011", "181/081"),
    "join_h": ("10010/02000", "11110/02000"),
    "join_h_new": ("10010/02000", "18810/02000"),
    "ray_down": ("12/00/30", "12/12/32"),
    "ray_down_right": ("100/000/000", "100/010/001"),
    "symmetric_h": ("120/003", "121/303"),
    "symmetric_v": ("12/00/03", "12/00/13"),
    "symmetric_d": ("120/000/300", "123/200/300"),
    "continue": ("1212/2121/1200", "1212/2121/1212"),
    "crop_largest_patch": ("110/002", "11"),
    "crop_smallest_patch": ("110/002", "2"),
    "crop_holed_patch": ("11100/10100/11102", "111/101/111"),
    "crop_box_largest_patch": ("110/120/002", "11/12"),
    "crop_box_odd_patch": ("101/000/220", "22"),
    "crop_odd_object": ("10200/00000/34000", "34"),
    "crop_colourful_object": ("1100/0000/2300", "23"),
    "crop_symmetric_object": ("1200/3000/0000/5500", "55"),
    "crop_lopsided_object": ("1100/0000/3000/3300", "30/33"),
    "paint_single_patches": ("110/002", "110/008"),
    "drop_single_objects": ("1100/0002", "1100/0000"),
    "paint_holed_objects": ("11100/10100/11102", "88800/80800/88802"),
    "label_size_patch": ("110/005", "220/001"),
    "label_size_rank_object": ("4000/0055", "2000/0011"),
    "label_holes_object": ("11100/10100/11100/00000/00500", "22200/20200/22200/00000/00100"),
    "count_patches": ("101/000/020", "111"),
    "parts_none": ("110/555/100", "001"),
    "parts_some": ("110/555/100", "010"),
    "parts_first_top": ("120/555/301", "121"),
    "part_last": ("120/555/301", "301"),
    "parts_map": ("11511/10500/55555/22500/20500", "11/20"),
    "parts_count_map": ("11511/10500/55555/22500/20500", "32/30"),
}


def grid(text: str) -> np.ndarray:
    return np.array([list(map(int, row)) for row in text.split("/")], dtype=np.uint8)


def text(made: np.ndarray | None) -> str | None:
    return None if made is None else "/".join("".join(map(str, row)) for row in made.tolist())


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_an_operation_does(name: str):
    before, after = EXAMPLES[name]
    made = step(name, [grid(before)], [], ROLES)
    assert text(made and made[0]) == after


def test_every_operation_has_an_example_and_words():
    assert set(EXAMPLES) == set(OPERATIONS)
    assert all(operation.words for operation in OPERATIONS.values())
    assert (*OPERATIONS, RECOLOUR) == NAMES


def test_no_operation_fails_on_a_grid_of_the_benchmark():
    """On the smallest grid of each of the 800 tasks, and on some of the largest."""
    puzzles = [puzzle for each in read_puzzles() for puzzle in each]
    grids = [(min(p.inputs + p.outputs, key=np.size), p.roles) for p in puzzles]
    grids += [(p.inputs[0], p.roles) for p in puzzles if p.inputs[0].shape == (LARGEST, LARGEST)]
    for before, roles in grids:
        kept = before.copy()
        for name in OPERATIONS:
            made = step(name, [before], [], roles)
            assert made is None or _is_grid(made[0]), name
        assert np.array_equal(before, kept)


def _is_grid(made: np.ndarray) -> bool:
    small = made.size > 0 and max(made.shape) <= LARGEST
    return small and made.dtype == np.uint8 and made.max() <= 9 and made.flags.c_contiguous


@pytest.mark.parametrize("before", ["0", "7", "00/00", "77/77", "0" * LARGEST])
def test_blank_full_and_single_cells(before: str):
    for name in OPERATIONS:
        made = step(name, [grid(before)], [], Roles(None, None))
        assert made is None or made[0].max() <= 9


def test_an_operation_that_can_not_be_applied_to_one_input_is_not_applied():
    wide = np.ones((2, 20), dtype=np.uint8)
    assert step("scale_2", [grid("1"), wide], [], ROLES) is None
    assert run(["scale_2", "flip_h"], Shown((grid("1"), wide), ())) is None


def test_roles_are_the_colours_that_gain_and_lose_most():
    shown = Shown((grid("1103"), grid("113"), grid("3")), (grid("4403"), grid("443")))
    assert shown.roles == Roles(new=4, lost=1)
    assert Shown((grid("00"),), (grid("00"),)).roles == Roles(None, None)


def test_colours_are_changed_as_the_demonstrations_show():
    grids = [grid("12"), grid("21"), grid("13")]
    made = recoloured(grids, [grid("45"), grid("54")])
    assert made is not None
    assert list(map(text, made)) == ["45", "54", "43"]
    assert recoloured(grids, [grid("45"), grid("55")]) is None
    assert recoloured(grids, [grid("45"), grid("5")]) is None


def test_a_program_is_run_on_all_inputs():
    shown = Shown((grid("12/30"), grid("10/00")), (grid("21/03"),))
    made = run(["flip_h", "fall_down"], shown)
    assert made is not None
    assert list(map(text, made)) == ["01/23", "00/01"]
    assert run([], shown) == shown.inputs
