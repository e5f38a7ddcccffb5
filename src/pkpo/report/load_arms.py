"""Reads the arms of a run directory; what can't be read of one is its failure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pkpo.errors import RunDirectoryError
from pkpo.files import folder_name
from pkpo.report.jsonio import (
    JsonObject,
    differences,
    read_bytes,
    read_json,
    read_json_lines,
    told,
)
from pkpo.report.records import Arm, ArmRun, Checkpoint, Evaluation, Metrics

REQUIRED_METRICS = ("pass@1", "entropy", "cumulative_solve_rate", "signal_fraction")
OPTIONAL_METRICS = ("reward_mean", "transform_share", "samples_per_second", "grad_norm", "elapsed")
"""Columns read besides pass@k for any k; other keys of metrics.jsonl are ignored."""

MEASURE_AGAIN = "Restore it, or remove it to have the {} measured again"


def train_again(folder: Path) -> str:
    """The way out where an arm can't go on with what its folder holds."""
    return f"Restore it, or remove {folder} to train this arm again"


@contextmanager
def way_out(text: str) -> Iterator[None]:
    try:
        yield
    except RunDirectoryError as error:
        raise RunDirectoryError(f"{error}. {text}") from error


def load_evaluation(path: Path) -> Evaluation:
    data = read_json(path)
    solve_probability_M = data.probabilities("solve_probability")
    problem_ids = data.texts("problem_ids")
    num_problems = data.integer("num_problems")
    if not num_problems == len(problem_ids) == len(solve_probability_M):
        data.fail(
            f"'num_problems' is {num_problems}, but there are {len(problem_ids)} 'problem_ids' "
            f"and {len(solve_probability_M)} values of 'solve_probability'"
        )
    if num_problems < 1:
        data.fail("there are no problems")
    return Evaluation(
        split=data.text("split"),
        step=data.integer("step"),
        exact=data.flag("exact"),
        pass_at_k=data.pass_at_k("pass_at_k"),
        solve_probability_M=solve_probability_M,
        problem_ids=problem_ids,
        entropy=data.number_or_none("entropy"),
        distinct_solutions=data.number_or_none("distinct_solutions"),
        max_at_k=data.pass_at_k("max_at_k") if data.values.get("max_at_k") is not None else None,
    )


class ArmsReader:
    """Reads the arms of a run; what can't be read of one is its failure.

    Args:
        config: of the run.
        planned: its arms by name.
        base: the warm starts' evaluations by seed.
        notes, damage: what is said of it is added.
    """

    def __init__(
        self,
        config: JsonObject,
        planned: Mapping[str, JsonObject],
        base: Mapping[int, Evaluation],
        notes: list[str],
        damage: list[str],
    ) -> None:
        self.config, self.base, self.notes, self.damage = config, base, notes, damage
        self.order = {name: i for i, name in enumerate(planned)}
        self.planned = {folder_name(name): arm for name, arm in planned.items()}

    def arms(self, folders: Path) -> tuple[Arm, ...]:
        found = sorted(folders.iterdir()) if folders.is_dir() else []
        arms = [arm for folder in found if folder.is_dir() for arm in self._arm(folder)]
        for arm in arms:
            if sum(other.name == arm.name for other in arms) > 1:
                raise RunDirectoryError(f"{folders}: two arms are named {arm.name!r}")
        return tuple(sorted(arms, key=lambda arm: self.order.get(arm.name, len(self.order))))

    def _arm(self, folder: Path) -> list[Arm]:
        """One, or none where it has not begun."""
        runs: list[ArmRun] = []
        header: _Header | None = None
        for seed, path in _seed_folders(folder):
            failure = ""
            try:
                failure = first_line(path / "failure.txt")
                if _has_begun(path):
                    found = self._header(path, seed, header)
                    header = header or found
                    runs.append(self._run(path, seed, found.name, failure))
                elif failure:
                    runs.append(_empty(seed, failure))
            except RunDirectoryError as error:
                runs.append(_empty(seed, str(error)))
                self.damage.append(str(error))
        if not runs:
            return []
        if header is None:
            header = _Header.of(self.planned.get(folder.name), folder.name)
        return [Arm(header.name, header.schedule, header.learning_rate, tuple(runs), header.family)]

    def _header(self, path: Path, seed: int, other: _Header | None) -> _Header:
        """What arm.json says, which is to agree with the other seeds and with the plan."""
        with way_out(train_again(path)):
            data = read_json(path / "arm.json")
            if data.integer("seed") != seed:
                data.fail(f"'seed' is {data.integer('seed')}, but the folder is {path.name}")
            family = data.text("family") if data.values.get("family") is not None else None
            found = _Header(
                data.text("name"), data.text("schedule"), data.number("learning_rate"), family
            )
            planned = self.planned.get(path.parent.name)
            if planned is not None and planned.text("name") != found.name:
                data.fail(
                    f"'name' is {found.name!r}, but config.json says {planned.text('name')!r}"
                )
            if other is not None and found != other:
                data.fail(f"differs from the other seeds of this arm: {found} against {other}")
        if (path / "evaluation.json").exists():
            self._check_settings(data, planned)
        return found

    def _check_settings(self, data: JsonObject, planned: JsonObject | None) -> None:
        """A finished arm must have been made with the settings that config.json has now."""
        changed = []
        if planned is not None:
            own = {name: data.values[name] for name in planned.values if name in data.values}
            now = {name: planned.values[name] for name in own}
            changed += differences(own, now)
        settings = data.values.get("settings", {})
        if not isinstance(settings, dict):
            data.fail("'settings' must be an object")
        for place, stored in settings.items():
            section, _, name = place.partition(".")
            now = self.config.values.get(section)
            if name:
                now = now.get(name) if isinstance(now, dict) else None
            changed += differences(stored, now, place)
        if changed:
            raise RunDirectoryError(
                f"{data.place}: this arm was made with other settings than config.json has: "
                f"{told(changed)}. Undo the change, or remove {Path(data.place).parent} to train "
                "this arm again"
            )

    def _run(self, folder: Path, seed: int, name: str, failure: str) -> ArmRun:
        evaluation_path = folder / "evaluation.json"
        completions_path = folder / "completions.parquet"
        owner = f"{name}, seed {seed}"
        evaluation = None
        with way_out(MEASURE_AGAIN.format("arm")):
            if evaluation_path.exists():
                evaluation = load_evaluation(evaluation_path)
                self._check_same_problems(evaluation_path, evaluation, seed)
        with way_out(train_again(folder)):
            metrics = _metrics(_lines(folder / "metrics.jsonl", owner, self.notes))
            checkpoints = tuple(
                Checkpoint(line.integer("step"), line.text("split"), line.pass_at_k("pass_at_k"))
                for line in _lines(folder / "evaluations.jsonl", owner, self.notes)
            )
            if evaluation is not None:
                _check_complete(folder, evaluation.step, metrics, checkpoints)
        return ArmRun(
            seed=seed,
            metrics=metrics,
            checkpoints=checkpoints,
            evaluation=evaluation,
            completions_path=completions_path if completions_path.exists() else None,
            failure="" if evaluation is not None else failure,
        )

    def _check_same_problems(self, path: Path, found: Evaluation, seed: int) -> None:
        before = self.base.get(seed)
        if before is not None and before.problem_ids != found.problem_ids:
            raise RunDirectoryError(
                f"{path}: evaluated on other problems than the warm start of seed {seed}, or in "
                "another order"
            )


