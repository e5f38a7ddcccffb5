"""Means over seeds of what the arms reached, against the policy they started from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pkpo.report.families import Selection, select
from pkpo.report.records import Arm, ArmRun, Evaluation, Run

BASE_NAME = "base (warm start)"
REACH = 0.5
"""A problem is within reach where at least half of all groups of k samples solve it."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: the mean.
        standard_error: sd / sqrt(count) with ddof=1; None for one seed.
        values: of each seed.
    """

    mean: float
    standard_error: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class SummaryRow:
    """One arm, or the base, over its finished seeds; None stands for not measured.

    Args:
        name: the arm's.
        seeds: the finished seeds.
        pass_at_k: by k.
        change_at_k: by k, pass@k minus the base's of the same seed; empty for the base.
        entropy: nats per completion.
        distinct_solutions: mean number of distinct correct answers found.
        cumulative_solve_rate: share of the training problems solved at least once.
        gained, lost: problems that came within reach, or went out of it; see
            `gained_and_lost`.
        note: what else to say of the arm, such as that it was chosen among others.
    """

    name: str
    seeds: tuple[int, ...]
    pass_at_k: Mapping[int, Estimate]
    change_at_k: Mapping[int, Estimate]
    entropy: Estimate | None
    distinct_solutions: Estimate | None
    cumulative_solve_rate: Estimate | None
    gained: Estimate | None
    lost: Estimate | None
    note: str = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True)
class Summary:
    """The comparison of all arms.

    Args:
        rows: the base first, then the arms in order; of each family the chosen member alone.
        ks: every k with a pass@k, in increasing order.
        num_seeds: seeds planned.
        reach_k: the k at which problems count as within reach or not.
        num_problems: problems evaluated on; None before any evaluation.
        exact: whether all solve probabilities are exact.
        splits: names of the splits evaluated on.
        selections: how the member of each family was chosen.
        members: the rows of all members of families.
    """

    rows: tuple[SummaryRow, ...]
    ks: tuple[int, ...]
    num_seeds: int
    reach_k: int | None
    num_problems: int | None
    exact: bool
    splits: tuple[str, ...]
    selections: tuple[Selection, ...] = ()
    members: tuple[SummaryRow, ...] = ()


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Mean and standard error of the values that are there; None if none is."""
    found = np.array([value for value in values if value is not None and np.isfinite(value)])
    if not len(found):
        return None
    error = float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None
    return Estimate(float(found.mean()), error, tuple(found.tolist()))


def within_reach(evaluation: Evaluation, k: int) -> np.ndarray:
    """Per problem, whether 1 - (1 - p)^k, the chance that k samples solve it, is `REACH`
    or more. Where p was estimated from samples, the estimate stands for p."""
    failing_M = 1.0 - np.clip(evaluation.solve_probability_M, 0.0, 1.0)
    return 1.0 - failing_M**k >= REACH


def reach_probability(k: int) -> float:
    """The solve probability of one sample from which on a problem is within reach."""
    return 1.0 - (1.0 - REACH) ** (1.0 / k)


def gained_and_lost(before: Evaluation, after: Evaluation, k: int) -> tuple[int, int]:
    """Numbers of problems that training brought within reach of k samples, and out of it."""
    old_M, new_M = within_reach(before, k), within_reach(after, k)
    return int((new_M & ~old_M).sum()), int((old_M & ~new_M).sum())


def evaluation_pairs(run: Run, arm: Arm) -> list[tuple[Evaluation, Evaluation]]:
    """(before, after) training, for each finished seed whose warm start was evaluated."""
    return [
        (run.base[arm_run.seed], arm_run.evaluation)
        for arm_run in arm.runs
        if arm_run.evaluation is not None and arm_run.seed in run.base
    ]


def final_evaluations(run: Run) -> list[Evaluation]:
    """All evaluations on held-out problems: the warm starts' first, then the arms'."""
    after = [arm_run.evaluation for arm in run.arms for arm_run in arm.runs]
    return [*run.base.values(), *(evaluation for evaluation in after if evaluation is not None)]


def summarise(run: Run) -> Summary:
    """Compares the arms of `run` over their finished seeds."""
    evaluations = final_evaluations(run)
    ks = sorted({k for evaluation in evaluations for k in evaluation.pass_at_k})
    reach_k = shared_reach_k(run)
    arms = [_arm_row(run, arm, ks, reach_k) for arm in run.arms]
    selections = select(run)
    notes = {s.chosen: f"best of {len(s.members)} on validation" for s in selections if s.chosen}
    members = {name for selection in selections for name in selection.members}
    shown = [
        replace(row, note=notes.get(row.name, ""))
        for row in arms
        if row.name not in members or row.name in notes
    ]
    return Summary(
        rows=(_base_row(run, ks), *shown),
        ks=tuple(ks),
        num_seeds=len(run.seeds),
        reach_k=reach_k,
        num_problems=max((e.num_problems for e in evaluations), default=None),
        exact=all(evaluation.exact for evaluation in evaluations),
        splits=tuple(sorted({evaluation.split for evaluation in evaluations})),
        selections=selections,
        members=tuple(row for row in arms if row.name in members),
    )


def shared_reach_k(run: Run) -> int | None:
    """The largest k that every evaluation has; None where there is none."""
    common = [set(evaluation.pass_at_k) for evaluation in final_evaluations(run)]
    return max(set.intersection(*common), default=None) if common else None


def _base_row(run: Run, ks: Sequence[int]) -> SummaryRow:
    evaluations = list(run.base.values())
    return SummaryRow(
        name=BASE_NAME,
        seeds=tuple(run.base),
        pass_at_k=_by_k(ks, lambda k: [e.pass_at_k.get(k) for e in evaluations]),
        change_at_k={},
        entropy=estimate(e.entropy for e in evaluations),
        distinct_solutions=estimate(e.distinct_solutions for e in evaluations),
        cumulative_solve_rate=None,
        gained=None,
        lost=None,
    )


def _arm_row(run: Run, arm: Arm, ks: Sequence[int], reach_k: int | None) -> SummaryRow:
    evaluations = [r.evaluation for r in arm.runs if r.evaluation is not None]
    pairs = evaluation_pairs(run, arm)
    moved = [gained_and_lost(*pair, reach_k) for pair in pairs] if reach_k else []
    return SummaryRow(
        name=arm.name,
        seeds=tuple(arm_run.seed for arm_run in arm.finished),
        pass_at_k=_by_k(ks, lambda k: [e.pass_at_k.get(k) for e in evaluations]),
        change_at_k=_by_k(ks, lambda k: [_change(*pair, k) for pair in pairs]),
        entropy=estimate(e.entropy for e in evaluations),
        distinct_solutions=estimate(e.distinct_solutions for e in evaluations),
        cumulative_solve_rate=estimate(_last(r, "cumulative_solve_rate") for r in arm.finished),
        gained=estimate(gained for gained, _ in moved),
        lost=estimate(lost for _, lost in moved),
    )


def _by_k(ks: Sequence[int], values: Callable[[int], list[float | None]]) -> dict[int, Estimate]:
    found = {k: estimate(values(k)) for k in ks}
    return {k: value for k, value in found.items() if value is not None}


def _change(before: Evaluation, after: Evaluation, k: int) -> float | None:
    if k not in before.pass_at_k or k not in after.pass_at_k:
        return None
    return after.pass_at_k[k] - before.pass_at_k[k]


def _last(arm_run: ArmRun, column: str) -> float | None:
    series = arm_run.metrics.columns.get(column)
    return float(series[-1]) if series is not None and len(series) else None
