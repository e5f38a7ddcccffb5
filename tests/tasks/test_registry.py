"""Tasks by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.registry import TASKS, build_task

SIZES = {"num_train": 10, "num_validation": 5, "num_test": 5}


def test_options_reach_the_task():
    task = build_task("grid-programs", SIZES | {"size": 4, "lengths": [1, 2, 3], "seed": 7})
    expected = GridProgramTask(**SIZES, size=4, lengths=(1, 2, 3), seed=7)
    assert task == expected
    np.testing.assert_array_equal(
        task.problems("test").prompts_PT, expected.problems("test").prompts_PT
    )


def test_unknown_task_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="no task 'chess'") as caught:
        build_task("chess", {})
    assert all(name in str(caught.value) for name in TASKS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 3}, "colour"),
        ({"name": "other"}, "name"),
        ({"reward": "partial"}, "reward"),
        ({"size": "three"}, "grid-programs"),
        ({"size": None}, "grid-programs"),
        ({"lengths": 3}, "grid-programs"),
    ],
)
def test_bad_options_name_the_place(options: dict[str, Any], message: str):
    with pytest.raises(InvalidInputError, match=message):
        build_task("grid-programs", SIZES | options)
