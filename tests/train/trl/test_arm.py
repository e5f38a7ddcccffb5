"""How a step's completions are shared out among processes."""

from __future__ import annotations

from typing import Any

import pytest

from pkpo.train.config import TrlTrainingSettings
from pkpo.train.trl.arm import batch_sizes


@pytest.mark.parametrize(
    ("prompts", "generations", "at_a_time", "processes", "expected"),
    [
        (64, 16, None, 1, (1024, 1)),
        (64, 16, None, 2, (512, 1)),
        (64, 16, 8, 2, (8, 64)),
        (3, 4, 2, 2, (2, 3)),
    ],
)
def test_a_step_is_shared_out_evenly(
    prompts: int, generations: int, at_a_time: int | None, processes: int, expected: Any
) -> None:
    training = TrlTrainingSettings(
        prompts_per_step=prompts, num_generations=generations, per_device_batch_size=at_a_time
    )
    size, accumulation = batch_sizes(training, processes)
    assert (size, accumulation) == expected
    assert size * accumulation * processes == prompts * generations


def test_uneven_shares_are_refused() -> None:
    training = TrlTrainingSettings(prompts_per_step=3, num_generations=3)
    with pytest.raises(ValueError, match=r"9 completions .* among 2 processes"):
        batch_sizes(training, 2)
    training = TrlTrainingSettings(per_device_batch_size=100)
    with pytest.raises(ValueError, match="must divide the 1024"):
        batch_sizes(training, 1)
