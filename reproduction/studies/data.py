"""The data of a finished study: all that figures, tables and verdicts need, small enough to keep.

NAME.json has settings, validation scores of every candidate, and what was measured at the end;
NAME.csv has the curves, a row for every BIN training steps. Axis suffixes: A seeds, S rows of the
curves, C evaluations during training.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pkpo.errors import RunDirectoryError
from pkpo.report.load import load_run
from pkpo.report.records import Arm, ArmRun, Run, Scores
from pkpo.tasks.registry import build_task
from pkpo.train.config import ArmSettings
from reproduction.measures import Measure, by_seed
from reproduction.results import versions, write_text
from reproduction.studies.controls import KINDS, controls_left, read_control
from reproduction.studies.run import (
    REPORTED,
    TUNING,
    choices,
    choose,
    over_seeds,
    reported_config,
    validation_scores,
)
from reproduction.studies.settings import K_VALUES, Study

BIN = 5
"""Training steps in a row of the curves."""

SOLVED = "cumulative_solve_rate"
FIELDS = (*(f"pass@{k}" for k in K_VALUES), "entropy", SOLVED, "signal_fraction")
"""Of the curves: means over the steps of a row, the solve rate at its end."""

HARD_BELOW = 1 / 16
"""Problems that the warm start solves with less than this chance are hard for it."""

WARM_START = "warm start"


@dataclass(frozen=True)
class ArmData:
    """An arm with its reported runs.

    Args:
        settings: its settings, as in config.json.
        seeds: of its runs.
        ends: by name, what was measured at the end (A,): "pass@K" and "max@K" on test problems,
            "hard pass@16" on those that are hard for the warm start, "entropy" and "distinct"
            solutions there, and "solved", the cumulative solve rate on training problems.
        steps: at which each row of the curves ends (S,).
        curves: FIELDS (A, S).
        validation: steps (C,) and by k pass@k (A, C) of the evaluations during training.
        switches: steps at which the objective changes.
    """

    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    ends: Mapping[str, np.ndarray]
    steps: np.ndarray
    curves: Mapping[str, np.ndarray]
    validation: tuple[np.ndarray, Mapping[int, np.ndarray]]
    switches: tuple[int, ...] = ()

    @property
    def setting(self) -> str:
        """Such as "lr 0.001, coefficient 0.01"."""
        return _setting(self.settings)


@dataclass(frozen=True)
class StudyData:
    """A study that has run.

    Args:
        record: NAME.json.
        arms: the reported arms by name.
        tuning: those of the tuning runs without an entropy bonus.
    """

    record: Mapping[str, Any]
    arms: Mapping[str, ArmData]
    tuning: Mapping[str, ArmData]

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def title(self) -> str:
        return self.record["title"]

    @property
    def steps(self) -> int:
        return self.record["steps"]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.record["methods"])

    @cached_property
    def scores(self) -> dict[str, dict[int, dict[int, float]]]:
        """By candidate, tuning seed and k, validation pass@k after the last step."""
        return {
            arm: {int(seed): dict(zip(K_VALUES, at_k)) for seed, at_k in by_seed.items()}
            for arm, by_seed in self.record["tuning"].items()
        }

    @cached_property
    def choices(self) -> dict[str, str]:
        """The arm that validation chose, by method."""
        return {
            method: choose({arm: over_seeds(self.scores[arm]) for arm in arms})
            for method, arms in self.record["methods"].items()
        }

    def chosen(self, method: str) -> ArmData:
        """The reported arm of a method."""
        return self.arms[self.choices[method]]

    def present(self, methods: Iterable[str]) -> tuple[str, ...]:
        """Those of the methods that the study has."""
        return tuple(method for method in methods if method in self.record["methods"])

    def end(self, method: str, name: str) -> Measure:
        """What was measured at the end, by seed; of the warm starts too.

        Args:
            method: label, or WARM_START.
            name: key of `ArmData.ends`.
        """
        if method == WARM_START:
            return by_seed([float(run[name]) for run in self.record["warm_start"].values()])
        arm = self.chosen(method)
        return by_seed(arm.ends[name], arm.setting)

    def setting(self, arm: str) -> str:
        """Of a candidate, such as "lr 0.001, coefficient 0.01"."""
        return _setting(self.record["arms"][arm])

    def has(self, name: str) -> bool:
        """Whether `name` was measured at the end of every run."""
        return all(name in arm.ends for arm in self.arms.values())

    def control(self, kind: str) -> np.ndarray:
        """Cumulative solve rate (A, S) of a sampler that doesn't learn."""
        return np.array(list(self.record["controls"][kind].values()))

    def measures(self, methods: Iterable[str]) -> dict[str, Measure]:
        """What claims are judged by, each "STUDY METHOD NAME"."""
        found = {}
        for method in (WARM_START, *self.present(methods)):
            of = f"{self.name} {method}"
            for k in K_VALUES:
                found[f"{of} pass@{k}"] = self.end(method, f"pass@{k}")
            if method != WARM_START:
                for name in ("solved", "hard pass@16"):
                    if self.has(name):
                        found[f"{of} {name}"] = self.end(method, name)
        return found


