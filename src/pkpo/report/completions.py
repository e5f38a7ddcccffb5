"""A handful of sampled completions to read, side by side over the arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pkpo.errors import RunDirectoryError
from pkpo.report.records import Arm, ArmRun, Run

COLUMNS = {
    "step": pl.Int64,
    "problem": pl.String,
    "prompt": pl.String,
    "completion": pl.String,
    "reward": pl.Float64,
    "advantage": pl.Float64,
}

# Polars panics over some damaged files, with an exception that isn't an Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class Sample:
    """Equal completions of one problem; `advantage` is the mean over all `count`."""

    completion: str
    count: int
    reward: float
    advantage: float


@dataclass(frozen=True)
class ArmSamples:
    """What one arm answered to one problem: all completions counted, of which those with a
    reward above 0 are correct, and some of them, the most frequent first."""

    arm: str
    seed: int
    step: int
    num_completions: int
    num_correct: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class ProblemSamples:
    """One problem with the answers of each arm that was asked it in its last step."""

    problem: str
    prompt: str
    arms: tuple[ArmSamples, ...]


def sample_completions(
    run: Run, *, num_problems: int = 4, samples_per_arm: int = 3
) -> tuple[tuple[ProblemSamples, ...], tuple[str, ...], tuple[str, ...]]:
    """Picks problems and completions from the last recorded step of each arm.

    Takes the first seed that has any. Prefers problems that several arms share and that
    were solved by some completions but not all, and shows correct and wrong ones alike.
    The same files always give the same choice.

    Args:
        num_problems, samples_per_arm: the most problems, and distinct completions of each and
            each arm.

    Returns:
        The problems, a sentence for each arm that has no completions, and what can't be read
        of finished arms, which is among the sentences.
    """
    groups: dict[str, list[ArmSamples]] = {}
    prompts: dict[str, str] = {}
    notes: list[str] = []
    damage: list[str] = []
    for arm in run.arms:
        try:
            chosen = _first_with_completions(arm)
        except RunDirectoryError as error:
            notes.append(f"{error}.")
            damage.append(str(error))
            continue
        if chosen is None:
            notes.append(f"{arm.name}: no sampled completions yet.")
            continue
        arm_run, frame = chosen
        for (problem,), rows in sorted(frame.group_by("problem"), key=lambda item: str(item[0])):
            groups.setdefault(str(problem), []).append(
                _arm_samples(arm.name, arm_run.seed, rows, samples_per_arm)
            )
            prompts.setdefault(str(problem), rows["prompt"][0])
    picked = _pick(groups, num_problems)
    problems = tuple(ProblemSamples(name, prompts[name], tuple(groups[name])) for name in picked)
    return problems, tuple(notes), tuple(damage)


def all_completions(path: Path) -> pl.DataFrame:
    """What a completions file holds.

    Raises:
        RunDirectoryError: not a Parquet file, or a column is missing, of another type
            or has nulls.
    """
    problem = "not a readable Parquet file ({})"
    try:
        frame = pl.read_parquet(path)
        for name in COLUMNS:
            if name not in frame.columns:
                raise ValueError(f"column {name!r} is missing")
        problem = "a column has the wrong type ({})"
        frame = frame.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
        for name in COLUMNS:
            if frame[name].null_count():
                raise ValueError(f"column {name!r} has empty values")
    except (*_UNREADABLE, ValueError) as error:
        said = str(error) if isinstance(error, ValueError) else problem.format(error)
        raise RunDirectoryError(
            f"{path}: {said}. Restore it, or remove it to go on without the completions in it"
        ) from error
    return frame


def _first_with_completions(arm: Arm) -> tuple[ArmRun, pl.DataFrame] | None:
    for arm_run in arm.runs:
        if arm_run.completions_path is None:
            continue
        try:
            frame = all_completions(arm_run.completions_path)
        except RunDirectoryError:
            if arm_run.evaluation is not None:
                raise
            continue
        if not frame.is_empty():
            return arm_run, frame.filter(pl.col("step") == pl.col("step").max())
    return None


def _arm_samples(arm: str, seed: int, rows: pl.DataFrame, limit: int) -> ArmSamples:
    counted = (
        rows.group_by("completion", "reward")
        .agg(pl.len().alias("count"), pl.col("advantage").mean())
        .sort(["count", "completion", "reward"], descending=[True, False, False])
    )
    samples = [Sample(**row) for row in counted.iter_rows(named=True)]
    return ArmSamples(
        arm=arm,
        seed=seed,
        step=rows["step"][0],
        num_completions=len(rows),
        num_correct=int((rows["reward"] > 0).sum()),
        samples=_both_kinds(samples, limit),
    )


def _both_kinds(samples: Sequence[Sample], limit: int) -> tuple[Sample, ...]:
    correct = [sample for sample in samples if sample.reward > 0]
    wrong = [sample for sample in samples if sample.reward <= 0]
    kept_correct = correct[: max(limit - len(wrong), (limit + 1) // 2)]
    return (*kept_correct, *wrong[: limit - len(kept_correct)])


def _pick(groups: Mapping[str, Sequence[ArmSamples]], limit: int) -> list[str]:
    shown: Counter[str] = Counter()
    left = sorted(groups)
    picked: list[str] = []
    while left and len(picked) < limit:
        best = max(left, key=lambda name: (_worth(groups[name], shown), -left.index(name)))
        left.remove(best)
        picked.append(best)
        shown.update(samples.arm for samples in groups[best])
    return picked


def _worth(arms: Sequence[ArmSamples], shown: Counter[str]) -> tuple[float, int]:
    mixed = sum(0 < samples.num_correct < samples.num_completions for samples in arms)
    return sum(1.0 / (1 + shown[samples.arm]) for samples in arms), mixed
