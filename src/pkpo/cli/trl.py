"""`pkpo train --engine trl`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.flags import JobFlags, optional, read_options, refused_as
from pkpo.errors import InvalidInputError, needing
from pkpo.train.config import TaskSettings, TrainingSettings
from pkpo.train.presets import preset
from pkpo.train.trl_job.config import TrlConfig, TrlTrainingSettings, read_trl_config

if TYPE_CHECKING:
    from rich.console import Console

Engine = Literal["embedded", "trl"]

_TRAINING = (
    "steps",
    "prompts_per_step",
    "num_generations",
    "baseline",
    "max_completion_length",
    "per_device_batch_size",
)
_OWN = ("model", "max_completion_length", "per_device_batch_size", "trl")
_SHARED = (
    "engine",
    "task",
    "option",
    "objectives",
    "methods",
    "learning_rates",
    "seeds",
    "steps",
    "prompts_per_step",
    "num_generations",
    "baseline",
    "checkpoint_every",
    "device",
    "out",
    "config",
    "resume",
)


@dataclass(frozen=True)
class EngineFlags(JobFlags):
    """Which engine trains, and what TRL needs to know."""

    engine: Engine = "embedded"
    """What trains: the embedded engine, or TRL on a transformers model (--model)."""

    model: Annotated[str | None, optional] = None
    """With --engine trl: folder or name of a model, such as the warm start of a run;
    {seed} in it stands for the seed."""

    max_completion_length: Annotated[int | None, optional] = None
    """With --engine trl: most tokens of a completion. By default the task's limit where the
    model speaks the task's tokens, else 512."""

    per_device_batch_size: Annotated[int | None, optional] = None
    """With --engine trl: completions that a process takes through the model at a time. By
    default its whole share of a step."""

    trl: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """With --engine trl: further fields of PKPOConfig, such as use_vllm=true."""

    def _changed(self, names: Iterable[str]) -> list[str]:
        default = type(self)()
        return [
            f"--{name.replace('_', '-')}"
            for name in names
            if getattr(self, name) != getattr(default, name)
        ]

    def check_engine(self, engine: Engine) -> None:
        """
        Raises:
            InvalidInputError: a flag was given that `engine` doesn't know.
        """
        if engine == "embedded":
            if wrong := self._changed(_OWN):
                raise InvalidInputError(f"{', '.join(wrong)}: only with --engine trl")
        elif wrong := self._changed(
            n for n in self.__dataclass_fields__ if n not in _OWN + _SHARED
        ):
            raise InvalidInputError(f"--engine trl doesn't know {', '.join(wrong)}")

    def trl_settings(self) -> TrlConfig:
        """The settings of a job on TRL.

        Raises:
            InvalidInputError: a flag without which there is no such job is missing.
        """
        if self.model is None:
            raise InvalidInputError("--engine trl needs --model, a folder or name of a model")
        if not self.learning_rates:
            raise InvalidInputError(
                "--engine trl needs --learning-rates, since the right one depends on the model: "
                "3e-4 suits the embedded engine's, 1e-6 many language models"
            )
        options = {**preset(self.task).options, **read_options(self.option)}
        training = TrlTrainingSettings(**self._given(*_TRAINING))
        sizes = TrainingSettings(steps=training.steps, num_generations=training.num_generations)
        return TrlConfig(
            model=self.model,
            task=TaskSettings(name=self.task, options=options),
            training=training,
            arms=self._arms(sizes),
            seeds=self.seeds,
            device=self.device,
            trl=read_options(self.trl, "--trl"),
            **self._given("checkpoint_every"),
        )


def engine_of(config: Path) -> Engine:
    """Whose settings the file `config` holds; "embedded" too for one that can't be read."""
    try:
        stored = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "embedded"
    return "trl" if isinstance(stored, dict) and stored.get("engine") == "trl" else "embedded"


def run_trl(
    flags: EngineFlags,
    command: str,
    console: Console,
    *,
    out: Path | None,
    config: Path | None,
    resume: Path | None,
) -> None:
    """Start or continue a job on TRL.

    Args:
        flags: the settings where neither `config` nor `resume` is given.
        command: as given.
        console: where it reports.
        out, config, resume: the flags of these names.
    """
    job = _job()
    if resume is not None:
        job.resume(resume, console)
    else:
        with refused_as(UsageError if config is None else InvalidInputError):
            settings = flags.trl_settings() if config is None else _read(config)
            job.start(settings, out, command, console)


def _read(path: Path) -> TrlConfig:
    try:
        return read_trl_config(path)
    except OSError as error:
        raise InvalidInputError(f"can't read --config {path}: {error.strerror}") from error


def _job() -> Any:
    with needing("--engine trl", "trl"):
        from pkpo.train.trl_job import job
    return job
