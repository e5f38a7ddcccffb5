"""Settings of a training job. Frozen, checked on construction, stored with every run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import from_json

from pkpo.core.weights import Baseline, required_size
from pkpo.files import folder_name
from pkpo.plans.credit import Credit, Scale
from pkpo.plans.plan import ByStep, Plateau, plan
from pkpo.tasks.base import Split


class Settings(BaseModel):
    """Part of a job's settings."""

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


class ModelSettings(Settings):
    """A pretrained language model that a job of the embedded engine trains, and how it is asked.

    `name` is what `pkpo.train.embedded.pretrained.find_checkpoint` takes. `lora_rank` None
    trains all weights. `gradient_checkpointing` computes activations again in the backward pass:
    less memory for long completions, a third more time. Each prompt shows the same `shots`
    solved problems first, drawn from the train split with `shots_seed` and left out of training.
    `max_new_tokens` None stands for half as many again as the longest reference answer has, and
    four. Problems too long for the model are refused or dropped.
    """

    name: str = Field(min_length=1)
    dtype: Literal["float32", "bfloat16"] = "float32"
    lora_rank: int | None = Field(default=None, ge=1)
    gradient_checkpointing: bool = False
    prompt: Literal["chat", "text"] = "chat"
    shots: int = Field(default=0, ge=0)
    shots_seed: int = Field(default=0, ge=0)
    max_new_tokens: int | None = Field(default=None, ge=1)
    too_long: Literal["refuse", "drop"] = "refuse"


class StepSettings(Settings):
    """Policy-gradient steps of any engine.

    A step uses `prompts_per_step * num_generations` completions, over all processes.
    """

    steps: int = Field(ge=1)
    prompts_per_step: int = Field(default=64, ge=1)
    num_generations: int = Field(default=16, ge=1)
    baseline: Baseline = "loo_minus_one"
    max_grad_norm: float = Field(default=1.0, gt=0)

    @property
    def reweighs(self) -> bool:
        """Whether some pass uses importance weights."""
        return False


class TrainingSettings(StepSettings):
    """Steps of the embedded engine.

    `passes` > 1 uses each batch more than once: with `reuse` "clip" by PPO's clipped
    surrogate at `clip`, with "exact" by weighing whole completions for the policy as it has
    become (`pkpo.offpolicy`), their ratios bounded by `truncate` if given.
    """

    steps: int = Field(default=800, ge=1)
    passes: int = Field(default=1, ge=1)
    clip: float = Field(default=0.2, gt=0, lt=1)
    reuse: Literal["clip", "exact"] = "clip"
    truncate: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounded_ratios_exist(self) -> Self:
        if self.truncate is not None and self.reuse != "exact":
            raise ValueError(f"truncate is for reuse 'exact', got reuse {self.reuse!r}")
        return self

    @property
    def reweighs(self) -> bool:
        return self.reuse == "exact" and self.passes > 1


class TrlTrainingSettings(StepSettings):
    """Steps on TRL; each batch is used once.

    `max_completion_length` None stands for the task's own length where the model speaks the
    task's tokens, for `Questions.room` with shots, and for 512 elsewhere.
    `per_device_batch_size` is how many completions a process takes through the model at a time;
    None stands for its whole share of a step.
    `max_grad_norm` is of the gradient of TRL's loss, which is the policy gradient divided by
    max_completion_length.
    """

    steps: int = Field(default=100, ge=1)
    num_generations: int = Field(default=16, ge=2)
    max_completion_length: int | None = Field(default=None, ge=1)
    per_device_batch_size: int | None = Field(default=None, ge=1)


