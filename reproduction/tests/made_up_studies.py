"""Studies whose results are made up, as `load_study` would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pkpo.report.records import Arm, ArmRun, Checkpoint, Metrics, Run
from pkpo.report.records import Scores as Evaluation
from pkpo.train.config import ArmSettings
from reproduction.studies.runs import StudyData, choose, reported_config
from reproduction.studies.settings import K_VALUES, Method, Study

STEPS = 20


@dataclass(frozen=True)
class Made:
    """What one arm does with one seed.

    Args:
        test: pass@k at the end, by k.
        validation: the same of the last checkpoint; None stands for `test`.
        earlier: validation pass@k by step, of the checkpoints before.
        columns: of the metrics; a number stands for as many as there are steps.
        entropy, distinct: of the evaluation.
    """

    test: Mapping[int, float]
    validation: Mapping[int, float] | None = None
    earlier: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    columns: Mapping[str, np.ndarray | float] = field(default_factory=dict)
    entropy: float = 1.0
    distinct: float = 1.0


Maker = Callable[[ArmSettings, int], Made]


def flat(value: float) -> dict[int, float]:
    """The same at every k."""
    return dict.fromkeys(K_VALUES, value)


def study(
    *methods: Method, seeds: tuple[int, ...] = (0, 1, 2), rates: tuple[float, ...] = (1e-3,)
) -> Study:
    return Study(
        name="made-up",
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


def evaluation(
    pass_at_k: Mapping[int, float], step: int, entropy: float = 1.0, distinct: float = 1.0
) -> Evaluation:
    chances = np.array([pass_at_k[1]])
    return Evaluation("test", step, True, pass_at_k, chances, ("one",), entropy, distinct)


def arm_run(seed: int, made: Made) -> ArmRun:
    last = made.test if made.validation is None else made.validation
    checkpoints = {**made.earlier, STEPS: last}
    objectives = ("mean",) * STEPS
    columns = {name: np.broadcast_to(v, STEPS).astype(float) for name, v in made.columns.items()}
    return ArmRun(
        seed=seed,
        metrics=Metrics(np.arange(STEPS), objectives, columns),
        checkpoints=tuple(Checkpoint(s, "validation", at) for s, at in checkpoints.items()),
        evaluation=evaluation(made.test, STEPS, made.entropy, made.distinct),
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
        base={seed: evaluation(base or flat(0.1), 0, entropy=2.0, distinct=2.0) for seed in seeds},
        arms=tuple(
            Arm(
                arm.name,
                arm.schedule,
                arm.learning_rate,
                tuple(arm_run(seed, make(arm, seed)) for seed in seeds),
            )
            for arm in arms
        ),
        notes=(),
    )


def tuned(study: Study, make: Maker) -> Run:
    return run(study.tuning().arms, study.tuning_seeds, make)


def study_data(study: Study, make: Maker, base: Mapping[int, float] | None = None) -> StudyData:
    tuning = tuned(study, make)
    choices = choose(study, tuning)
    reported = run(reported_config(study, choices).arms, study.seeds, make, base)
    return StudyData(study, choices, tuning, reported)
