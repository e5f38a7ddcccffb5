"""Reads a run directory, finished or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pkpo.errors import RunDirectoryError
from pkpo.files import folder_name
from pkpo.report.jsonio import (
    Record,
    checked,
    differences,
    read_bytes,
    read_json,
    read_json_lines,
    setting,
    told,
)
from pkpo.report.records import Arm, ArmRun, Checkpoint, Metrics, Run, Scores
from pkpo.report.run_files import (
    ArmFile,
    ArmFiles,
    CheckpointLine,
    Config,
    MetricsLine,
    PlannedArm,
    RunFiles,
    load_scores,
)

L = TypeVar("L", bound=Record)

_RESTORE = "Restore it, or remove it to do without"
_MEASURE_AGAIN = "Restore it, or remove it to have the {} measured again"


def train_again(folder: Path) -> str:
    """The way out where an arm can't go on with what its folder holds."""
    return f"Restore it, or remove {folder} to train this arm again"


@contextmanager
def way_out(text: str) -> Iterator[None]:
    """Add to what is said of damage found inside how to go on."""
    try:
        yield
    except RunDirectoryError as error:
        raise RunDirectoryError(f"{error}. {text}") from error


def load_run(path: str | Path) -> Run:
    """As `read_run`, for readers that need all there is.

    Raises:
        RunDirectoryError: a file that must be there is missing, or some file is damaged; the
            message names the file, where it helps the line, and the way out.
    """
    run = read_run(path)
    if run.damage:
        raise RunDirectoryError("; ".join(run.damage))
    return run


def read_run(path: str | Path) -> Run:
    """Reads everything in a run directory except the sampled completions.

    Arms and seeds that have not started or finished, have failed or can't be read are left out
    or marked, each with a sentence in `notes`; so is a last line cut short by a killed run.

    Args:
        path: the run directory.

    Raises:
        RunDirectoryError: there is no such directory, or its config.json can't be read.
    """
    root = Path(path)
    if not root.is_dir():
        raise RunDirectoryError(f"{root}: there is no such run directory")
    return _Reader(root).run()


