"""Ready-made comparisons, at the common learning rate that `results/` documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings, arm_name

HALF = "HALF"
"""In a preset's schedule, stands for half of the training steps."""


@dataclass(frozen=True)
class Preset:
    """What a task is trained with unless flags say otherwise.

    Args:
        learning_rates: by schedule text, one arm each.
        warm_start, training: fields of the settings of those names.
        options: of the task.
        default_learning_rate: for objectives that the preset doesn't name.
    """

    learning_rates: Mapping[str, float]
    warm_start: Mapping[str, Any]
    training: Mapping[str, Any]
    options: Mapping[str, Any]
    default_learning_rate: float = 3e-4

    def arms(self, steps: int) -> dict[str, float]:
        """Learning rates by schedule, for a job of `steps` steps."""
        half = str(max(steps // 2, 1))
        return {text.replace(HALF, half): rate for text, rate in self.learning_rates.items()}


_PRESETS = {
    "grid-programs": Preset(
        learning_rates={
            "mean": 3e-4,
            "max@2": 3e-4,
            "max@8": 3e-4,
            f"switch(max@8, {HALF}, mean)": 3e-4,
        },
        warm_start={},
        training={},
        options={},
    ),
    "reasoning-gym": Preset(
        learning_rates={
            "mean": 3e-4,
            "max@2": 3e-4,
            "max@8": 3e-4,
            f"switch(max@8, {HALF}, mean)": 3e-4,
        },
        warm_start={"steps": 250, "batch_size": 128, "demonstrations": 4000},
        training={"steps": 300},
        options={"dataset": "countdown"},
    ),
}


def preset(task: str) -> Preset:
    """
    Raises:
        InvalidInputError: no such task.
    """
    if task not in _PRESETS:
        raise InvalidInputError(f"no task {task!r}; tasks: {', '.join(_PRESETS)}")
    return _PRESETS[task]


def make_arms(texts: tuple[str, ...], learning_rates: tuple[float, ...]) -> tuple[ArmSettings, ...]:
    """Arms with names made from their schedules, and from their rates where one schedule
    occurs more than once.

    Args:
        texts: schedules.
        learning_rates: one for all or one each.
    """
    if len(learning_rates) == 1:
        learning_rates = learning_rates * len(texts)
    if len(learning_rates) != len(texts):
        raise InvalidInputError(
            f"give one learning rate for all objectives or one for each of the {len(texts)}, "
            f"got {len(learning_rates)}"
        )
    names = [arm_name(text) for text in texts]
    return tuple(
        ArmSettings(
            name=f"{name} lr={rate:g}" if names.count(name) > 1 else name,
            schedule=text,
            learning_rate=rate,
        )
        for name, text, rate in zip(names, texts, learning_rates)
    )
