"""Running a study: every candidate with the tuning seeds, then the chosen ones with the reported
seeds. Both are ordinary run directories, which the same command continues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pkpo.errors import RunDirectoryError
from pkpo.report.load import load_run
from pkpo.report.records import Arm, Run
from pkpo.train.config import TrainConfig
from reproduction.jobs import do_job
from reproduction.studies.controls import run_controls
from reproduction.studies.settings import K_VALUES, Study

TUNING, REPORTED = "tuning", "reported"


def choose(scores: Mapping[str, Mapping[int, float]]) -> str:
    """The candidate with the highest mean of pass@k over all k; the first of equals.

    Args:
        scores: by arm and k, validation pass@k after the last step, mean over the tuning seeds.
    """
    return max(scores, key=lambda name: float(np.mean(list(scores[name].values()))))


def validation_scores(study: Study, tuning: Run) -> dict[str, dict[int, dict[int, float]]]:
    """By arm, tuning seed and k, validation pass@k after the last step.

    Raises:
        RunDirectoryError: a run is missing or isn't finished.
    """
    trained = {arm.name: arm for arm in tuning.arms}
    found = {}
    for arms in study.candidates().values():
        for arm in arms:
            if arm.name not in trained:
                raise RunDirectoryError(f"{tuning.path}: arm {arm.name!r} has not been trained")
            found[arm.name] = _at_end(trained[arm.name], study, tuning.path)
    return found


def _at_end(arm: Arm, study: Study, path: Path) -> dict[int, dict[int, float]]:
    found = {}
    for run in arm.runs:
        at_end = [c for c in run.checkpoints if c.step == study.steps]
        if run.evaluation is None or not at_end:
            raise RunDirectoryError(f"{path}: {arm.name}, seed {run.seed}, is not finished")
        found[run.seed] = {k: at_end[-1].pass_at_k[k] for k in K_VALUES}
    if len(found) != len(study.tuning_seeds):
        raise RunDirectoryError(f"{path}: {arm.name} lacks a seed of {study.tuning_seeds}")
    return found


def over_seeds(scores: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """Means over seeds, by k."""
    return {k: float(np.mean([by_k[k] for by_k in scores.values()])) for k in K_VALUES}


def choices(study: Study, scores: Mapping[str, dict[int, dict[int, float]]]) -> dict[str, str]:
    """The arm that was chosen, by method."""
    return {
        label: choose({arm.name: over_seeds(scores[arm.name]) for arm in arms})
        for label, arms in study.candidates().items()
    }


def reported_config(study: Study, chosen: Mapping[str, str]) -> TrainConfig:
    """The job that trains what was chosen with the reported seeds."""
    names = set(chosen.values())
    candidates = [arm for found in study.candidates().values() for arm in found]
    return study.config(tuple(arm for arm in candidates if arm.name in names), study.seeds)


def run_study(study: Study, folder: Path, *, workers: int, console: Console, command: str) -> None:
    """Do what is left to do of a study in `folder`.

    Raises:
        InvalidInputError: the folder holds runs with other settings.
        Interrupted, JobError: as `pkpo.train.job.Job`; the same call goes on.
    """
    kept: Any = {"console": console, "report": False}
    do_job(folder / TUNING, study.tuning(), workers, command, **kept)
    chosen = choices(study, validation_scores(study, load_run(folder / TUNING)))
    do_job(folder / REPORTED, reported_config(study, chosen), workers, command, **kept)
    if study.controls:
        run_controls(folder / REPORTED, workers=workers, console=console, resume=command)
