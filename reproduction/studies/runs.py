"""Running a study: every candidate with the tuning seeds, then the chosen ones with the reported
seeds. Both are ordinary run directories, which the same command continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.report.load import load_run
from pkpo.report.records import Arm, ArmRun, Run
from pkpo.report.records import Scores as Evaluation
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.embedded.devices import check_buildable
from pkpo.train.job import Job
from pkpo.train.run_directory import RunDirectory
from reproduction.studies.controls import controls_left, run_controls
from reproduction.studies.settings import K_VALUES, Study

TUNING, REPORTED = "tuning", "reported"


@dataclass(frozen=True)
class Choice:
    """What validation chose of a method's candidates, before any reported seed was trained.

    Args:
        overall: the arm with the highest mean of pass@k over all k.
        by_k: for each k, the arm with the highest pass@k; `overall` for all where the study
            doesn't report each k's.
        scores: by arm and k, validation pass@k in [0, 1] after the last step, mean over the
            tuning seeds.
    """

    overall: str
    by_k: Mapping[int, str]
    scores: Mapping[str, Mapping[int, float]]

    @property
    def names(self) -> tuple[str, ...]:
        """Every arm that was chosen for something."""
        return tuple(dict.fromkeys((self.overall, *self.by_k.values())))


@dataclass(frozen=True)
class StudyData:
    """A study that has run.

    Args:
        study: its settings.
        choices: by method.
        tuning, reported: its run directories, read.
    """

    study: Study
    choices: Mapping[str, Choice]
    tuning: Run
    reported: Run

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.reported.arms if arm.name == name)

    def chosen(self, method: str, k: int | None = None) -> Arm:
        """The reported arm of a method: chosen over all k, or for one k alone."""
        choice = self.choices[method]
        return self.arm(choice.overall if k is None else choice.by_k[k])

    def scores(self, method: str, k: int, *, for_k: bool = False) -> np.ndarray:
        """Held-out pass@k by reported seed, in [0, 1].

        Args:
            method: label.
            k: of pass@k.
            for_k: of the candidate that was chosen for this k alone.
        """
        return pass_at_k(self.chosen(method, k if for_k else None), k)

    def base(self, k: int) -> np.ndarray:
        """Held-out pass@k of the warm starts, by reported seed."""
        return np.array([self.reported.base[s].pass_at_k[k] for s in self.reported.seeds])


def pass_at_k(arm: Arm, k: int) -> np.ndarray:
    """Held-out pass@k by seed."""
    return np.array([_measured(run).pass_at_k[k] for run in arm.runs])


def _measured(run: ArmRun) -> Evaluation:
    assert run.evaluation is not None
    return run.evaluation


def settings(data: StudyData) -> dict[str, Any]:
    """What the numbers of a study follow from."""
    study = data.study
    return {
        "study": study.name,
        "task": study.task,
        "options": dict(study.options),
        "warm_start": dict(study.warm_start),
        "training": dict(study.training),
        "hidden": study.hidden,
        "learning_rates": list(study.learning_rates),
        "tuning_seeds": list(study.tuning_seeds),
        "seeds": list(study.seeds),
        "k_values": list(K_VALUES),
        "chosen": {
            label: {
                "all k": choice.overall,
                **{f"k={k}": arm for k, arm in choice.by_k.items()},
            }
            for label, choice in data.choices.items()
        },
    }


def choose(study: Study, tuning: Run) -> dict[str, Choice]:
    """By method, the arms with the best validation results in the tuning runs.

    Raises:
        RunDirectoryError: a run is missing or isn't finished.
    """
    last = {arm.name: _validation(arm, study, tuning.path) for arm in tuning.arms}
    choices = {}
    for label, candidates in study.candidates().items():
        scores: dict[str, dict[int, float]] = {}
        for arm in candidates:
            if arm.name not in last:
                raise RunDirectoryError(f"{tuning.path}: arm {arm.name!r} has not been trained")
            scores[arm.name] = last[arm.name]
        overall = max(scores, key=lambda name: float(np.mean(list(scores[name].values()))))
        by_k = {
            k: max(scores, key=lambda name: scores[name][k]) if study.each_k else overall
            for k in K_VALUES
        }
        choices[label] = Choice(overall, by_k, scores)
    return choices


def _validation(arm: Arm, study: Study, path: Path) -> dict[int, float]:
    found = []
    for run in arm.runs:
        at_end = [c for c in run.checkpoints if c.step == study.steps]
        if run.evaluation is None or not at_end:
            raise RunDirectoryError(f"{path}: {arm.name}, seed {run.seed}, is not finished")
        found.append(at_end[-1].pass_at_k)
    if len(found) != len(study.tuning_seeds):
        raise RunDirectoryError(f"{path}: {arm.name} lacks a seed of {study.tuning_seeds}")
    return {k: float(np.mean([scores[k] for scores in found])) for k in K_VALUES}


def reported_config(study: Study, choices: Mapping[str, Choice]) -> TrainConfig:
    """The job that trains what was chosen with the reported seeds."""
    names = {name for choice in choices.values() for name in choice.names}
    candidates = [arm for found in study.candidates().values() for arm in found]
    arms: tuple[ArmSettings, ...] = tuple(arm for arm in candidates if arm.name in names)
    return study.config(arms, study.seeds)


def run_study(study: Study, folder: Path, *, workers: int, console: Console, command: str) -> None:
    """Do what is left to do of a study in `folder`.

    Raises:
        InvalidInputError: the folder holds runs with other settings.
        Interrupted, JobError: as `pkpo.train.job.Job`; the same call goes on.
    """
    _run(study.tuning(), folder / TUNING, workers, console, command)
    choices = choose(study, load_run(folder / TUNING))
    _run(reported_config(study, choices), folder / REPORTED, workers, console, command)
    if study.controls:
        run_controls(folder / REPORTED, workers=workers, console=console, resume=command)


def load_study(study: Study, folder: Path) -> StudyData:
    """Read a study that has run.

    Raises:
        RunDirectoryError: some of it is missing or damaged.
    """
    tuning = load_run(folder / TUNING)
    choices = choose(study, tuning)
    reported = load_run(folder / REPORTED)
    for arm in reported_config(study, choices).arms:
        found = [a for a in reported.arms if a.name == arm.name and len(a.finished) == len(a.runs)]
        if not found or len(found[0].runs) != len(study.seeds):
            raise RunDirectoryError(f"{folder / REPORTED}: {arm.name} is not finished")
    if study.controls and controls_left(folder / REPORTED, study.seeds):
        raise RunDirectoryError(
            f"{folder / REPORTED}: a sampler that doesn't learn is not finished"
        )
    return StudyData(study, choices, tuning, reported)


def is_done(study: Study, folder: Path) -> bool:
    """Whether nothing of the study is left to do."""
    try:
        load_study(study, folder)
    except RunDirectoryError:
        return False
    return True


def _run(config: TrainConfig, path: Path, workers: int, console: Console, command: str) -> None:
    if (path / "config.json").exists():
        directory = RunDirectory.open(path)
        if directory.config != config:
            raise InvalidInputError(
                f"{path} holds a run with other settings; remove it or give another --out"
            )
    else:
        check_buildable(config)
        directory = RunDirectory.create(path, config, command)
    Job(directory, workers=workers, console=console, report=False).run()
