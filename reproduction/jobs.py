"""Training for the reproduction: run directories that the same command continues, and the flags
of main_job, reuse and baselines."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.train.config import (
    ArmSettings,
    PolicySettings,
    TaskSettings,
    TrainConfig,
    TrainingSettings,
    WarmStartSettings,
)
from pkpo.train.embedded.devices import check_buildable
from pkpo.train.job import Job
from pkpo.train.presets import preset
from pkpo.train.run_directory import RunDirectory

_TINY: dict[str, Any] = {"steps": 9, "prompts_per_step": 8}


def arguments(
    about: str | None, seeds: Sequence[int], tuning_seeds: Sequence[int]
) -> argparse.Namespace:
    """The flags that all have, parsed.

    Args:
        about: the module's docstring.
        seeds: reported by default.
        tuning_seeds: those that settings are chosen with.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--task", default="grid-programs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--tuning-seeds", type=int, nargs="+", default=list(tuning_seeds))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try it")
    given = parser.parse_args()
    if set(given.seeds) & set(given.tuning_seeds):
        parser.error("--seeds and --tuning-seeds must have none in common")
    return given


def command(module: str, given: argparse.Namespace) -> str:
    """As it can be typed again."""
    seeds, tuning = (" ".join(map(str, s)) for s in (given.seeds, given.tuning_seeds))
    return (
        f"python -m reproduction.{module} --task {given.task} --seeds {seeds} "
        f"--tuning-seeds {tuning} --out {given.out}"
    )


def config_of(
    task: str,
    arms: Sequence[ArmSettings],
    seeds: Sequence[int],
    *,
    tiny: bool,
    **training: Any,
) -> TrainConfig:
    """The task's preset with these arms, seeds and changes to the training settings."""
    settings = preset(task)
    small = _TINY if tiny else {}
    return TrainConfig(
        task=TaskSettings(name=task, options=dict(settings.options)),
        policy=PolicySettings(**({"hidden": 32} if tiny else {})),
        warm_start=WarmStartSettings(**{**settings.warm_start, **({"steps": 100} if tiny else {})}),
        training=TrainingSettings(**{**settings.training, **small, **training}),
        arms=tuple(arms),
        seeds=tuple(seeds),
    )


def do_job(
    path: Path,
    config: TrainConfig,
    workers: int,
    typed: str,
    *,
    console: Console | None = None,
    report: bool = True,
) -> RunDirectory[TrainConfig]:
    """Do what is left to do of a job in `path`.

    Raises:
        InvalidInputError: `path` holds a run with other settings.
        Interrupted, JobError: as `pkpo.train.job.Job`; the same call goes on.
    """
    if (path / "config.json").exists():
        directory = RunDirectory.open(path)
        if directory.config != config:
            raise InvalidInputError(
                f"{path} holds a run with other settings; remove it or choose another --runs"
            )
    else:
        check_buildable(config)
        directory = RunDirectory.create(path, config, typed)
    Job(directory, workers=workers, console=console or Console(), report=report).run()
    return directory


def copy(path: Path, out: Path, names: Iterable[str]) -> None:
    """Copy files and folders of a run directory into the results."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (path / name).is_dir():
            shutil.copytree(path / name, out / name, dirs_exist_ok=True)
        else:
            shutil.copy(path / name, out / name)