class _Header(NamedTuple):
    """What all seeds of an arm have in common."""

    name: str
    schedule: str
    learning_rate: float
    family: str | None

    @classmethod
    def of(cls, planned: JsonObject | None, folder: str) -> _Header:
        """Of an arm of which nothing can be read."""
        values = {} if planned is None else planned.values
        schedule, rate = values.get("schedule"), values.get("learning_rate")
        family = values.get("family")
        return cls(
            folder if planned is None else planned.text("name"),
            schedule if isinstance(schedule, str) else "",
            float(rate) if isinstance(rate, (int, float)) else float("nan"),
            family if isinstance(family, str) else None,
        )


def _empty(seed: int, failure: str) -> ArmRun:
    return ArmRun(seed, _metrics([]), (), None, None, failure)


def first_line(path: Path) -> str:
    """Of a failure.txt; empty where there is none."""
    text = read_bytes(path).decode("utf-8", errors="replace") if path.is_file() else ""
    return text.strip().partition("\n")[0]


def _check_complete(
    folder: Path, steps: int, metrics: Metrics, checkpoints: tuple[Checkpoint, ...]
) -> None:
    """A finished arm has a line for each step, and one for the measurement at the end."""
    if metrics.steps_S.tolist() != list(range(steps)):
        raise RunDirectoryError(
            f"{folder / 'metrics.jsonl'}: there should be {steps} steps, found {len(metrics)}"
        )
    if not checkpoints or checkpoints[-1].step != steps:
        raise RunDirectoryError(
            f"{folder / 'evaluations.jsonl'}: the last line should be of step {steps}"
        )


def _has_begun(folder: Path) -> bool:
    """An arm that failed before its first step leaves the reason alone, or a lock."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    return not names <= {"failure.txt", "lock"}


def _seed_folders(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"seed_(\d+)", child.name), child) for child in folder.iterdir()]
    return sorted((int(match[1]), child) for match, child in found if match and child.is_dir())


def _lines(path: Path, owner: str, notes: list[str]) -> list[JsonObject]:
    if not path.exists():
        return []
    lines, cut_short = read_json_lines(path)
    if cut_short:
        notes.append(
            f"{owner}: the last line of {path.name} was cut short, as a killed run leaves it, "
            "and is left out."
        )
    return lines


def _metrics(lines: list[JsonObject]) -> Metrics:
    names = list(REQUIRED_METRICS)
    previous = -1
    for line in lines:
        for name in REQUIRED_METRICS:
            line.number_or_none(name)
        step = line.integer("step")
        if step <= previous:
            line.fail(f"'step' must increase, but {step} follows {previous}")
        previous = step
        names += [name for name in line.values if _is_metric(name) and name not in names]
    columns = {name: np.full(len(lines), np.nan) for name in names}
    for i, line in enumerate(lines):
        for name in names:
            value = line.number_or_none(name) if name in line.values else None
            columns[name][i] = np.nan if value is None else value
    return Metrics(
        steps_S=np.array([line.integer("step") for line in lines], dtype=np.int64),
        objectives=tuple(line.text("objective") for line in lines),
        columns=columns,
    )


def _is_metric(name: str) -> bool:
    return name in OPTIONAL_METRICS or re.fullmatch(r"pass@\d+", name) is not None