class _Reader:
    """Reads a run; what is missing of it goes into `notes`, and damage into both."""

    def __init__(self, root: Path) -> None:
        self.root, self.files = root, RunFiles(root)
        self.config = read_json(self.files.config_file)
        plan = checked(Config, self.config, str(self.files.config_file))
        self.seeds, self.steps = plan.seeds, plan.training.steps
        self.planned = {folder_name(arm.name): arm for arm in plan.arms}
        self.names = [arm.name for arm in plan.arms]
        self.base: dict[int, Scores] = {}
        self.notes: list[str] = []
        self.damage: list[str] = []

    def run(self) -> Run:
        files, unknown = self.files, "the command that made this run is not known"
        versions = self._side_file(files.versions_file, "the versions used are not known")
        command = self._side_file(files.command_file, unknown)
        self._read_base()
        arms = self._arms(files.arms)
        self._note_unfinished(arms)
        name = setting(self.config, "task.name") or self.config.get("task")
        return Run(
            path=self.root,
            title=name if isinstance(name, str) and name else self.root.resolve().name,
            config=self.config,
            versions=versions or {},
            command=command,
            seeds=self.seeds,
            steps=self.steps,
            base=self.base,
            arms=arms,
            notes=tuple(self.notes),
            damage=tuple(self.damage),
        )

    @contextmanager
    def _left_out(self) -> Iterator[None]:
        """Let damage be told of, and not end the reading."""
        try:
            yield
        except RunDirectoryError as error:
            self.notes.append(f"{error}.")
            self.damage.append(str(error))

    def _side_file(self, path: Path, unknown: str) -> Any:
        if not path.exists():
            self.notes.append(f"{path.name} is missing, so {unknown}.")
            return None
        with self._left_out(), way_out(_RESTORE):
            if path.suffix == ".json":
                return {key: str(value) for key, value in read_json(path).items()}
            return read_bytes(path).decode("utf-8", errors="replace").strip()
        return None

    def _read_base(self) -> None:
        for seed in self.seeds:
            path = ArmFiles(self.files.warm_start(seed)).evaluation
            with self._left_out(), way_out(_MEASURE_AGAIN.format("warm start")):
                if path.exists():
                    self.base[seed] = load_scores(path)
            if seed not in self.base:
                self.notes.append(
                    f"The warm-started policy of seed {seed} has no evaluation, so nothing is "
                    "compared with it for this seed."
                )

    def _note_unfinished(self, arms: Sequence[Arm]) -> None:
        started = {(arm.name, run.seed): run for arm in arms for run in arm.runs}
        planned = [(name, seed) for name in self.names for seed in self.seeds]
        for name, seed in dict.fromkeys([*planned, *started]):
            run = started.get((name, seed))
            if run is None:
                self.notes.append(f"{name}, seed {seed}: not started.")
            elif run.failure:
                self.notes.append(f"{name}, seed {seed}: failed: {run.failure}.")
            elif run.evaluation is None:
                done = f"{len(run.metrics)} of {self.steps}" if self.steps else len(run.metrics)
                self.notes.append(
                    f"{name}, seed {seed}: unfinished ({done} training steps, no final "
                    "evaluation), so it counts in no table."
                )

    def _arms(self, folders: Path) -> tuple[Arm, ...]:
        found = sorted(folders.iterdir()) if folders.is_dir() else []
        arms = [arm for folder in found if folder.is_dir() and (arm := self._arm(folder))]
        names = [arm.name for arm in arms]
        for name in names:
            if names.count(name) > 1:
                raise RunDirectoryError(f"{folders}: two arms are named {name!r}")
        order = {name: place for place, name in enumerate(self.names)}
        return tuple(sorted(arms, key=lambda arm: order.get(arm.name, len(order))))

    def _arm(self, folder: Path) -> Arm | None:
        """None where it has not begun. What can't be read of a seed is its failure."""
        runs: list[ArmRun] = []
        common: dict[str, Any] | None = None
        for seed, files in _seed_folders(folder):
            try:
                failure = first_line(files.failure)
                if _has_begun(files):
                    found = self._check_arm_file(files, seed, common)
                    common = common or found
                    runs.append(self._arm_run(files, seed, found["name"], failure))
                elif failure:
                    runs.append(_failed(seed, failure))
            except RunDirectoryError as error:
                runs.append(_failed(seed, str(error)))
                self.damage.append(str(error))
        if not runs:
            return None
        planned = self.planned.get(folder.name, PlannedArm(name=folder.name))
        return Arm(runs=tuple(runs), **(common or planned.common))

    def _check_arm_file(
        self, files: ArmFiles, seed: int, others: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What arm.json says, which is to agree with the other seeds and with the plan."""
        folder, path = files.path, files.description
        planned = self.planned.get(folder.parent.name)
        with way_out(train_again(folder)):
            values = read_json(path)
            found = checked(ArmFile, values, str(path))
            said = ""
            if found.seed != seed:
                said = f"'seed' is {found.seed}, but the folder is {folder.name}"
            elif planned is not None and planned.name != found.name:
                said = f"'name' is {found.name!r}, but config.json says {planned.name!r}"
            elif others is not None and found.common != others:
                said = f"differs from the other seeds of this arm: {found.common} against {others}"
            if said:
                raise RunDirectoryError(f"{path}: {said}")
        if files.evaluation.exists():
            self._check_settings(path, values, found.settings, planned)
        return found.common

    def _check_settings(
        self,
        path: Path,
        values: Mapping[str, Any],
        settings: Mapping[str, Any],
        planned: PlannedArm | None,
    ) -> None:
        """A finished arm must have been made with the settings that config.json has now."""
        now = {} if planned is None else planned.model_dump(exclude_unset=True)
        now = {name: value for name, value in now.items() if name in values}
        changed = list(differences({name: values[name] for name in now}, now))
        for place, stored in settings.items():
            changed += differences(stored, setting(self.config, place), place)
        if changed:
            raise RunDirectoryError(
                f"{path}: this arm was made with other settings than config.json has: "
                f"{told(changed)}. Undo the change, or remove {path.parent} to train this arm again"
            )

    def _arm_run(self, files: ArmFiles, seed: int, name: str, failure: str) -> ArmRun:
        scores, path = None, files.evaluation
        with way_out(_MEASURE_AGAIN.format("arm")):
            if path.exists():
                scores = load_scores(path)
                before = self.base.get(seed)
                if before is not None and before.problem_ids != scores.problem_ids:
                    raise RunDirectoryError(
                        f"{path}: evaluated on other problems than the warm start of seed {seed}, "
                        "or in another order"
                    )
        with way_out(train_again(files.path)):
            owner = f"{name}, seed {seed}"
            metrics = _metrics(files.metrics, self._lines(files.metrics, MetricsLine, owner))
            checkpoints = tuple(
                Checkpoint(**dict(line))
                for line in self._lines(files.evaluations, CheckpointLine, owner)
            )
            said = ""
            if scores is not None and metrics.steps_S.tolist() != list(range(scores.step)):
                said = f"{files.metrics}: there should be {scores.step} steps, found {len(metrics)}"
            elif scores is not None and [c.step for c in checkpoints][-1:] != [scores.step]:
                said = f"{files.evaluations}: the last line should be of step {scores.step}"
            if said:
                raise RunDirectoryError(said)
        return ArmRun(
            seed=seed,
            metrics=metrics,
            checkpoints=checkpoints,
            evaluation=scores,
            completions_path=files.completions if files.completions.exists() else None,
            failure="" if scores is not None else failure,
        )

    def _lines(self, path: Path, model: type[L], owner: str) -> list[L]:
        if not path.exists():
            return []
        lines, cut_short = read_json_lines(path, model)
        if cut_short:
            self.notes.append(
                f"{owner}: the last line of {path.name} was cut short, as a killed run leaves it, "
                "and is left out."
            )
        return lines


def first_line(path: Path) -> str:
    """Of a failure.txt; empty where there is none."""
    text = read_bytes(path).decode("utf-8", errors="replace") if path.is_file() else ""
    return text.strip().partition("\n")[0]


def _failed(seed: int, failure: str) -> ArmRun:
    return ArmRun(seed, Metrics.of([]), (), None, None, failure)


def _has_begun(files: ArmFiles) -> bool:
    """An arm that failed before its first step leaves the reason alone, or a lock."""
    names = {entry.name for entry in files.path.iterdir() if not entry.name.startswith(".")}
    return not names <= {files.failure.name, "lock"}


def _seed_folders(folder: Path) -> list[tuple[int, ArmFiles]]:
    found = [(re.fullmatch(r"seed_(\d+)", child.name), child) for child in folder.iterdir()]
    folders = sorted((int(match[1]), child) for match, child in found if match and child.is_dir())
    return [(seed, ArmFiles(child)) for seed, child in folders]


def _metrics(path: Path, lines: Sequence[MetricsLine]) -> Metrics:
    for number, (one, other) in enumerate(zip([-1, *(line.step for line in lines)], lines), 1):
        if other.step <= one:
            raise RunDirectoryError(
                f"{path}, line {number}: 'step' must increase, but {other.step} follows {one}"
            )
    return Metrics.of([line.model_dump(by_alias=True) for line in lines])
