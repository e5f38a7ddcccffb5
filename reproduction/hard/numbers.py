"""What a hard set is judged by: what was ever solved, what still is being solved, and pass@k.

Axis suffixes: A seeds, S training steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reproduction.comparing import Difference, difference
from reproduction.studies.controls import KINDS, read_control
from reproduction.studies.curves import last_mean, metric
from reproduction.studies.runs import StudyData

SOLVE_RATE = "cumulative solve rate"
"""Share of the training problems that had a correct sample by then; of the chosen arm."""

CONTROL_NAMES = {"frozen": "warm start, frozen", "uniform": "uniform sampler"}

STALLED = 0.1
"""A method has stalled where the last quarter of the steps brings less than this share of all
that it ever solved."""

QUARTER, TENTH = 0.25, 0.1


def solve_curve(data: StudyData, method: str) -> np.ndarray:
    """Cumulative solve rate (A, S) of the candidate that was chosen over all k."""
    return metric(data.chosen(method), "cumulative_solve_rate")


def control_curves(data: StudyData) -> dict[str, np.ndarray]:
    """The same (A, S) of the samplers that don't learn, by name; none where the study has none."""
    if not data.study.controls:
        return {}
    return {
        CONTROL_NAMES[kind]: np.stack(
            [read_control(data.reported.path, kind, seed) for seed in data.reported.seeds]
        )
        for kind in KINDS
    }


def solve_curves(data: StudyData, methods: Sequence[str]) -> dict[str, np.ndarray]:
    """`solve_curve` of methods, then `control_curves`."""
    return {m: solve_curve(data, m) for m in methods} | control_curves(data)


def solved(data: StudyData, method: str) -> np.ndarray:
    """Cumulative solve rate (A,) after the last step."""
    return solve_curve(data, method)[:, -1]


def rise(curve_AS: np.ndarray, share: float) -> np.ndarray:
    """What the last `share` of the steps, at least one of them, adds to a solve rate, (A,)."""
    count = min(max(1, round(share * curve_AS.shape[1])), curve_AS.shape[1] - 1)
    return curve_AS[:, -1] - curve_AS[:, -1 - count]


def share_of_rise(curve_AS: np.ndarray, share: float) -> np.ndarray:
    """`rise` as a share of all that was solved, (A,); 0 where nothing was.

    Before the first step nothing is solved, so the rate at the end is the whole rise.
    """
    total = curve_AS[:, -1]
    return np.divide(rise(curve_AS, share), total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class Lead:
    """One method over another on a measure.

    Args:
        measure: its name.
        gap: paired difference over seeds.
    """

    measure: str
    gap: Difference


def lead(data: StudyData, first: str, second: str, k: int | None) -> Lead:
    """`first` over `second`: held-out pass@k, of the candidates chosen for this k, or the
    cumulative solve rate where k is None."""
    if k is None:
        return Lead(SOLVE_RATE, difference(solved(data, first), solved(data, second)))
    mine, other = (data.scores(method, k, for_k=True) for method in (first, second))
    return Lead(f"test pass@{k}", difference(mine, other))


def training_pass_at_k(data: StudyData, method: str, k: int) -> np.ndarray:
    """pass@k (A,) of the training batches, mean over the last tenth of the steps."""
    return last_mean(metric(data.chosen(method), f"pass@{k}"), TENTH)


def passes(data: StudyData) -> float | None:
    """How often training goes through its problems; None where the task counts them itself."""
    count = data.study.options.get("num_train")
    size = data.study.tuning().training.prompts_per_step
    return None if count is None else data.study.steps * size / count
