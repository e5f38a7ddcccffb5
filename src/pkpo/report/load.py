"""Reads a run directory, finished or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.report.jsonio import (
    JsonObject,
    read_bytes,
    read_json,
)
from pkpo.report.load_arms import MEASURE_AGAIN, ArmsReader, load_evaluation, way_out
from pkpo.report.records import Arm, Evaluation, Run


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
    config = read_json(root / "config.json")
    seeds = _seeds(config)
    planned = _planned_arms(config)
    steps = _planned_steps(config)
    notes: list[str] = []
    damage: list[str] = []

    versions = _load_versions(root / "versions.json", notes, damage)
    command = _load_command(root / "command.txt", notes, damage)
    base = _load_base(root, seeds, notes, damage)
    arms = ArmsReader(config, planned, base, notes, damage).arms(root / "arms")
    notes.extend(_unfinished(list(planned), seeds, steps, arms))
    return Run(
        path=root,
        title=_title(config, root),
        config=config.values,
        versions=versions,
        command=command,
        seeds=seeds,
        steps=steps,
        base=base,
        arms=arms,
        notes=tuple(notes),
        damage=tuple(damage),
    )


@contextmanager
def _left_out(notes: list[str], damage: list[str]) -> Iterator[None]:
    """Let damage be told of, and not end the reading."""
    try:
        yield
    except RunDirectoryError as error:
        notes.append(f"{error}.")
        damage.append(str(error))


def _seeds(config: JsonObject) -> tuple[int, ...]:
    seeds = config.items("seeds")
    if not seeds or not all(type(seed) is int for seed in seeds):
        config.fail("'seeds' must be a list of whole numbers, at least one")
    return tuple(seeds)


def _planned_arms(config: JsonObject) -> dict[str, JsonObject]:
    """By name, in order."""
    found = {}
    for i, value in enumerate(config.items("arms")):
        if not isinstance(value, dict):
            config.fail(f"'arms'[{i}] must be an object")
        arm = JsonObject(value, f"{config.place}, in 'arms'[{i}]")
        found[arm.text("name")] = arm
    return found


def _planned_steps(config: JsonObject) -> int | None:
    training = config.values.get("training")
    if not isinstance(training, dict) or "steps" not in training:
        return None
    return config.child("training").integer("steps")


def _title(config: JsonObject, root: Path) -> str:
    task = config.values.get("task")
    name = task.get("name") if isinstance(task, dict) else task
    return name if isinstance(name, str) and name else root.resolve().name


def _load_versions(path: Path, notes: list[str], damage: list[str]) -> dict[str, str]:
    if not path.exists():
        notes.append(f"{path.name} is missing, so the versions used are not known.")
        return {}
    with _left_out(notes, damage), way_out("Restore it, or remove it to do without"):
        return {name: str(value) for name, value in read_json(path).values.items()}
    return {}


def _load_command(path: Path, notes: list[str], damage: list[str]) -> str | None:
    if not path.exists():
        notes.append(f"{path.name} is missing, so the command that made this run is not known.")
        return None
    with _left_out(notes, damage), way_out("Restore it, or remove it to do without"):
        return read_bytes(path).decode("utf-8", errors="replace").strip()
    return None


def _load_base(
    root: Path, seeds: Iterable[int], notes: list[str], damage: list[str]
) -> dict[int, Evaluation]:
    base = {}
    for seed in seeds:
        path = root / "warm_start" / f"seed_{seed}" / "evaluation.json"
        with _left_out(notes, damage), way_out(MEASURE_AGAIN.format("warm start")):
            if path.exists():
                base[seed] = load_evaluation(path)
        if seed not in base:
            notes.append(
                f"The warm-started policy of seed {seed} has no evaluation, so nothing is "
                "compared with it for this seed."
            )
    return base


def _unfinished(
    names: list[str], seeds: tuple[int, ...], steps: int | None, arms: tuple[Arm, ...]
) -> list[str]:
    started = {(arm.name, run.seed): run for arm in arms for run in arm.runs}
    planned = {(name, seed): None for name in names for seed in seeds}
    notes = []
    for name, seed in {**planned, **dict.fromkeys(started)}:
        run = started.get((name, seed))
        if run is None:
            notes.append(f"{name}, seed {seed}: not started.")
        elif run.failure:
            notes.append(f"{name}, seed {seed}: failed: {run.failure}.")
        elif run.evaluation is None:
            done = f"{len(run.metrics)} of {steps}" if steps else f"{len(run.metrics)}"
            notes.append(
                f"{name}, seed {seed}: unfinished ({done} training steps, no final evaluation), "
                "so it counts in no table."
            )
    return notes