def data_path(folder: Path, name: str) -> Path:
    """Where a study's data is."""
    return folder / f"{name}.json"


def condense(study: Study, runs: Path, folder: Path, command: str) -> Path:
    """Write the data of a study that has run.

    Args:
        study: its settings.
        runs: folder of its run directories.
        folder: of the data, made if it is missing.
        command: that trained it.

    Returns:
        The path of NAME.json.

    Raises:
        RunDirectoryError: some of the training is missing or damaged.
    """
    tuning, reported = load_run(runs / TUNING), load_run(runs / REPORTED)
    scores = validation_scores(study, tuning)
    chosen = reported_config(study, choices(study, scores)).arms
    trained = {arm.name: arm for arm in reported.arms}
    for arm in chosen:
        found = trained.get(arm.name)
        if found is None or len(found.finished) != len(study.seeds):
            raise RunDirectoryError(f"{runs / REPORTED}: {arm.name} is not finished")
    if study.controls and controls_left(runs / REPORTED, study.seeds):
        raise RunDirectoryError(f"{runs / REPORTED}: a sampler that doesn't learn is not finished")
    record, curves = condensed(study, tuning, reported)
    record |= {
        "train_problems": len(build_task(study.task, study.options).ids("train")),
        "command": reported.command or command,
        "versions": {**versions(), **reported.versions},
    }
    if study.controls:
        record["controls"] = {
            kind: {
                str(seed): _rounded(_row_ends(read_control(runs / REPORTED, kind, seed)))
                for seed in study.seeds
            }
            for kind in KINDS
        }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{study.name}.csv", curves)
    write_text(data_path(folder, study.name), json.dumps(record, indent=1) + "\n")
    return data_path(folder, study.name)


def condensed(study: Study, tuning: Run, reported: Run) -> tuple[dict[str, Any], str]:
    """NAME.json, without command and versions, and NAME.csv."""
    scores = validation_scores(study, tuning)
    candidates = study.candidates()
    settings = {a.name: _settings(a) for arms in candidates.values() for a in arms}
    plain = [
        arm
        for label, arms in candidates.items()
        for arm in tuning.arms
        if arm.name in {a.name for a in arms if not a.entropy_coef}
    ]
    record = {
        "name": study.name,
        "title": study.title,
        "stands_for": study.stands_for,
        "task": {"name": study.task, "options": dict(study.options)},
        "config": study.tuning().model_dump(mode="json", exclude={"arms", "seeds"}),
        "steps": study.steps,
        "tuning_seeds": list(study.tuning_seeds),
        "seeds": list(study.seeds),
        "methods": {label: [arm.name for arm in arms] for label, arms in candidates.items()},
        "arms": settings,
        "tuning": {
            arm: {str(seed): _rounded(at_k.values()) for seed, at_k in by_seed.items()}
            for arm, by_seed in scores.items()
        },
        "warm_start": {
            str(seed): _end(reported.base[seed], reported.base[seed]) for seed in study.seeds
        },
        "runs": {
            arm.name: {str(run.seed): _run(run, reported) for run in arm.runs}
            for arm in reported.arms
        },
    }
    return record, _curves({"reported": reported.arms, "tuning": plain})


def load_data(folder: Path, name: str) -> StudyData:
    """Read what `condense` wrote.

    Raises:
        RunDirectoryError: a file is missing or damaged.
    """
    path = data_path(folder, name)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        text = path.with_suffix(".csv").read_text(encoding="utf-8")
        return study_data(record, text)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunDirectoryError(f"{path}: the study's data can't be read: {error}") from error


