"""Studies whose results are made up, condensed and read as those that have run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pkpo.report.records import Arm, ArmRun, Checkpoint, Metrics, Run, Scores
from pkpo.train.config import ArmSettings
from reproduction.studies.condense import condensed
from reproduction.studies.data import FIELDS, StudyData, data_path, study_data
from reproduction.studies.run import choices, reported_config, validation_scores
from reproduction.studies.settings import (
    BEYOND_METHODS,
    K_VALUES,
    NO_BASELINE,
    PAPER_METHODS,
    STUDIES,
    Method,
    Study,
)

STEPS = 100
METHODS = (*PAPER_METHODS, NO_BASELINE, *BEYOND_METHODS)


@dataclass(frozen=True)
class Made:
    """What one arm does with one seed.

    Args:
        test: pass@k at the end, by k.
        validation: the same of the last checkpoint; None stands for `test`.
        columns: of the metrics; a number stands for as many as there are steps; 0 where absent.
    """

    test: Mapping[int, float]
    validation: Mapping[int, float] | None = None
    columns: Mapping[str, np.ndarray | float] = field(default_factory=dict)


Maker = Callable[[ArmSettings, int], Made]


def flat(value: float) -> dict[int, float]:
    """The same at every k."""
    return dict.fromkeys(K_VALUES, value)


def flat_end(value: float) -> dict[str, float]:
    """What is measured at the end, as in NAME.json."""
    return {f"pass@{k}": value for k in K_VALUES} | {"entropy": 5.0, "distinct": 0.1}


def study(
    *methods: Method, seeds: tuple[int, ...] = (0, 1, 2), rates: tuple[float, ...] = (1e-3,)
) -> Study:
    return Study(
        name="programs",
        title="Made up",
        stands_for="nothing",
        task="grid-programs",
        options={},
        warm_start={"steps": 1},
        training={"steps": STEPS},
        methods=methods,
        learning_rates=rates,
        tuning_seeds=(7, 8),
        seeds=seeds,
    )


def evaluation(pass_at_k: Mapping[int, float], step: int) -> Scores:
    chances = np.array([0.01, 0.5]) * pass_at_k[1]
    return Scores("test", step, True, pass_at_k, chances, ("one", "two"), 1.5, 1.0)


def arm_run(arm: ArmSettings, seed: int, made: Made) -> ArmRun:
    last = made.test if made.validation is None else made.validation
    switched = "switch" in arm.schedule
    objectives = ("mean",) * (STEPS // 2) + ("max@8" if switched else "mean",) * (STEPS // 2)
    columns = {
        name: np.broadcast_to(made.columns.get(name, 0.0), STEPS).astype(float)
        for name in (*FIELDS, "elapsed")
    }
    checks = ((STEPS // 2, flat(0.2)), (STEPS, last))
    return ArmRun(
        seed=seed,
        metrics=Metrics(np.arange(STEPS), objectives, columns),
        checkpoints=tuple(Checkpoint(step, "validation", at) for step, at in checks),
        evaluation=evaluation(made.test, STEPS),
        completions_path=None,
    )


def run(
    arms: Iterable[ArmSettings],
    seeds: tuple[int, ...],
    make: Maker,
    base: Mapping[int, float] | None = None,
) -> Run:
    """Every arm with every seed; `base` is pass@k of the warm starts."""
    return Run(
        path=Path("made-up"),
        title="made up",
        config={},
        versions={},
        command=None,
        seeds=seeds,
        steps=STEPS,
        base={seed: evaluation(base or flat(0.1), 0) for seed in seeds},
        arms=tuple(
            Arm(
                arm.name,
                arm.schedule,
                arm.learning_rate,
                tuple(arm_run(arm, seed, make(arm, seed)) for seed in seeds),
            )
            for arm in arms
        ),
        notes=(),
    )


def tuned(study: Study, make: Maker) -> Run:
    return run(study.tuning().arms, study.tuning_seeds, make)


def made_record(
    study: Study, make: Maker, base: Mapping[int, float] | None = None
) -> tuple[dict, str]:
    """NAME.json and NAME.csv of a study."""
    tuning = tuned(study, make)
    chosen = choices(study, validation_scores(study, tuning))
    reported = run(reported_config(study, chosen).arms, study.seeds, make, base)
    record, curves = condensed(study, tuning, reported)
    return {**record, "train_problems": 2000, "command": "", "versions": {}}, curves


def made_study(study: Study, make: Maker, base: Mapping[int, float] | None = None) -> StudyData:
    return study_data(*made_record(study, make, base))


def method_of(arm: ArmSettings) -> str:
    """The label of the method whose candidate an arm is."""
    return max((m.label for m in METHODS if arm.name.startswith(m.label)), key=len)


def lively(arm: ArmSettings, seed: int) -> Made:
    """Numbers that differ by method, seed and step: k_opt = k is best at k."""
    method = method_of(arm)
    rng = np.random.default_rng([seed, *method.encode()])
    target = {"k_opt=1": 1, "k_opt=2": 2, "k_opt=4": 4, "k_opt=8": 8, "TZSM25": 16}.get(method, 3)
    near = {k: abs(np.log2(k) - np.log2(target)) for k in K_VALUES}
    wobble = 0.002 * rng.standard_normal() + 0.01 * (seed % 5)
    test = {k: 0.2 + 0.03 * k - 0.02 * near[k] + wobble for k in K_VALUES}
    x = np.arange(STEPS) / STEPS
    columns: dict[str, np.ndarray | float] = {
        f"pass@{k}": (0.5 + 0.5 * x) * test[k] + 0.01 * rng.standard_normal(STEPS) for k in K_VALUES
    }
    columns["entropy"] = 6 - (4 - 0.1 * target) * x
    columns["cumulative_solve_rate"] = (0.4 + 0.004 * target) * (1 - np.exp(-4 * x))
    columns["signal_fraction"] = 0.4 - 0.01 * target * x + 0.01 * rng.standard_normal(STEPS)
    return Made(test, columns=columns)


def write_studies(folder: Path, *, quick: bool = False) -> None:
    """All studies of the reproduction, made up, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, real in STUDIES.items():
        base = real.quick() if quick else real
        few = replace(
            base, training={**real.training, "steps": STEPS}, learning_rates=base.learning_rates[:2]
        )
        record, curves = made_record(few, lively)
        if real.controls:
            rising = (0.3 * np.arange(1, STEPS // 5 + 1) / STEPS).tolist()
            record["controls"] = {
                kind: {str(seed): rising for seed in few.seeds} for kind in ("frozen", "uniform")
            }
        if real.model is not None:
            record["guesser"] = {seed: flat_end(0.01) for seed in record["warm_start"]}
            policies = ("warm start", *record["methods"])
            correct = dict.fromkeys(record["warm_start"], "0 1 16 3")
            record |= {"num_samples": 16, "correct": dict.fromkeys(policies, correct)}
            given = {policy: [["1/2", 1.0], ["2/4 ", 0.0]] for policy in policies}
            record["answers"] = [{"prompt": "Halve 1", "answers": given}]
        data_path(folder, name).write_text(json.dumps(record), encoding="utf-8")
        data_path(folder, name).with_suffix(".csv").write_text(curves, encoding="utf-8")
