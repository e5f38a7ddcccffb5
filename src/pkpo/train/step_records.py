"""What a training step leaves behind: its metrics, its completions, its choice of objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from pkpo.core.passk import pass_at_k
from pkpo.engines.embedded.sampling import Completions
from pkpo.offpolicy import effective_sample_size
from pkpo.plans.plan import ByStep, Choice, Plan, Plateau
from pkpo.tasks.base import Task
from pkpo.train.run_directory import JsonLines


class Batch(NamedTuple):
    """A step's problems with their samples."""

    problems_P: np.ndarray
    tokens_PGS: np.ndarray
    rewards_PG: np.ndarray
    advantages_PG: np.ndarray


def sample_metrics(
    samples: Completions, batch: Batch, solved_P: np.ndarray, k_values: Sequence[int]
) -> dict[str, Any]:
    """pass@k, reward, entropy, and the share of groups that have a gradient.

    Args:
        samples, batch: of the step.
        solved_P: bools, training problems solved at least once so far.
        k_values: of pass@k, those up to n; 1 and n are added.
    """
    rewards_PG = batch.rewards_PG
    correct, n = (rewards_PG == 1.0).sum(axis=1), rewards_PG.shape[1]
    ks = sorted({1, n, *(k for k in k_values if k <= n)})
    return {
        **{f"pass@{k}": float(np.mean(pass_at_k(n, correct, k))) for k in ks},
        "reward_mean": float(rewards_PG.mean()),
        "entropy": float(samples.entropies_PGS.sum(-1).mean()),
        "cumulative_solve_rate": float(solved_P.mean()),
        "signal_fraction": float((batch.advantages_PG != 0).any(axis=1).mean()),
    }


def mean_effective_sample_size(
    log_ratios_PG: np.ndarray, choice: Choice, truncate: float | None
) -> float:
    """Mean over prompts of the effective number of samples for the prompt's own k."""
    if truncate is not None:
        log_ratios_PG = np.minimum(log_ratios_PG, math.log(truncate))
    found_P = np.empty(len(log_ratios_PG))
    for objective, rows in choice.parts():
        found_P[rows] = effective_sample_size(log_ratios_PG[rows], objective.k)
    return float(found_P.mean())


def completion_rows(task: Task, ids: Sequence[str], step: int, batch: Batch) -> pl.DataFrame:
    """One row a completion.

    Args:
        task: which tells what tokens mean.
        ids: names of all training problems.
        step, batch: of the completions.
    """
    num_generations = batch.tokens_PGS.shape[1]
    prompts = [task.describe_prompt("train", int(i)) for i in batch.problems_P]
    return pl.DataFrame(
        {
            "step": np.full(batch.rewards_PG.size, step),
            "problem": np.repeat([ids[i] for i in batch.problems_P], num_generations),
            "prompt": np.repeat(prompts, num_generations),
            "completion": [
                task.describe_completion(tokens) for group in batch.tokens_PGS for tokens in group
            ],
            "reward": batch.rewards_PG.reshape(-1),
            "advantage": batch.advantages_PG.reshape(-1),
        }
    )


class ChoiceLog:
    """choices.jsonl: what a plan chose and why.

    A schedule leaves no file, since the metrics say it all. A plateau plan leaves a line at
    the first step of each stage; any other plan a line a step, with an objective and a reason
    for each prompt.

    Args:
        path: of the file.
        plan: whose choices are kept.
        before_step: lines from this step on are dropped.
        count: as for `JsonLines`.
        shown: `shown` of the log that is continued.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        *,
        before_step: int,
        count: int | None = None,
        shown: str = "",
    ) -> None:
        self.shown = shown
        self._changes_only = isinstance(plan, Plateau)
        self._closing = ExitStack()
        self._lines = None
        if not isinstance(plan, ByStep):
            lines = JsonLines(path, before_step=before_step, count=count)
            self._lines = self._closing.enter_context(lines)

    @property
    def count(self) -> int | None:
        """Lines in the file; None without one."""
        return None if self._lines is None else self._lines.count

    def append(self, step: int, prompts: Sequence[str], choice: Choice) -> None:
        if self._lines is None:
            return
        if not self._changes_only:
            self._lines.append(choice.record(step, prompts))
            return
        (reason,) = choice.reasons
        if reason != self.shown:
            self._lines.append(choice.record(step))
        self.shown = reason

    def sync(self) -> None:
        """Return once everything appended so far is on the disk."""
        if self._lines is not None:
            self._lines.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.close()
