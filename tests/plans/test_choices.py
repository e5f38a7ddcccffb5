"""What a plan chooses, for each prompt."""

import numpy as np
import pytest

import pkpo
from pkpo.errors import InvalidInputError
from pkpo.plans.plan import Choice

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


def test_parts_cover_every_prompt_once():
    choice = Choice.of_each([MAX, MEAN, MAX, pkpo.max_at(2)], ["a", "b", "c", "d"])
    places = {objective: rows.tolist() for objective, rows in choice.parts()}
    assert places == {MAX: [0, 2], MEAN: [1], pkpo.max_at(2): [3]}
    assert str(choice) == "per_prompt: 2×max@8 1×max@2 1×mean"
    assert str(Choice.same(MAX, 3, "because")) == "max@8"


@pytest.mark.parametrize(
    ("objectives", "index", "reasons"),
    [
        ((), [0], ("",)),
        ((MAX, MAX), [0, 1], ("",)),
        ((MAX,), [0, 1], ("",)),
        ((MAX,), [-1], ("",)),
        ((MAX,), [0.0], ("",)),
        ((MAX,), [[0]], ("",)),
        ((MAX,), [0, 0, 0], ("", "")),
    ],
)
def test_choices_that_do_not_fit_raise(objectives, index, reasons):
    with pytest.raises(InvalidInputError):
        Choice(objectives, np.array(index), reasons)
