"""Reads a run directory, finished or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pkpo.errors import RunDirectoryError
from pkpo.report.jsonio import JsonObject, read_bytes, read_json, read_json_lines
from pkpo.report.records import Arm, ArmRun, Checkpoint, Evaluation, Metrics, Run

REQUIRED_METRICS = ("pass@1", "entropy", "cumulative_solve_rate", "signal_fraction")
OPTIONAL_METRICS = ("reward_mean", "transform_share", "samples_per_second", "grad_norm", "elapsed")
"""Columns read besides pass@k for any k; other keys of metrics.jsonl are ignored."""


def load_run(path: str | Path) -> Run:
    """Reads everything in a run directory except the sampled completions.

    Arms and seeds that have not started or finished are left out or marked, each with a
    sentence in `notes`; so is a last line cut short by a killed run.

    Args:
        path: the run directory.

    Raises:
        RunDirectoryError: the directory or a file that must be there is missing, or a
            file is corrupt; the message names the file and, where it helps, the line.
    """
    root = Path(path)
    if not root.is_dir():
        raise RunDirectoryError(f"{root}: there is no such run directory")
    config = read_json(root / "config.json")
    seeds = _seeds(config)
    names = _arm_names(config)
    steps = _planned_steps(config)
    notes: list[str] = []

    base = _load_base(root, seeds, notes)
    arms = _load_arms(root, names, notes)
    for arm in arms:
        for run in arm.runs:
            _check_same_problems(root, arm, run, base)
    notes.extend(_unfinished(names, seeds, steps, arms))
    return Run(
        path=root,
        title=_title(config, root),
        config=config.values,
        versions=_load_versions(root / "versions.json", notes),
        command=_load_command(root / "command.txt", notes),
        seeds=seeds,
        steps=steps,
        base=base,
        arms=arms,
        notes=tuple(notes),
    )


def _seeds(config: JsonObject) -> tuple[int, ...]:
    seeds = config.items("seeds")
    if not seeds or not all(type(seed) is int for seed in seeds):
        config.fail("'seeds' must be a list of whole numbers, at least one")
    return tuple(seeds)


def _arm_names(config: JsonObject) -> list[str]:
    names = []
    for i, value in enumerate(config.items("arms")):
        if not isinstance(value, dict):
            config.fail(f"'arms'[{i}] must be an object")
        names.append(JsonObject(value, f"{config.place}, in 'arms'[{i}]").text("name"))
    return names


def _planned_steps(config: JsonObject) -> int | None:
    training = config.values.get("training")
    if not isinstance(training, dict) or "steps" not in training:
        return None
    return config.child("training").integer("steps")


def _title(config: JsonObject, root: Path) -> str:
    task = config.values.get("task")
    name = task.get("name") if isinstance(task, dict) else task
    return name if isinstance(name, str) and name else root.resolve().name


def _load_versions(path: Path, notes: list[str]) -> dict[str, str]:
    if not path.exists():
        notes.append(f"{path.name} is missing, so the versions used are not known.")
        return {}
    return {name: str(value) for name, value in read_json(path).values.items()}


def _load_command(path: Path, notes: list[str]) -> str | None:
    if not path.exists():
        notes.append(f"{path.name} is missing, so the command that made this run is not known.")
        return None
    return read_bytes(path).decode("utf-8", errors="replace").strip()


def _load_base(root: Path, seeds: Iterable[int], notes: list[str]) -> dict[int, Evaluation]:
    base = {}
    for seed in seeds:
        path = root / "warm_start" / f"seed_{seed}" / "evaluation.json"
        if path.exists():
            base[seed] = _load_evaluation(path)
        else:
            notes.append(
                f"The warm-started policy of seed {seed} has no evaluation, so nothing is "
                "compared with it for this seed."
            )
    return base


def _load_evaluation(path: Path) -> Evaluation:
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


def _load_arms(root: Path, names: list[str], notes: list[str]) -> tuple[Arm, ...]:
    folders = root / "arms"
    arms = []
    for folder in sorted(folders.iterdir()) if folders.is_dir() else []:
        arm = _load_arm(folder, notes) if folder.is_dir() else None
        if arm is not None:
            arms.append(arm)
    for arm in arms:
        if sum(other.name == arm.name for other in arms) > 1:
            raise RunDirectoryError(f"{folders}: two arms are named {arm.name!r}")
    order = {name: i for i, name in enumerate(names)}
    return tuple(sorted(arms, key=lambda arm: order.get(arm.name, len(order))))


def _load_arm(folder: Path, notes: list[str]) -> Arm | None:
    runs = []
    header: tuple[str, str, float, str | None] | None = None
    for seed, seed_folder in _seed_folders(folder):
        if not _has_begun(seed_folder):
            continue
        data = read_json(seed_folder / "arm.json")
        if data.integer("seed") != seed:
            data.fail(f"'seed' is {data.integer('seed')}, but the folder is {seed_folder.name}")
        family = data.text("family") if data.values.get("family") is not None else None
        found = (data.text("name"), data.text("schedule"), data.number("learning_rate"), family)
        if header is not None and found != header:
            data.fail(f"differs from the other seeds of this arm: {found} against {header}")
        header = found
        runs.append(_load_arm_run(seed_folder, seed, found[0], notes))
    if header is None:
        return None
    name, schedule, learning_rate, family = header
    return Arm(name, schedule, learning_rate, tuple(runs), family)


def _has_begun(folder: Path) -> bool:
    """An arm that failed before its first step leaves the reason alone, or a lock."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    return not names <= {"failure.txt", "lock"}


def _seed_folders(folder: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"seed_(\d+)", child.name), child) for child in folder.iterdir()]
    return sorted((int(match[1]), child) for match, child in found if match and child.is_dir())


def _load_arm_run(folder: Path, seed: int, name: str, notes: list[str]) -> ArmRun:
    evaluation_path = folder / "evaluation.json"
    completions_path = folder / "completions.parquet"
    metrics_lines = _lines_if_there(folder / "metrics.jsonl", f"{name}, seed {seed}", notes)
    checkpoint_lines = _lines_if_there(folder / "evaluations.jsonl", f"{name}, seed {seed}", notes)
    return ArmRun(
        seed=seed,
        metrics=_metrics(metrics_lines),
        checkpoints=tuple(
            Checkpoint(line.integer("step"), line.text("split"), line.pass_at_k("pass_at_k"))
            for line in checkpoint_lines
        ),
        evaluation=_load_evaluation(evaluation_path) if evaluation_path.exists() else None,
        completions_path=completions_path if completions_path.exists() else None,
    )


def _lines_if_there(path: Path, owner: str, notes: list[str]) -> list[JsonObject]:
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


def _check_same_problems(root: Path, arm: Arm, run: ArmRun, base: Mapping[int, Evaluation]) -> None:
    before = base.get(run.seed)
    if before is None or run.evaluation is None:
        return
    if before.problem_ids != run.evaluation.problem_ids:
        raise RunDirectoryError(
            f"{root}: {arm.name!r} with seed {run.seed} was evaluated on other problems than "
            "its warm start, or in another order"
        )


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
        elif run.evaluation is None:
            done = f"{len(run.metrics)} of {steps}" if steps else f"{len(run.metrics)}"
            notes.append(
                f"{name}, seed {seed}: unfinished ({done} training steps, no final evaluation), "
                "so it counts in no table."
            )
    return notes