class EvaluationSettings(Settings):
    """How policies are measured: exactly where answers can be listed, else by samples.

    `every` training steps the validation split is measured, and `final_split` before training
    and at the end: a run that only chooses settings needn't look at the test split.
    `select_k` is the k of validation pass@k by which a report picks the best of a family of
    arms; None stands for the mean over all `k_values`.
    """

    k_values: tuple[int, ...] = (1, 2, 4, 8, 12, 16)
    num_samples: int = Field(default=32, ge=1)
    every: int = Field(default=100, ge=1)
    final_split: Literal["validation", "test"] = "test"
    select_k: int | None = None

    @model_validator(mode="after")
    def _enough_samples(self) -> Self:
        if not self.k_values or min(self.k_values) < 1:
            raise ValueError(f"k_values must be integers >= 1, got {self.k_values}")
        if max(self.k_values) > self.num_samples:
            raise ValueError(
                f"pass@{max(self.k_values)} needs num_samples >= {max(self.k_values)}, "
                f"got {self.num_samples}"
            )
        if self.select_k is not None and self.select_k not in self.k_values:
            raise ValueError(f"select_k must be among k_values {self.k_values}: {self.select_k}")
        return self


class ArmSettings(Settings):
    """One of the methods that a job compares.

    `name` is shown in tables and names the arm's folder; `schedule` is text that `pkpo.plan`
    reads. `baseline` None stands for that of the training settings; `scale` is that of
    `pkpo.plans.credit.Credit`. `entropy_coef` times the mean entropy of the tokens is added to
    what is maximised. Of the arms of one `family`, a report shows the one that is best on
    validation problems as the family's result.
    """

    name: str
    schedule: str
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    baseline: Baseline | None = None
    scale: Scale = "none"
    entropy_coef: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    family: str | None = Field(default=None, min_length=1)

    @field_validator("schedule")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return str(plan(value))

    @property
    def slug(self) -> str:
        """The arm's folder name."""
        return folder_name(self.name)

    @field_validator("name")
    @classmethod
    def _has_slug(cls, value: str) -> str:
        if not re.search(r"[^\W_]", value):
            raise ValueError(f"an arm's name needs a letter or digit, got {value!r}")
        return value


class JobSettings(Settings):
    """A whole job: every arm is trained with every seed. What every engine's job has: the
    problems, what is compared on them, how it is measured and kept.

    Raises:
        pydantic.ValidationError: unknown keys, values out of range, an objective that the
            baseline or num_generations doesn't allow, or two arms with one name.
    """

    task: TaskSettings = TaskSettings()
    training: Any  # the engine's StepSettings
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
        if max(self.seeds) >= 2**63:
            raise ValueError(f"seeds must be below 2^63, got {max(self.seeds)}")
        self.check_engine()
        for arm in self.arms:
            try:
                self._check_objectives(arm)
            except ValueError as error:
                raise ValueError(f"arm {arm.name!r}: {error}") from error
        return self

    def check_engine(self) -> None:
        """Refuse what the engine doesn't have."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """Of the task: what is trained on, measured meanwhile, and measured at the end."""
        return tuple(dict.fromkeys(("train", "validation", self.evaluation.final_split)))

    def credit(self, arm: ArmSettings) -> Credit:
        """How an arm's rewards become advantages."""
        return Credit(arm.baseline or self.training.baseline, arm.scale)

    def _check_objectives(self, arm: ArmSettings) -> None:
        """Refuse now what would fail at some later step."""
        chosen, steps = plan(arm.schedule), self.training.steps
        if isinstance(chosen, ByStep) and chosen.schedule.last_stage >= steps:
            raise ValueError(
                f"{chosen} changes at step {chosen.schedule.last_stage}, but training ends after "
                f"{steps} steps"
            )
        if isinstance(chosen, Plateau):
            self._check_plateau(chosen, steps)
        credit, num_generations = self.credit(arm), self.training.num_generations
        for objective in chosen.possible(steps):
            credit.check(objective, reweighted=self.training.reweighs)
            size = required_size(objective, credit.baseline)
            if num_generations < size:
                raise ValueError(
                    f"{objective} with baseline {credit.baseline!r} needs num_generations >= "
                    f"{size}, got {num_generations}"
                )

    def _check_plateau(self, chosen: Plateau, steps: int) -> None:
        ks, every = self.evaluation.k_values, self.evaluation.every
        if chosen.metric_k not in ks:
            raise ValueError(
                f"{chosen} follows pass@{chosen.metric_k}, but the evaluation's k_values are {ks}"
            )
        if (earliest := chosen.earliest_end(every)) >= steps:
            raise ValueError(
                f"with an evaluation every {every} steps, the last stage of {chosen} can't begin "
                f"before step {earliest}, but training ends after {steps} steps"
            )


