"""Which problems a step takes: whole epochs, whatever the size of a step."""

from __future__ import annotations

import numpy as np
import pytest

from pkpo.train.problems import problems_of_step

SIZES = ((1, 5), (2, 6), (4, 6), (5, 5), (7, 3), (13, 4))
"""Problems in a step and in all: divisors, remainders, and steps longer than an epoch."""


HALVES = (slice(0, 50), slice(50, 100))


def sequence(size: int, num_problems: int, seed: int, epochs: int) -> np.ndarray:
    steps = -(-epochs * num_problems // size)
    found = np.concatenate([problems_of_step(s, size, num_problems, seed) for s in range(steps)])
    return found[: epochs * num_problems]


@pytest.mark.parametrize(("size", "num_problems"), SIZES)
def test_every_epoch_takes_every_problem_once(size: int, num_problems: int) -> None:
    epochs = sequence(size, num_problems, seed=3, epochs=4).reshape(4, num_problems)
    assert (np.sort(epochs, axis=1) == np.arange(num_problems)).all()


@pytest.mark.parametrize(("size", "num_problems"), SIZES)
def test_the_order_of_problems_does_not_depend_on_the_size_of_a_step(
    size: int, num_problems: int
) -> None:
    one_by_one = sequence(1, num_problems, seed=3, epochs=4)
    assert (sequence(size, num_problems, seed=3, epochs=4) == one_by_one).all()


def test_a_step_is_found_without_those_before_it() -> None:
    late = problems_of_step(37, 4, 6, seed=1)
    assert (late == sequence(4, 6, seed=1, epochs=30)[37 * 4 : 38 * 4]).all()


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(sequence(50, 50, seed, epochs=2)[half]) for seed in (0, 1) for half in HALVES]
    assert len(set(orders)) == 4
