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
from reproduction.measures import Measure, by_seed
from reproduction.studies.run import (
    choose,
    over_seeds,
)
from reproduction.studies.settings import K_VALUES

BIN = 5
"""Training steps in a row of the curves."""

SOLVED = "cumulative_solve_rate"
FIELDS = (*(f"pass@{k}" for k in K_VALUES), "entropy", SOLVED, "signal_fraction")
"""Of the curves: means over the steps of a row, the solve rate at its end."""

HARD_BELOW = 1 / 16
"""Problems that the warm start solves with less than this chance are hard for it."""

WARM_START, GUESSER = "warm start", "guesser"
_UNTRAINED = {WARM_START: "warm_start", GUESSER: "guesser"}
"""By row of a table, the field of NAME.json."""


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

    @property
    def untrained(self) -> tuple[str, ...]:
        """Those of GUESSER and WARM_START that the study has."""
        return (GUESSER, WARM_START) if "guesser" in self.record else (WARM_START,)

    def present(self, methods: Iterable[str]) -> tuple[str, ...]:
        """Those of the methods that the study has."""
        return tuple(method for method in methods if method in self.record["methods"])

    def end(self, method: str, name: str) -> Measure:
        """What was measured at the end, by seed; of the warm starts too.

        Args:
            method: label, WARM_START or GUESSER.
            name: key of `ArmData.ends`.
        """
        if method in _UNTRAINED:
            runs = self.record[_UNTRAINED[method]].values()
            return by_seed([float(run[name]) for run in runs])
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
        for method in (*self.untrained, *self.present(methods)):
            of = f"{self.name} {method}"
            for k in K_VALUES:
                found[f"{of} pass@{k}"] = self.end(method, f"pass@{k}")
            if method not in _UNTRAINED:
                for name in ("solved", "hard pass@16"):
                    if self.has(name):
                        found[f"{of} {name}"] = self.end(method, name)
        return found


def data_path(folder: Path, name: str) -> Path:
    """Where a study's data is."""
    return folder / f"{name}.json"


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


def _checked_steps(run: Mapping[str, Any]) -> set[int]:
    return {int(row[0]) for row in run.get("validation", ())}


def _at_step(run: Mapping[str, Any], step: int) -> list[float]:
    return next(row[1:] for row in run["validation"] if row[0] == step)
