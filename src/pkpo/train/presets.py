"""Ready-made comparisons, with the learning rates that `results/` documents."""

from __future__ import annotations

from typing import Any

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings, arm_name

_DEFAULT_LEARNING_RATE = 1e-3

_PRESETS: dict[str, dict[str, Any]] = {
    "grid-programs": {
        "warm_start": {"steps": 500, "batch_size": 256, "learning_rate": 3e-3},
        "training": {"steps": 800},
        "arms": {"mean": 1e-3, "max@2": 1e-3, "max@8": 1e-3, "switch(max@8, 400, mean)": 1e-3},
    },
    "reasoning-gym": {
        "warm_start": {"steps": 500, "batch_size": 256, "learning_rate": 3e-3},
        "training": {"steps": 200},
        "arms": {"mean": 1e-3, "max@2": 1e-3, "max@8": 1e-3, "switch(max@8, 100, mean)": 1e-3},
    },
}


def preset(task: str) -> dict[str, Any]:
    """Settings for `task` as keyword arguments of TrainConfig, `arms` left as a mapping from
    schedule text to learning rate."""
    if task not in _PRESETS:
        raise InvalidInputError(f"no task {task!r}; tasks: {', '.join(_PRESETS)}")
    return _PRESETS[task]


def make_arms(
    schedules: dict[str, float] | tuple[str, ...], learning_rates: tuple[float, ...] = ()
) -> tuple[ArmSettings, ...]:
    """Arms with names made from their schedules.

    Args:
        schedules: texts, with or without their learning rates.
        learning_rates: one for all or one each; needed where `schedules` has none.
    """
    texts = tuple(schedules)
    given = tuple(schedules.values()) if isinstance(schedules, dict) else ()
    rates = learning_rates or given or (_DEFAULT_LEARNING_RATE,)
    if len(rates) == 1:
        rates = rates * len(texts)
    if len(rates) != len(texts):
        raise InvalidInputError(
            f"give one learning rate for all objectives or one for each of the {len(texts)}, "
            f"got {len(rates)}"
        )
    return tuple(
        ArmSettings(name=arm_name(text), schedule=text, learning_rate=rate)
        for text, rate in zip(texts, rates)
    )
