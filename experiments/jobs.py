"""What the experiments share: a run directory that is continued by the same command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from pkpo.train.config import (
    ArmSettings,
    PolicySettings,
    TaskSettings,
    TrainConfig,
    TrainingSettings,
    WarmStartSettings,
)
from pkpo.train.job import Job
from pkpo.train.presets import preset
from pkpo.train.run_directory import RunDirectory

TINY: dict[str, Any] = {"steps": 9, "prompts_per_step": 8}
"""Training settings that only show that a script runs."""


def config_of(
    task: str,
    arms: tuple[ArmSettings, ...],
    seeds: tuple[int, ...],
    *,
    tiny: bool,
    **training: Any,
) -> TrainConfig:
    """The task's preset with these arms, seeds and changes to the training settings."""
    settings = preset(task)
    small = TINY if tiny else {}
    return TrainConfig(
        task=TaskSettings(name=task, options=dict(settings.options)),
        policy=PolicySettings(**({"hidden": 32} if tiny else {})),
        warm_start=WarmStartSettings(**{**settings.warm_start, **({"steps": 100} if tiny else {})}),
        training=TrainingSettings(**{**settings.training, **small, **training}),
        arms=arms,
        seeds=seeds,
    )


def run(path: Path, config: TrainConfig, workers: int, command: str) -> RunDirectory:
    """Do what is left to do of a job in `path`.

    Raises:
        ValueError: `path` holds a run with other settings.
    """
    if (path / "config.json").exists():
        directory = RunDirectory.open(path)
        if directory.config != config:
            raise ValueError(f"{path} holds a run with other settings; choose another --runs")
    else:
        directory = RunDirectory.create(path, config, command)
    Job(directory, workers=workers, console=Console()).run()
    return directory


def copy(path: Path, out: Path, names: Iterable[str]) -> None:
    """Copy files and folders of a run directory into the results."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (path / name).is_dir():
            shutil.copytree(path / name, out / name, dirs_exist_ok=True)
        else:
            shutil.copy(path / name, out / name)


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
