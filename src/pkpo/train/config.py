"""Settings of a training job. Frozen, checked on construction, stored with every run."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pkpo.core.objectives import mean_reward
from pkpo.core.schedules import schedule
from pkpo.core.weights import Baseline, check_baseline, required_size

_LONGEST_SLUG = 80


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskSettings(Settings):
    """Which problem set: a name and the options of that task."""

    name: str = "grid-programs"
    options: dict[str, Any] = Field(default_factory=dict)


class PolicySettings(Settings):
    """Sizes of the transformer."""

    hidden: int = Field(default=64, ge=8)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    intermediate: int = Field(default=176, ge=8)


class WarmStartSettings(Settings):
    """Supervised steps on generated demonstrations, before any reward.

    `demonstrations` is how many different ones there are, gone through in a new order in
    each epoch; None stands for as many as the steps take, each used once.
    """

    steps: int = Field(default=500, ge=0)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0, allow_inf_nan=False)
    demonstrations: int | None = Field(default=None, ge=1)


class TrainingSettings(Settings):
    """Policy-gradient steps.

    `passes` > 1 uses each batch more than once, with PPO's clipping at `clip`.
    """

    steps: int = Field(default=800, ge=1)
    prompts_per_step: int = Field(default=64, ge=1)
    num_generations: int = Field(default=16, ge=1)
    baseline: Baseline = "loo_minus_one"
    passes: int = Field(default=1, ge=1)
    clip: float = Field(default=0.2, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)


class EvaluationSettings(Settings):
    """How policies are measured: exactly where answers can be listed, else by samples.

    `every` training steps the validation split is measured, and the test split at the end.
    """

    k_values: tuple[int, ...] = (1, 2, 4, 8, 12, 16)
    num_samples: int = Field(default=32, ge=1)
    every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if not self.k_values or min(self.k_values) < 1:
            raise ValueError(f"k_values must be integers >= 1, got {self.k_values}")
        if max(self.k_values) > self.num_samples:
            raise ValueError(
                f"pass@{max(self.k_values)} needs num_samples >= {max(self.k_values)}, "
                f"got {self.num_samples}"
            )
        return self


class ArmSettings(Settings):
    """One of the objectives that a job compares.

    `name` is shown in tables and names the arm's folder; `schedule` is text that
    `pkpo.schedule` reads.
    """

    name: str
    schedule: str
    learning_rate: float = Field(gt=0, allow_inf_nan=False)

    @field_validator("schedule")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(schedule(value))

    @property
    def slug(self) -> str:
        """The arm's folder name, in ASCII; other letters are told apart by a checksum."""
        plain = re.sub(r"[^A-Za-z0-9@.+=-]+", "_", self.name).strip("_.")
        if re.search(r"[^\W_]", re.sub(r"[\x00-\x7f]", "", self.name)):
            plain = f"{plain or 'arm'}-{zlib.crc32(self.name.encode()):08x}"
        if len(plain) > _LONGEST_SLUG:
            plain = f"{plain[:_LONGEST_SLUG]}-{zlib.crc32(self.name.encode()):08x}"
        return plain

    @field_validator("name")
    @classmethod
    def _has_slug(cls, value: str) -> str:
        if not re.search(r"[^\W_]", value):
            raise ValueError(f"an arm's name needs a letter or digit, got {value!r}")
        return value


class TrainConfig(Settings):
    """A whole job: every arm is trained with every seed, from one warm start a seed.

    Raises:
        pydantic.ValidationError: unknown keys, values out of range, an objective that the
            baseline or num_generations doesn't allow, or two arms with one name.
    """

    task: TaskSettings = TaskSettings()
    policy: PolicySettings = PolicySettings()
    warm_start: WarmStartSettings = WarmStartSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    arms: tuple[ArmSettings, ...]
    seeds: tuple[int, ...] = (0,)
    device: str = "cpu"
    checkpoint_every: int = Field(default=100, ge=1)
    completions_every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.arms or not self.seeds:
            raise ValueError("a job needs at least one arm and one seed")
        if len({arm.slug.casefold() for arm in self.arms}) < len(self.arms):
            raise ValueError(f"arms need distinct names, got {[arm.name for arm in self.arms]}")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be distinct integers >= 0, got {self.seeds}")
        for arm in self.arms:
            self._check_objectives(arm)
        return self

    def _check_objectives(self, arm: ArmSettings) -> None:
        """Refuse now what would fail at some later step."""
        plan = schedule(arm.schedule)
        training = self.training
        if plan.last_stage >= training.steps:
            raise ValueError(
                f"arm {arm.name!r}: {plan} changes at step {plan.last_stage}, but training ends "
                f"after {training.steps} steps"
            )
        for objective in {plan(step) for step in range(training.steps)}:
            check_baseline(objective, training.baseline)
            size = required_size(objective, training.baseline)
            if training.num_generations < size:
                raise ValueError(
                    f"arm {arm.name!r}: {objective} with baseline {training.baseline!r} needs "
                    f"num_generations >= {size}, got {training.num_generations}"
                )


def arm_name(text: str) -> str:
    """A short name for an objective or schedule: "k=8", "8->1", or the text itself.

    >>> arm_name("max@8"), arm_name("mean"), arm_name("switch(max@8, 400, mean)")
    ('k=8', 'k=1', '8→1')
    """
    plan = schedule(text)
    if plan.kind == "switch":
        first, then = plan(0), plan(int(plan.arguments[1]))  # type: ignore[arg-type]
        names = [arm_name(str(objective)).removeprefix("k=") for objective in (first, then)]
        return "→".join(names)
    objective = plan(0)
    if plan.kind == "constant" and str(objective) == f"max@{objective.k}":
        return f"k={objective.k}"
    return "k=1" if plan.kind == "constant" and objective == mean_reward() else str(plan)


def read_config(path: Path) -> TrainConfig:
    """The config.json of a run directory or of your own making."""
    return TrainConfig.model_validate_json(path.read_text(encoding="utf-8"))