def study_data(record: Mapping[str, Any], curves: str) -> StudyData:
    """A study from NAME.json and the text of NAME.csv."""
    series: dict[tuple[str, str], dict[int, list[list[float]]]] = {}
    for phase, arm, seed, *numbers in list(csv.reader(io.StringIO(curves)))[1:]:
        rows = series.setdefault((phase, arm), {}).setdefault(int(seed), [])
        rows.append([float(number) for number in numbers])
    arms = {}
    for arm, runs in record["runs"].items():
        first = next(iter(runs.values()))
        names = [name for name, value in first.items() if not isinstance(value, list)]
        ends = {name: np.array([run[name] for run in runs.values()]) for name in names}
        shared = sorted(set.intersection(*(_checked_steps(run) for run in runs.values())))
        checks = np.array([[_at_step(run, step) for step in shared] for run in runs.values()])
        by_k = {k: checks[:, :, i] for i, k in enumerate(K_VALUES)} if shared else {}
        arms[arm] = _arm(
            record,
            series["reported", arm],
            arm,
            tuple(map(int, runs)),
            ends,
            (np.array(shared), by_k),
            tuple(first.get("switches", ())),
        )
    nothing = (np.array([]), {})
    tuning = {
        arm: _arm(record, found, arm, tuple(found), {}, nothing)
        for (phase, arm), found in series.items()
        if phase == "tuning"
    }
    return StudyData(record, arms, tuning)


def _arm(
    record: Mapping[str, Any],
    series: Mapping[int, list[list[float]]],
    name: str,
    seeds: tuple[int, ...],
    ends: Mapping[str, np.ndarray],
    validation: tuple[np.ndarray, Mapping[int, np.ndarray]],
    switches: tuple[int, ...] = (),
) -> ArmData:
    rows = np.array([series[seed] for seed in seeds])
    curves = {field: rows[:, :, i + 1] for i, field in enumerate(FIELDS)}
    return ArmData(record["arms"][name], seeds, ends, rows[0, :, 0], curves, validation, switches)


def _setting(settings: Mapping[str, Any]) -> str:
    rate, coef = settings["learning_rate"], settings["entropy_coef"]
    return f"lr {rate:g}" + (f", coefficient {coef:g}" if coef else "")


def _settings(arm: ArmSettings) -> dict[str, Any]:
    return {
        "schedule": arm.schedule,
        "learning_rate": arm.learning_rate,
        "baseline": arm.baseline,
        "entropy_coef": arm.entropy_coef,
    }


def _run(run: ArmRun, reported: Run) -> dict[str, Any]:
    assert run.evaluation is not None
    solved = run.metrics.columns[SOLVED]
    return {
        **_end(run.evaluation, reported.base[run.seed]),
        "solved": float(f"{solved[-1]:.6g}"),
        "validation": [
            [c.step, *_rounded(c.pass_at_k[k] for k in K_VALUES)]
            for c in run.checkpoints
            if c.split == "validation"
        ],
        "switches": [step for step, _, _ in run.metrics.switches],
    }


def _end(evaluation: Scores, base: Scores) -> dict[str, float]:
    found = {f"pass@{k}": evaluation.pass_at_k[k] for k in K_VALUES}
    if evaluation.max_at_k is not None:
        found |= {f"max@{k}": evaluation.max_at_k[k] for k in K_VALUES}
    hard = base.solve_probability_M < HARD_BELOW
    if hard.any():
        chances = 1 - (1 - evaluation.solve_probability_M[hard]) ** 16
        found["hard pass@16"] = float(chances.mean())
    if evaluation.entropy is not None:
        found["entropy"] = evaluation.entropy
    if evaluation.distinct_solutions is not None:
        found["distinct"] = evaluation.distinct_solutions
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def _curves(phases: Mapping[str, Iterable[Arm]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("phase", "arm", "seed", "step", *FIELDS))
    for phase, arms in phases.items():
        for arm in arms:
            for run in arm.runs:
                columns = run.metrics.columns
                for start in range(0, len(run.metrics), BIN):
                    rows = slice(start, start + BIN)
                    means = [float(np.mean(columns[field][rows])) for field in FIELDS]
                    means[FIELDS.index(SOLVED)] = float(columns[SOLVED][rows][-1])
                    end = min(start + BIN, len(run.metrics))
                    cells = (f"{value:.4g}" for value in means)
                    writer.writerow((phase, arm.name, run.seed, end, *cells))
    return out.getvalue()


def _checked_steps(run: Mapping[str, Any]) -> set[int]:
    return {int(row[0]) for row in run.get("validation", ())}


def _at_step(run: Mapping[str, Any], step: int) -> list[float]:
    return next(row[1:] for row in run["validation"] if row[0] == step)


def _row_ends(values_S: np.ndarray) -> np.ndarray:
    """The values at the end of each row of the curves."""
    ends = [min(start + BIN, len(values_S)) - 1 for start in range(0, len(values_S), BIN)]
    return values_S[ends]


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
