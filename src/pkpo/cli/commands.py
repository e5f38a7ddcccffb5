"""The subcommands: each turns flags into one call."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import ValidationError
from rich.console import Console

from pkpo.core.weights import Baseline
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.report import write_report
from pkpo.train.config import (
    PolicySettings,
    TaskSettings,
    TrainConfig,
    TrainingSettings,
    WarmStartSettings,
    read_config,
)
from pkpo.train.job import Job, check_buildable
from pkpo.train.presets import make_arms, preset
from pkpo.train.run_directory import RunDirectory

_preset: Any = tyro.conf.arg(help_behavior_hint="(default: the task's preset)")
_optional: Any = tyro.conf.arg(help_behavior_hint="(optional)")


@dataclass(frozen=True)
class Train:
    """Train a small language model for several objectives, side by side.

    Without flags: warm-starts a 0.1-million-parameter transformer on grid programs, trains
    it for k = 1, 2, 8 and 8→1, measures pass@k exactly on held-out problems, and writes a
    report. Under 5 minutes on two cores.
    """

    task: str = "grid-programs"
    """Problem set: grid-programs or reasoning-gym."""

    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Options of the task, such as reward=cells or dataset=countdown."""

    objectives: Annotated[tuple[str, ...], _preset] = ()
    """What to train for, one arm each: an integer k, an objective such as
    "0.5*max@8 + 0.5*mean", or a schedule such as "8->1@400"."""

    learning_rates: Annotated[tuple[float, ...], _preset] = ()
    """One for all objectives or one each. For objectives of your own the default is the
    task's usual rate."""

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
    """How often each batch is used; more than 1 turns on PPO's clipping."""

    hidden: Annotated[int | None, _preset] = None
    """Width of the transformer."""

    layers: Annotated[int | None, _preset] = None
    """Depth of the transformer."""

    warm_start_steps: Annotated[int | None, _preset] = None
    """Supervised steps before training."""

    device: str = "cpu"
    """Torch device, such as cpu or cuda."""

    workers: int = 2
    """Processes at a time, one thread each."""

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/TASK-DATE-TIME)")
    ] = None
    """Run directory to make. Never overwritten."""

    config: Annotated[Path | None, _optional] = None
    """Take all settings from this config.json (of another run, say)."""

    resume: Annotated[Path | None, _optional] = None
    """Continue this run directory; all settings are its own."""

    def __call__(self, command: str) -> int:
        console = Console()
        if self.workers < 1:
            raise InvalidInputError(f"--workers must be >= 1, got {self.workers}")
        if self.resume is not None:
            self._refuse_with("--resume", allowed=("resume", "workers"))
            run = RunDirectory.open(self.resume)
        else:
            if self.config is not None:
                self._refuse_with("--config", allowed=("config", "workers", "out"))
                config = _read(self.config)
            else:
                config = self._settings()
            check_buildable(config)
            default = Path("runs") / f"{config.task.name}-{time.strftime('%Y%m%d-%H%M%S')}"
            run = RunDirectory.create(self.out or default, config, command)
        _say(console, f"Run directory: {run.path}")
        start = time.perf_counter()
        report = Job(run, workers=self.workers, console=console).run()
        _say(console, f"Report: {report}  ({time.perf_counter() - start:.0f} s)")
        return 0

    def _refuse_with(self, flag: str, allowed: tuple[str, ...]) -> None:
        default = Train()
        changed = [
            name
            for name in self.__dataclass_fields__
            if name not in allowed and getattr(self, name) != getattr(default, name)
        ]
        if changed:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            raise InvalidInputError(f"{flag} brings its own settings; leave out {flags}")

    def _settings(self) -> TrainConfig:
        base = preset(self.task)
        names = ("steps", "prompts_per_step", "num_generations", "baseline", "passes")
        training = TrainingSettings(**{**base.training, **self._given(*names)})
        warm_start = dict(base.warm_start)
        if self.warm_start_steps is not None:
            warm_start["steps"] = self.warm_start_steps
        arms = base.arms(training.steps)
        texts, rates = tuple(arms), tuple(arms.values())
        if self.objectives:
            texts, rates = self.objectives, (base.default_learning_rate,)
        return TrainConfig(
            task=TaskSettings(name=self.task, options={**base.options, **_options(self.option)}),
            policy=PolicySettings(**self._given("hidden", "layers")),
            warm_start=WarmStartSettings(**warm_start),
            training=training,
            arms=make_arms(texts, self.learning_rates or rates),
            seeds=self.seeds,
            device=self.device,
        )

    def _given(self, *names: str) -> dict[str, Any]:
        """The flags among `names` that were set."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Report:
    """Write the report of a run directory again, finished or not."""

    run: tyro.conf.Positional[Path]
    """Run directory."""

    def __call__(self, command: str) -> int:
        _say(Console(), f"Report: {write_report(self.run)}")
        return 0


def _say(console: Console, text: str) -> None:
    """Print text that holds a path: never wrapped, never read as markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _read(path: Path) -> TrainConfig:
    try:
        return read_config(path)
    except OSError as error:
        raise InvalidInputError(f"can't read --config {path}: {error.strerror}") from error


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; values are JSON where they parse as such, text otherwise."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInputError(f"--option takes NAME=VALUE, got {text!r}")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


_COMMANDS = {"train": Train, "report": Report}


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    chosen = tyro.extras.subcommand_cli_from_dict(
        _COMMANDS,
        prog="pkpo",
        description="Train for pass@k, and see what training does to it.",
        args=list(arguments),
    )
    try:
        return chosen(shlex.join(["pkpo", *arguments]))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'settings'}: {problem['msg']}"
            for problem in error.errors()
        )
        return _fail(problems)
    except PkpoError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\npkpo: interrupted; --resume continues the run", file=sys.stderr)
        return 130


def _fail(message: str) -> int:
    print(f"pkpo: {message}", file=sys.stderr)
    return 1
