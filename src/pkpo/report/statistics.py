"""Means over seeds of what the arms reached, against the policy they started from; of each
family of arms the best member, by validation alone: test results never choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pkpo.report.jsonio import setting
from pkpo.report.records import Arm, ArmRun, Run, Scores

BASE_NAME = "base (warm start)"
VALIDATION = "validation"
REACH = 0.5
"""A problem is within reach where at least half of all groups of k samples solve it."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and its standard error, sd / sqrt(count) with ddof=1: None for one."""

    mean: float
    standard_error: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Selection:
    """How a family's member was chosen.

    Args:
        chosen: the member with the highest score; the first of equals. None while a member has
            no seed that is finished, or none that all have finished.
        scores: by member, mean validation pass@k at the last step over `ks` and over `seeds`,
            those that all members have finished.
    """

    family: str
    members: tuple[str, ...]
    chosen: str | None
    scores: Mapping[str, float]
    seeds: tuple[int, ...]
    ks: tuple[int, ...]

    @property
    def criterion(self) -> str:
        """What was averaged, such as "mean of validation pass@1, 8"."""
        ks = ", ".join(map(str, self.ks))
        return f"validation pass@{ks}" if len(self.ks) == 1 else f"mean of validation pass@{ks}"


@dataclass(frozen=True)
class SummaryRow:
    """One arm, or the base, over its finished seeds.

    Args:
        values: what was measured: "pass@k" for every k; for arms "change_pass@k", which is
            pass@k minus the base's of the same seed; "entropy" in nats per completion;
            "distinct_solutions", the mean number of distinct correct answers found;
            "cumulative_solve_rate", the share of the training problems solved at least once;
            "problems_gained" and "problems_lost" (`gained_and_lost`).
        note: what else to say of the arm, such as that it was chosen among others.
    """

    name: str
    seeds: tuple[int, ...]
    values: Mapping[str, Estimate]
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
        exact: whether all solve probabilities are.
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


def within_reach(scores: Scores, k: int) -> np.ndarray:
    """Per problem, whether 1 - (1 - p)^k, the chance that k samples solve it, is `REACH`
    or more. Where p was estimated from samples, the estimate stands for p."""
    failing_M = 1.0 - np.clip(scores.solve_probability_M, 0.0, 1.0)
    return 1.0 - failing_M**k >= REACH


def reach_probability(k: int) -> float:
    """The solve probability of one sample from which on a problem is within reach."""
    return 1.0 - (1.0 - REACH) ** (1.0 / k)


def gained_and_lost(before: Scores, after: Scores, k: int) -> tuple[int, int]:
    """Numbers of problems that training brought within reach of k samples, and out of it."""
    old_M, new_M = within_reach(before, k), within_reach(after, k)
    return int((new_M & ~old_M).sum()), int((old_M & ~new_M).sum())


def summarise(run: Run) -> Summary:
    """Compares the arms of `run` over their finished seeds."""
    ks = sorted({k for scores in run.scores for k in scores.pass_at_k})
    selections = select(run)
    notes = {s.chosen: f"best of {len(s.members)} on validation" for s in selections if s.chosen}
    members = {name for selection in selections for name in selection.members}
    arms = [_row(run, ks, arm, notes.get(arm.name, "")) for arm in run.arms]
    shown = [row for row in arms if row.name not in members or row.name in notes]
    return Summary(
        rows=(_row(run, ks), *shown),
        ks=tuple(ks),
        num_seeds=len(run.seeds),
        reach_k=run.reach_k,
        num_problems=max((scores.num_problems for scores in run.scores), default=None),
        exact=all(scores.exact for scores in run.scores),
        splits=tuple(sorted({scores.split for scores in run.scores})),
        selections=selections,
        members=tuple(row for row in arms if row.name in members),
    )


def _row(run: Run, ks: Sequence[int], arm: Arm | None = None, note: str = "") -> SummaryRow:
    """Of an arm, or of the base."""
    finished = arm.finished if arm else ()
    scores = {r.seed: r.evaluation for r in finished if r.evaluation} if arm else run.base
    pairs = run.pairs(arm) if arm else []
    moved = [gained_and_lost(*pair, run.reach_k) for pair in pairs] if run.reach_k else []
    values: dict[str, Iterable[float | None]] = {
        **{f"pass@{k}": [s.pass_at_k.get(k) for s in scores.values()] for k in ks},
        **{f"change_pass@{k}": [_change(*pair, k) for pair in pairs] for k in ks},
        "entropy": [s.entropy for s in scores.values()],
        "distinct_solutions": [s.distinct_solutions for s in scores.values()],
        "cumulative_solve_rate": [_last(r, "cumulative_solve_rate") for r in finished],
        "problems_gained": [gained for gained, _ in moved],
        "problems_lost": [lost for _, lost in moved],
    }
    found = {name: value for name, each in values.items() if (value := estimate(each))}
    return SummaryRow(arm.name if arm else BASE_NAME, tuple(scores), found, note)


def _change(before: Scores, after: Scores, k: int) -> float | None:
    if k not in before.pass_at_k or k not in after.pass_at_k:
        return None
    return after.pass_at_k[k] - before.pass_at_k[k]


def _last(arm_run: ArmRun, column: str) -> float | None:
    series = arm_run.metrics.columns.get(column)
    return float(series[-1]) if series is not None and len(series) else None


# Families


def select(run: Run) -> tuple[Selection, ...]:
    """Chooses in each family of two or more arms, by pass@k for the configuration's
    `evaluation.select_k`, or the mean over every k where it has none."""
    families = dict.fromkeys(arm.family for arm in run.arms if arm.family is not None)
    groups = {name: [arm for arm in run.arms if arm.family == name] for name in families}
    k = setting(run.config, "evaluation.select_k")
    return tuple(best_member(name, arms, k) for name, arms in groups.items() if len(arms) > 1)


def best_member(family: str, members: Sequence[Arm], k: int | None = None) -> Selection:
    """The member with the highest mean validation pass@k after its last step.

    Args:
        family: name.
        members: arms to choose from.
        k: whose pass@k counts; None for the mean over every k that all members have.
    """
    names = tuple(arm.name for arm in members)
    last = [_last_validation(arm) for arm in members]
    seeds = sorted(set.intersection(*(set(found) for found in last)))
    each = [found[seed] for found in last for seed in seeds]
    common = sorted(set.intersection(*map(set, each))) if each else []
    ks = tuple(common if k is None else [k] if k in common else [])
    if not ks:
        return Selection(family, names, None, {}, tuple(seeds), ks)
    scores = {
        name: float(np.mean([[found[seed][k] for k in ks] for seed in seeds]))
        for name, found in zip(names, last, strict=True)
    }
    chosen = max(names, key=lambda name: scores[name])
    return Selection(family, names, chosen, scores, tuple(seeds), ks)


def _last_validation(arm: Arm) -> dict[int, Mapping[int, float]]:
    """By finished seed, pass@k on the validation problems after its last step."""
    found = {}
    for run in arm.finished:
        checkpoints = [c for c in run.checkpoints if c.split == VALIDATION]
        if checkpoints:
            found[run.seed] = max(checkpoints, key=lambda c: c.step).pass_at_k
    return found
