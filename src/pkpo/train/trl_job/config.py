"""Settings of a training job on TRL. Frozen, checked on construction, stored with every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pkpo.core.weights import Baseline
from pkpo.train.config import (
    ArmSettings,
    JobSettings,
    Settings,
    TrainConfig,
    TrainingSettings,
)

SEED = "{seed}"
"""In a model's name, stands for the seed."""

SET_BY_JOB = frozenset(
    {
        "output_dir",
        "objective",
        "objective_schedule",
        "baseline",
        "seed",
        "data_seed",
        "max_steps",
        "learning_rate",
        "num_generations",
        "max_completion_length",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "steps_per_generation",
        "generation_batch_size",
        "num_iterations",
        "max_grad_norm",
        "temperature",
        "use_cpu",
        "logging_steps",
        "logging_strategy",
        "save_steps",
        "save_strategy",
        "eval_strategy",
        "remove_unused_columns",
        "shuffle_dataset",
    }
)
"""Fields of `PKPOConfig` that the job's own settings decide."""


class TrlTrainingSettings(Settings):
    """Policy-gradient steps. One step uses `prompts_per_step * num_generations` completions,
    over all processes, once.

    `max_completion_length` None stands for the task's own length where the model speaks the
    task's tokens, and for 512 elsewhere. `per_device_batch_size` is how many completions a
    process takes through the model at a time; None stands for its whole share of a step.
    `max_grad_norm` is of the gradient of TRL's loss, which is the policy gradient divided by
    max_completion_length.
    """

    steps: int = Field(default=100, ge=1)
    prompts_per_step: int = Field(default=64, ge=1)
    num_generations: int = Field(default=16, ge=2)
    baseline: Baseline = "loo_minus_one"
    max_completion_length: int | None = Field(default=None, ge=1)
    per_device_batch_size: int | None = Field(default=None, ge=1)
    max_grad_norm: float = Field(default=1.0, gt=0)


class TrlConfig(JobSettings):
    """A whole job: every arm is trained with every seed, from the same model.

    Args:
        model: a folder or a name that transformers loads; "{seed}" in it stands for the seed.
        trl: further fields of `pkpo.engines.trl.PKPOConfig`, such as use_vllm.

    Raises:
        pydantic.ValidationError: unknown keys, values out of range, an objective that the
            baseline or num_generations doesn't allow, or two arms with one name.
    """

    engine: Literal["trl"] = "trl"
    model: str = Field(min_length=1)
    training: TrlTrainingSettings = TrlTrainingSettings()
    trl: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if taken := sorted(SET_BY_JOB & set(self.trl)):
            raise ValueError(f"the job's own settings decide {', '.join(taken)}")
        for arm in self.arms:
            if arm.scale != "none" or arm.entropy_coef:
                raise ValueError(
                    f"arm {arm.name!r}: scale and entropy_coef are for the embedded engine; here "
                    "TRL's own GRPOTrainer has them"
                )
        self._check_what_engines_share()
        return self

    def _check_what_engines_share(self) -> None:
        """Refuse now what would fail at some later step, as the embedded engine's job does."""
        names = ("steps", "prompts_per_step", "num_generations", "baseline")
        try:
            TrainConfig(
                task=self.task,
                training=TrainingSettings(**{name: getattr(self.training, name) for name in names}),
                evaluation=self.evaluation,
                arms=self.arms,
                seeds=self.seeds,
            )
        except ValidationError as error:
            problems = [problem["msg"].removeprefix("Value error, ") for problem in error.errors()]
            raise ValueError("; ".join(problems)) from error

    def baseline_of(self, arm: ArmSettings) -> Baseline:
        return arm.baseline or self.training.baseline

    def model_of(self, seed: int) -> str:
        return self.model.replace(SEED, str(seed))


def batch_sizes(training: TrlTrainingSettings, processes: int) -> tuple[int, int]:
    """Completions of a process at a time, and how many times a step.

    Raises:
        ValueError: a step's completions can't be shared out so.
    """
    total = training.prompts_per_step * training.num_generations
    if total % processes:
        raise ValueError(
            f"a step's {total} completions (prompts_per_step * num_generations) can't be shared "
            f"evenly among {processes} processes"
        )
    share = total // processes
    size = training.per_device_batch_size or share
    if share % size:
        raise ValueError(
            f"per_device_batch_size must divide the {share} completions that each of {processes} "
            f"processes has in a step, got {size}"
        )
    return size, share // size


def read_trl_config(path: Path) -> TrlConfig:
    """The config.json of a run directory or of your own making."""
    return TrlConfig.model_validate_json(path.read_text(encoding="utf-8"))