class TrainConfig(JobSettings):
    """A job of the embedded engine: all arms of a seed start from one warm start, or from `model`,
    a pretrained one, to which `policy` and `warm_start` mean nothing.

    `keep_models` False stores none of the trained policies.
    """

    model: ModelSettings | None = None
    policy: PolicySettings = PolicySettings()
    warm_start: WarmStartSettings = WarmStartSettings()
    training: TrainingSettings = TrainingSettings()
    keep_models: bool = True

    @model_serializer(mode="wrap")
    def _without_the_meaningless(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        meaningless = ("model",) if self.model is None else ("policy", "warm_start")
        return {name: value for name, value in handler(self).items() if name not in meaningless}

    def check_engine(self) -> None:
        if self.model is not None and {"policy", "warm_start"} & self.model_fields_set:
            raise ValueError("a pretrained model has its own sizes and needs no warm start")


SMOLLM2 = "smollm2"
"""In a model's place: SmolLM2-135M-Instruct, which a package carries."""

SEED = "{seed}"
"""In a model's name, stands for the seed."""

SET_BY_JOB = frozenset(
    [
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
    ]
)
"""Fields of `PKPOConfig` that the job's own settings decide."""


class TrlConfig(JobSettings):
    """A job on TRL: all arms of a seed start from one model.

    Args:
        model: a folder or a name that transformers loads, or "smollm2"; "{seed}" in it stands for
            the seed.
        shots, shots_seed: see `ModelSettings`.
        trl: further fields of `pkpo.engines.trl.PKPOConfig`, such as use_vllm.
    """

    engine: Literal["trl"] = "trl"
    model: str = Field(min_length=1)
    shots: int = Field(default=0, ge=0)
    shots_seed: int = Field(default=0, ge=0)
    training: TrlTrainingSettings = TrlTrainingSettings()
    trl: dict[str, Any] = Field(default_factory=dict)

    def check_engine(self) -> None:
        if taken := sorted(SET_BY_JOB & set(self.trl)):
            raise ValueError(f"the job's own settings decide {', '.join(taken)}")
        for arm in self.arms:
            if arm.scale != "none" or arm.entropy_coef:
                raise ValueError(
                    f"arm {arm.name!r}: scale and entropy_coef are for the embedded engine; here "
                    "TRL's own GRPOTrainer has them"
                )

    def model_of(self, seed: int) -> str:
        return self.model.replace(SEED, str(seed))


CONFIGS: dict[str, type[JobSettings]] = {"embedded": TrainConfig, "trl": TrlConfig}
"""By engine."""


def engine_name(config: JobSettings) -> str:
    """What "engine" says in config.json; the embedded engine's settings say nothing."""
    return getattr(config, "engine", "embedded")


def read_config(path: Path) -> Any:
    """The config.json of a run directory or of your own making, as its engine's settings.

    Raises:
        OSError: the file can't be read.
        ValueError: it holds no settings.
    """
    text = path.read_text(encoding="utf-8")
    try:
        stored = from_json(text)
    except ValueError:
        stored = None  # refused below, with the place
    engine = stored.get("engine", "embedded") if isinstance(stored, dict) else "embedded"
    return CONFIGS.get(str(engine), TrainConfig).model_validate_json(text)
