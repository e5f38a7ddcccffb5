"""A study that has run, condensed to the data that figures, tables and verdicts need."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pkpo.errors import RunDirectoryError
from pkpo.report.load import load_run
from pkpo.report.records import Arm, ArmRun, Run, Scores
from pkpo.report.run_files import ArmFiles, load_scores
from pkpo.tasks.registry import build_task
from pkpo.train.config import ArmSettings
from pkpo.train.run_directory import RunDirectory
from reproduction.results import versions, write_text
from reproduction.studies.answers import correct_counts, first_answers
from reproduction.studies.controls import KINDS, controls_left, read_control
from reproduction.studies.data import (
    BIN,
    FIELDS,
    GUESSER,
    HARD_BELOW,
    SOLVED,
    WARM_START,
    data_path,
)
from reproduction.studies.run import REPORTED, TUNING, choices, reported_config, validation_scores
from reproduction.studies.settings import K_VALUES, Study


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
    if study.model is not None:
        record |= _of_pretrained(study, reported, choices(study, scores))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{study.name}.csv", curves)
    write_text(data_path(folder, study.name), json.dumps(record, indent=1) + "\n")
    return data_path(folder, study.name)


def _of_pretrained(study: Study, reported: Run, chosen: Mapping[str, str]) -> dict[str, Any]:
    """What a guesser scores, how many answers to each problem are right, and some of the first
    seed's answers."""
    run = RunDirectory.open(reported.path)
    arms = {arm.name: arm for arm in run.config.arms}
    samples = {WARM_START: {s: ArmFiles(run.warm_start(s)).samples for s in study.seeds}}
    for label, name in chosen.items():
        samples[label] = {seed: run.arm(arms[name], seed).samples for seed in study.seeds}
    guessed = {seed: load_scores(run.guesser(seed)) for seed in study.seeds}
    first = {policy: paths[study.seeds[0]] for policy, paths in samples.items()}
    return {
        GUESSER: {str(seed): _end(found, reported.base[seed]) for seed, found in guessed.items()},
        "num_samples": study.num_samples,
        "correct": {
            policy: {str(seed): correct_counts(path) for seed, path in paths.items()}
            for policy, paths in samples.items()
        },
        "answers": first_answers(first),
    }


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
        "tuning_seconds": {
            arm.name: {str(run.seed): _seconds(run) for run in arm.runs} for arm in tuning.arms
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
        "seconds": _seconds(run),
    }


def _seconds(run: ArmRun) -> int:
    """That all training steps took, by the clock, beside the study's other processes."""
    return round(run.metrics.columns["elapsed"][-1])


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


def _row_ends(values_S: np.ndarray) -> np.ndarray:
    """The values at the end of each row of the curves."""
    ends = [min(start + BIN, len(values_S)) - 1 for start in range(0, len(values_S), BIN)]
    return values_S[ends]


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
