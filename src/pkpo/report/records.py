"""What a run directory holds, as typed values.

Axis suffixes: M problems, S training steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scores:
    """How well one policy solves one split.

    Args:
        split: name of the split, such as "test".
        step: training steps done before; 0 for a warm start.
        exact: whether `solve_probability_M` is exact, not estimated from samples.
        pass_at_k: mean pass@k over the problems, by k in increasing order.
        solve_probability_M: per problem, the probability that one sample is correct.
        problem_ids: one name a problem, in the order of `solve_probability_M`.
        entropy: nats per completion; None where not measured.
        distinct_solutions: mean number of distinct correct answers found; None where
            not measured.
        max_at_k: mean max@k of the reward over the problems, by k; None where every reward
            is 0 or 1, and where not measured.
    """

    split: str
    step: int
    exact: bool
    pass_at_k: Mapping[int, float]
    solve_probability_M: np.ndarray
    problem_ids: tuple[str, ...]
    entropy: float | None
    distinct_solutions: float | None
    max_at_k: Mapping[int, float] | None = None

    @property
    def num_problems(self) -> int:
        return len(self.problem_ids)


@dataclass(frozen=True)
class Checkpoint:
    """One evaluation made during training.

    Args:
        step: training steps done before.
        split: name of the split, such as "validation".
        pass_at_k: mean pass@k over the problems, by k in increasing order.
    """

    step: int
    split: str
    pass_at_k: Mapping[int, float]


@dataclass(frozen=True)
class Metrics:
    """One row a training step.

    Args:
        steps_S: int64 step numbers, strictly increasing.
        objectives: the objective trained at each step, such as "max@8".
        columns: float64 series of length S by name, such as "pass@1"; NaN where a step
            has no value.
    """

    steps_S: np.ndarray
    objectives: tuple[str, ...]
    columns: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Metrics:
        """From a step, an objective and numbers or None a row."""
        names = dict.fromkeys(name for row in rows for name in row)
        names = [name for name in names if name not in ("step", "objective")]
        return cls(
            steps_S=np.array([row["step"] for row in rows], dtype=np.int64),
            objectives=tuple(row["objective"] for row in rows),
            columns={n: np.array([row.get(n) for row in rows], dtype=np.float64) for n in names},
        )

    def __len__(self) -> int:
        return len(self.objectives)

    @property
    def switches(self) -> tuple[tuple[int, str, str], ...]:
        """(step, objective before, objective from this step on) at each change."""
        pairs = zip(self.objectives, self.objectives[1:], strict=False)
        return tuple(
            (int(self.steps_S[i + 1]), before, after)
            for i, (before, after) in enumerate(pairs)
            if before != after
        )


@dataclass(frozen=True)
class ArmRun:
    """One arm trained with one seed; `evaluation` is None while it is unfinished.

    `failure` says why it ended early or can't be read, in one line; empty where it did neither.
    """

    seed: int
    metrics: Metrics
    checkpoints: tuple[Checkpoint, ...]
    evaluation: Scores | None
    completions_path: Path | None
    failure: str = ""


@dataclass(frozen=True)
class Arm:
    """One objective under comparison, with its runs in seed order.

    Of the arms of one `family`, the best on validation problems stands for all.
    """

    name: str
    schedule: str
    learning_rate: float
    runs: tuple[ArmRun, ...]
    family: str | None = None

    @property
    def finished(self) -> tuple[ArmRun, ...]:
        return tuple(run for run in self.runs if run.evaluation is not None)


@dataclass(frozen=True)
class Run:
    """A whole run directory.

    Args:
        path: the directory.
        title: the task's name, or the directory's where the task has none.
        config: config.json as read.
        versions: versions.json as text values; empty where the file is missing.
        command: the command line; None where command.txt is missing.
        seeds: the seeds that were planned.
        steps: the training steps that were planned; None where the config has none.
        base: evaluation of the warm-started policy by seed; all arms start from it.
        arms: in the order of the config; only arms that have started.
        notes: what is missing or was left out, one sentence each.
        damage: what can't be read and was left out for that, one sentence each, with the file.
            Of an arm it is the `failure` too.
    """

    path: Path
    title: str
    config: Mapping[str, object]
    versions: Mapping[str, str]
    command: str | None
    seeds: tuple[int, ...]
    steps: int | None
    base: Mapping[int, Scores]
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    damage: tuple[str, ...] = ()

    def failure(self, arm: str, seed: int) -> str:
        """That of an arm's run; empty where there is none."""
        found = [r.failure for a in self.arms if a.name == arm for r in a.runs if r.seed == seed]
        return "".join(found)

    @property
    def scores(self) -> tuple[Scores, ...]:
        """On held-out problems: the warm starts' first, then those of the finished arms."""
        after = [run.evaluation for arm in self.arms for run in arm.finished]
        return (*self.base.values(), *(scores for scores in after if scores is not None))

    def pairs(self, arm: Arm) -> list[tuple[Scores, Scores]]:
        """(before, after) training, for each finished seed whose warm start was evaluated."""
        return [
            (self.base[run.seed], run.evaluation)
            for run in arm.runs
            if run.evaluation is not None and run.seed in self.base
        ]

    @property
    def reach_k(self) -> int | None:
        """The largest k that all scores have; None where there is none."""
        common = [set(scores.pass_at_k) for scores in self.scores]
        return max(set.intersection(*common), default=None) if common else None
