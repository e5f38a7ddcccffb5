"""Ready-made comparisons, at the common learning rate that `results/` documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pkpo.core.objectives import Objective, mean_reward
from pkpo.errors import InvalidInputError
from pkpo.plans.plan import ByStep, PerPrompt, Plateau, plan
from pkpo.tasks.registry import task_names
from pkpo.train.config import ArmSettings

HALF = "HALF"
"""In a preset's schedule, stands for half of the training steps."""


@dataclass(frozen=True)
class Preset:
    """What a task is trained with unless flags say otherwise.

    Args:
        learning_rates: by schedule text, one arm each.
        warm_start, training, evaluation, model: fields of the settings of those names.
        intervals: fields of the job's own settings.
        options: of the task.
        default_learning_rate: for objectives that the preset doesn't name.
    """

    learning_rates: Mapping[str, float]
    warm_start: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    default_learning_rate: float = 3e-4
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    intervals: Mapping[str, Any] = field(default_factory=dict)

    def arms(self, steps: int) -> dict[str, float]:
        """Learning rates by schedule, for a job of `steps` steps. One step has no half, so
        schedules that switch there are left out."""
        return {
            text.replace(HALF, str(steps // 2)): rate
            for text, rate in self.learning_rates.items()
            if HALF not in text or steps > 1
        }


_LEARNING_RATES: dict[str, float] = dict.fromkeys(
    ("mean", "max@2", "max@8", f"switch(max@8, {HALF}, mean)"), Preset.default_learning_rate
)
_PRESETS = {
    "grid-programs": Preset(_LEARNING_RATES),
    "reasoning-gym": Preset(
        _LEARNING_RATES,
        warm_start={"steps": 250, "batch_size": 128, "demonstrations": 4000},
        training={"steps": 300},
        options={"dataset": "countdown"},
    ),
    # After 150 steps of warm start it solves all but 2 % at the first try.
    "functions": Preset(
        _LEARNING_RATES,
        warm_start={"steps": 60},
        training={"steps": 150, "prompts_per_step": 16},
    ),
}


def preset(task: str) -> Preset:
    """A task's own, or the usual one.

    Raises:
        InvalidInputError: no such task.
    """
    if task not in (known := task_names()):
        raise InvalidInputError(f"no task {task!r}; tasks: {', '.join(known)}")
    return _PRESETS.get(task, _PRESETS["grid-programs"])


_FULL_RATE, _LORA_RATE = 3e-5, 1e-4


def pretrained_preset(task: str, *, lora: bool) -> Preset:
    """Of a pretrained model, on any task.

    Raises:
        InvalidInputError: no such task.
    """
    preset(task)
    rate = _LORA_RATE if lora else _FULL_RATE
    return Preset(
        dict.fromkeys(_LEARNING_RATES, rate),
        training={"steps": 60, "prompts_per_step": 8, "num_generations": 16},
        options={"dataset": "basic_arithmetic"} if task == "reasoning-gym" else {},
        default_learning_rate=rate,
        evaluation={"k_values": (1, 2, 4, 8, 16), "num_samples": 16, "every": 20},
        model={"shots": 4},
        intervals={"checkpoint_every": 20, "completions_every": 20},
    )


def one_each(learning_rates: tuple[float, ...], count: int) -> tuple[float, ...]:
    """`count` learning rates, from one for all or one each.

    Raises:
        InvalidInputError: neither.
    """
    if len(learning_rates) == 1:
        return learning_rates * count
    if len(learning_rates) != count:
        raise InvalidInputError(
            f"give one learning rate for all objectives or one for each of the {count}, "
            f"got {len(learning_rates)}"
        )
    return learning_rates


def arm_name(text: str) -> str:
    """A short name for an objective or plan: "k=8", "8→1", or the text itself.

    >>> arm_name("max@8"), arm_name("mean"), arm_name("switch(max@8, 400, mean)")
    ('k=8', 'k=1', '8→1')
    >>> arm_name("plateau(8, 1)"), arm_name("per_prompt(8)")
    ('8→1 on plateau', 'k per prompt')
    """
    chosen = plan(text)
    if isinstance(chosen, Plateau):
        return f"{_arrows(chosen.stages)} on plateau"
    if isinstance(chosen, PerPrompt):
        return "k per prompt"
    if not isinstance(chosen, ByStep):
        return str(chosen)
    by_step = chosen.schedule
    first = by_step(0)
    if by_step.kind == "switch":
        return _arrows((first, by_step(int(by_step.arguments[1]))))  # type: ignore[arg-type]
    if by_step.kind == "constant" and str(first) == f"max@{first.k}":
        return f"k={first.k}"
    return "k=1" if by_step.kind == "constant" and first == mean_reward() else str(chosen)


def _arrows(objectives: tuple[Objective, ...]) -> str:
    return "→".join(arm_name(str(objective)).removeprefix("k=") for objective in objectives)


def make_arms(texts: tuple[str, ...], learning_rates: tuple[float, ...]) -> tuple[ArmSettings, ...]:
    """Arms with short names, made from the whole schedule where short names would be alike,
    and from the rate too where one schedule occurs more than once.

    Args:
        texts: objectives, schedules or other plans.
        learning_rates: one for all or one each.
    """
    learning_rates = one_each(learning_rates, len(texts))
    names = [arm_name(text) for text in texts]
    whole = [str(plan(text)) for text in texts]
    clear = [
        full if len({w for n, w in zip(names, whole) if n == name}) > 1 else name
        for name, full in zip(names, whole)
    ]
    return tuple(
        ArmSettings(
            name=f"{name} lr={rate!r}" if clear.count(name) > 1 else name,
            schedule=text,
            learning_rate=rate,
        )
        for name, text, rate in zip(clear, texts, learning_rates)
    )
