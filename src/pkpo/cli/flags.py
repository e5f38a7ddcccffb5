"""The flags that say what is trained, shared by the subcommands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import ValidationError

from pkpo.cli.arguments import read_options
from pkpo.core.weights import Baseline
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.tasks.registry import describe_options
from pkpo.train.config import (
    SMOLLM2,
    ArmSettings,
    EvaluationSettings,
    ModelSettings,
    PolicySettings,
    Settings,
    StepSettings,
    TaskSettings,
    TrainConfig,
    TrainingSettings,
    WarmStartSettings,
)
from pkpo.train.methods import method_arms
from pkpo.train.presets import Preset, make_arms, one_each, preset, pretrained_preset

_preset: Any = tyro.conf.arg(help_behavior_hint="(default: the task's preset)")
optional: Any = tyro.conf.arg(help_behavior_hint="(optional)")


@dataclass(frozen=True)
class JobFlags:
    """Task, policy, objectives, seeds and training, each with a default."""

    task: str = "grid-programs"
    """Problem set, one of those that `pkpo tasks` lists; without a --model the embedded engine
    takes grid-programs, reasoning-gym and functions."""

    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """Options of the task, such as reward=cells or dataset=countdown; `--option help` lists
    those of the --task."""

    objectives: Annotated[tuple[str, ...], _preset] = ()
    """What to train for, one arm each: an integer k, an objective such as
    "0.5*max@8 + 0.5*mean", a schedule such as "8->1@400", or another plan:
    "plateau(8, 1)" moves on once validation pass@8 stops rising, "per_prompt(8)" picks a k
    for each prompt from its earlier samples."""

    methods: Annotated[tuple[str, ...], optional] = ()
    """Methods of the literature, beside the objectives if any: pass@1, tzsm25, maxrl,
    mixed(8), grpo, entropy (five coefficients; validation picks) or entropy(0.01), pkpo@8,
    annealed(8). docs/baselines.md says what each trains."""

    learning_rates: Annotated[tuple[float, ...], _preset] = ()
    """One for all, or one for each objective and then each method. For objectives and
    methods of your own choice the default is the task's usual rate."""

    seeds: tuple[int, ...] = (0,)
    """Each seed has its own warm start, on which every arm is trained."""

    steps: Annotated[int | None, _preset] = None
    """Training steps."""

    prompts_per_step: Annotated[int | None, _preset] = None
    """Problems in a step."""

    num_generations: Annotated[int | None, _preset] = None
    """Completions sampled for each problem, n."""

    baseline: Annotated[Baseline | None, _preset] = None
    """Variance reduction; see `pkpo.advantages`."""

    passes: Annotated[int | None, _preset] = None
    """How often each batch is used."""

    reuse: Annotated[Literal["clip", "exact"] | None, _preset] = None
    """What the passes after the first follow: PPO's clipped surrogate, or exact importance
    weights of whole completions; see docs/offpolicy.md."""

    truncate: Annotated[float | None, optional] = None
    """Bound of the importance ratios under --reuse exact; biased."""

    model: Annotated[str | None, optional] = None
    """Pretrained language model to be trained: smollm2 (fetched, converted and cached), a folder
    in the transformers format, or a name on the Hugging Face hub. With --engine trl also such as
    the warm start of a run; {seed} in it stands for the seed there."""

    dtype: Annotated[Literal["float32", "bfloat16"] | None, optional] = None
    """Of the --model's weights (default: float32)."""

    lora_rank: Annotated[int | None, optional] = None
    """Train adapters of this rank on the --model instead of all its weights."""

    gradient_checkpointing: tyro.conf.FlagCreatePairsOff[bool] = False
    """Compute the --model's activations again in the backward pass instead of keeping them:
    less memory for long completions, a third more time."""

    prompt: Annotated[Literal["chat", "text"] | None, optional] = None
    """How the --model is asked: by its chat template (default), or in plain text, where a line
    break ends an answer."""

    shots: Annotated[int | None, _preset] = None
    """Solved training problems that every prompt of the --model shows first: by default 4, and
    with --engine trl 0, but for smollm2. TRL wants a chat template for them."""

    max_new_tokens: Annotated[int | None, optional] = None
    """Most tokens of a completion of the --model. By default half as many again as the longest
    reference answer has, and four."""

    too_long: Annotated[Literal["refuse", "drop"] | None, optional] = None
    """What happens to problems that are too long for the --model (default: refuse)."""

    no_keep_models: tyro.conf.FlagCreatePairsOff[bool] = False
    """Don't store the trained models."""

    num_samples: Annotated[int | None, _preset] = None
    """Samples of each problem in evaluations, where pass@k isn't computed exactly."""

    evaluate_every: Annotated[int | None, _preset] = None
    """Training steps from one evaluation on validation problems to the next."""

    hidden: Annotated[int | None, _preset] = None
    """Width of the transformer."""

    layers: Annotated[int | None, _preset] = None
    """Depth of the transformer."""

    warm_start_steps: Annotated[int | None, _preset] = None
    """Supervised steps before training."""

    checkpoint_every: Annotated[int | None, optional] = None
    """Training steps from one checkpoint to the next (default: 100); the embedded engine makes
    one a minute in any case."""

    device: str = "cpu"
    """Torch device, such as cpu or cuda."""

    workers: int = 2
    """Processes at a time, one thread each."""

    def check(self) -> None:
        """
        Raises:
            InvalidInputError: a flag that is no setting of the job has no sensible value.
            SystemExit: the options of the task were asked for, and are printed.
        """
        if "help" in self.option:
            print(f"Options of the task {self.task}:\n\n{describe_options(self.task)}")
            raise SystemExit(0)
        if self.workers < 1:
            raise InvalidInputError(f"--workers must be >= 1, got {self.workers}")

    def changed(self, names: Iterable[str]) -> list[str]:
        """Those of the flags `names` that were given, as they are written."""
        default = type(self)()
        return [
            f"--{name.replace('_', '-')}"
            for name in names
            if getattr(self, name) != getattr(default, name)
        ]

    def refuse_with(self, flag: str, allowed: tuple[str, ...]) -> None:
        """
        Raises:
            InvalidInputError: a flag other than `allowed` was given beside `flag`.
        """
        others = (name for name in self.__dataclass_fields__ if name not in allowed)
        if wrong := self.changed(others):
            raise InvalidInputError(f"{flag} brings its own settings; leave out {', '.join(wrong)}")

    def settings(self) -> TrainConfig:
        """The whole job's settings: the task's preset, changed by the flags that were given."""
        base = self.preset
        steps = {} if self.warm_start_steps is None else {"steps": self.warm_start_steps}
        model = self.given(ModelSettings)
        if self.model is None:
            if model:
                raise InvalidInputError(f"{', '.join(self.changed(model))}: only with --model")
            policy: dict[str, Settings] = {
                "policy": PolicySettings(**self.given(PolicySettings)),
                "warm_start": WarmStartSettings(**{**base.warm_start, **steps}),
            }
        elif wrong := self.changed(("hidden", "layers", "warm_start_steps")):
            raise InvalidInputError(f"{', '.join(wrong)}: not with --model")
        else:
            policy = {"model": ModelSettings(**{**base.model, **model, "name": self.model})}
        training = TrainingSettings(**{**base.training, **self.given(TrainingSettings)})
        return TrainConfig(
            **policy, **self.of_any_engine(training), keep_models=not self.no_keep_models
        )

    @property
    def preset(self) -> Preset:
        """What the job has unless flags say otherwise."""
        if self.pretrained:
            return pretrained_preset(self.task, lora=self.lora_rank is not None)
        return preset(self.task)

    @property
    def pretrained(self) -> bool:
        """Whether the preset is that of pretrained models; TRL is given models of every kind."""
        any_model = getattr(self, "engine", "embedded") == "embedded"
        return self.model == SMOLLM2 or (any_model and self.model is not None)

    def of_any_engine(self, training: StepSettings) -> dict[str, Any]:
        """The settings that every engine's job has, by name."""
        base = self.preset
        options = {**base.options, **read_options(self.option)}
        given = dict(base.intervals)
        if self.checkpoint_every is not None:
            given["checkpoint_every"] = self.checkpoint_every
        measured = {"num_samples": self.num_samples, "every": self.evaluate_every}
        measured = {name: value for name, value in measured.items() if value is not None}
        return given | {
            "evaluation": EvaluationSettings(**{**base.evaluation, **measured}),
            "task": TaskSettings(name=self.task, options=options),
            "training": training,
            "arms": self.arms(training),
            "seeds": self.seeds,
            "device": self.device,
        }

    def arms(self, training: StepSettings) -> tuple[ArmSettings, ...]:
        """Of the objectives, then of the methods; the preset's without either."""
        base = self.preset
        count = len(self.objectives) + len(self.methods)
        if not count:
            arms = base.arms(training.steps)
            return make_arms(tuple(arms), self.learning_rates or tuple(arms.values()))
        rates = one_each(self.learning_rates or (base.default_learning_rate,), count)
        arms = make_arms(self.objectives, rates[: len(self.objectives)])
        for text, rate in zip(self.methods, rates[len(self.objectives) :]):
            arms += method_arms(
                text,
                steps=training.steps,
                num_generations=training.num_generations,
                learning_rate=rate,
            )
        return arms

    def given(self, section: type[Settings]) -> dict[str, Any]:
        """The flags of a section's fields that were set."""
        found = {name: getattr(self, name, None) for name in section.model_fields}
        return {
            name: value for name, value in found.items() if value is not None and value is not False
        }


@contextmanager
def refused_as(kind: type[PkpoError]) -> Iterator[None]:
    """Raise what is wrong with settings as `kind`: UsageError where they come from flags."""
    try:
        yield
    except ValidationError as error:
        raise kind("; ".join(map(_explain, error.errors()))) from error
    except InvalidInputError as error:
        raise kind(str(error)) from error


@contextmanager
def reading_config(path: Path) -> Iterator[None]:
    """Explain that the file of --config can't be read, where that is raised inside."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(f"can't read --config {path}: {error.strerror}") from error


def _explain(problem: Any) -> str:
    place = ".".join(map(str, problem["loc"])) or "settings"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
