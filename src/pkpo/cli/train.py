"""`pkpo train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pkpo.cli.arguments import read_options
from pkpo.cli.errors import UsageError
from pkpo.cli.flags import JobFlags, optional, reading_config, refused_as
from pkpo.errors import InvalidInputError
from pkpo.terminal import console
from pkpo.train.config import (
    JobSettings,
    TrlConfig,
    TrlTrainingSettings,
    engine_name,
    read_config,
)
from pkpo.train.presets import Preset

_TRL_ALONE = ("max_completion_length", "per_device_batch_size", "trl")
_EMBEDDED_ALONE = (
    "passes",
    "reuse",
    "truncate",
    "hidden",
    "layers",
    "warm_start_steps",
    "workers",
    "dtype",
    "lora_rank",
    "gradient_checkpointing",
    "prompt",
    "max_new_tokens",
    "too_long",
    "no_keep_models",
)


@dataclass(frozen=True)
class Train(JobFlags):
    """Train a small language model for several objectives, side by side.

    Without flags: warm-starts a 0.1-million-parameter transformer on grid programs, trains
    it for k = 1, 2, 8 and 8→1, measures pass@k exactly on held-out problems, and writes a
    report. Under 5 minutes on two cores.
    """

    engine: Literal["embedded", "trl"] = "embedded"
    """What trains: the embedded engine, or TRL on a transformers model (--model)."""

    max_completion_length: Annotated[int | None, optional] = None
    """With --engine trl: most tokens of a completion. By default the task's limit where the
    model speaks the task's tokens, with --shots half as many again as the longest reference
    answer has, and four, else 512."""

    per_device_batch_size: Annotated[int | None, optional] = None
    """With --engine trl: completions that a process takes through the model at a time. By
    default its whole share of a step."""

    trl: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """With --engine trl: further fields of PKPOConfig, such as use_vllm=true."""

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/TASK-DATE-TIME)")
    ] = None
    """Run directory to make. Never overwritten."""

    config: Annotated[Path | None, optional] = None
    """Take all settings from this config.json (of another run, say)."""

    resume: Annotated[Path | None, optional] = None
    """Continue this run directory; all settings are its own."""

    def __call__(self, command: str) -> int:
        shown = console()
        with refused_as(UsageError):
            self.check()
        if self.resume is not None:
            self._resume(self.resume)
            return 0
        refusal = UsageError if self.config is None else InvalidInputError
        with refused_as(refusal):
            config = self._new() if self.config is None else self._read(self.config)
        from pkpo.train.job import start_job

        refused = refused_as(refusal)
        start_job(config, self.out, command, shown, workers=self.workers, refused=refused)
        return 0

    def _resume(self, path: Path) -> None:
        with refused_as(UsageError):
            self.refuse_with("--resume", allowed=("resume", "workers"))
        from pkpo.train.job import resume_job
        from pkpo.train.run_directory import RunDirectory

        run = RunDirectory.open(path)
        with refused_as(UsageError):
            self.check_engine(engine_name(run.config))
        resume_job(run, console(), workers=self.workers)

    def _new(self) -> JobSettings:
        self.check_engine(self.engine)
        return self.trl_settings() if self.engine == "trl" else self.settings()

    def _read(self, path: Path) -> JobSettings:
        with refused_as(UsageError):
            self.refuse_with("--config", allowed=("config", "workers", "out"))
        with reading_config(path):
            config = read_config(path)
        with refused_as(UsageError):
            self.check_engine(engine_name(config))
        return config

    def check_engine(self, engine: str) -> None:
        """
        Raises:
            InvalidInputError: a flag was given that `engine` doesn't know.
        """
        if engine == "embedded":
            if wrong := self.changed(_TRL_ALONE):
                raise InvalidInputError(f"{', '.join(wrong)}: only with --engine trl")
        elif wrong := self.changed(_EMBEDDED_ALONE):
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
        base = self.preset if self.pretrained else Preset({})
        training = TrlTrainingSettings(**{**base.training, **self.given(TrlTrainingSettings)})
        return TrlConfig(
            model=self.model,
            shots=base.model.get("shots", 0) if self.shots is None else self.shots,
            trl=read_options(self.trl, "--trl"),
            **self.of_any_engine(training),
        )
