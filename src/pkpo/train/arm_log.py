"""What the training of an arm leaves behind, whichever engine trains: metrics, measurements,
choices of objectives and completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from pkpo.core.passk import pass_at_k
from pkpo.plans.choice_log import ChoiceLog
from pkpo.plans.plan import Choice, Plan
from pkpo.train.config import ArmSettings, JobSettings
from pkpo.train.json_lines import JsonLines
from pkpo.train.run_directory import ArmDirectory

Texts = tuple[Sequence[str], Sequence[str]]


class StepRecord(NamedTuple):
    """What an engine tells of a step.

    Args:
        problems_P: indices of its problems among the training problems.
        advantages_PG: that they were trained with; a sum over a group, no mean.
        entropy: mean over completions of the sum of token entropies, in nats.
        measures: further columns of metrics.jsonl, loss and grad_norm first.
        seconds, parts: that the step took, and parts of it by name.
        texts: prompts (P) and completions (P * G) as people read them, at steps where the log
            `keeps` them.
    """

    problems_P: np.ndarray
    rewards_PG: np.ndarray
    advantages_PG: np.ndarray
    choice: Choice
    entropy: float
    measures: Mapping[str, float]
    seconds: float
    parts: Mapping[str, float]
    texts: Texts | None


class ArmLog(AbstractContextManager["ArmLog"]):
    """metrics.jsonl, evaluations.jsonl, choices.jsonl and completions.parquet of an arm.

    Args:
        plan: told of the measurements.
        problem_ids: names of all training problems.
        writing: False in processes that leave that to another; they remember all the same.

    Attributes:
        solved_P: bools, training problems solved at least once so far.
        elapsed: seconds that all steps took.
    """

    def __init__(
        self,
        directory: ArmDirectory,
        config: JobSettings,
        arm: ArmSettings,
        plan: Plan,
        problem_ids: Sequence[str],
        *,
        writing: bool = True,
    ) -> None:
        self.directory, self.config, self.arm, self.plan = directory, config, arm, plan
        self.problem_ids, self._writing = problem_ids, writing
        self.solved_P = np.zeros(len(problem_ids), dtype=bool)
        self.elapsed = 0.0
        self._choices = ChoiceLog(plan, lambda row: self._files["choices"].append(row))
        self._counts: dict[str, int | None] = {"evaluations": None, "choices": None}
        self._files: dict[str, JsonLines] = {}
        self._closing = ExitStack()

    def open(self, step: int, *, measured: bool = False) -> Self:
        """Cut all files back to `step`, and be ready for more; for use as a context.

        Args:
            measured: whether a measurement before `step` was made before the checkpoint of it.

        Raises:
            RunDirectoryError: a file is damaged, or lacks what was in it at the checkpoint.
        """
        if not self._writing:
            return self
        folder = self.directory
        wanted = {
            "metrics": (folder.metrics, step),
            "evaluations": (folder.evaluations, step + measured),
        }
        if ChoiceLog.keeps(self.plan):
            wanted["choices"] = (folder.choices, step)
        with ExitStack() as opened:
            files = {}
            for name, (path, before) in wanted.items():
                count, whole = self._counts.get(name), name == "metrics"
                file = JsonLines(path, before_step=before, every_step=whole, count=count)
                files[name] = opened.enter_context(file)
            self._files, self._closing = files, opened.pop_all()
        return self

    def keeps(self, step: int) -> bool:
        """Whether the completions of `step` are kept."""
        return (step + 1) % self.config.completions_every == 0 or (
            step + 1 == self.config.training.steps
        )

    def step(self, step: int, found: StepRecord) -> None:
        """Take down what a step did."""
        self.solved_P[found.problems_P] |= (found.rewards_PG == 1.0).any(axis=1)
        self.elapsed += found.seconds
        if not self._files:
            return
        names = [self.problem_ids[int(i)] for i in found.problems_P]
        self._choices.append(step, names, found.choice)
        self._files["metrics"].append(self._row(step, found))
        if found.texts is not None:
            self.directory.add_completions(
                _completion_rows(step, names, found, found.texts), step=step
            )

    def measured(self, step: int, scores: Mapping[str, float]) -> None:
        """Take down pass@k by str(k) on the validation problems, and tell the plan."""
        if self._files:
            row = {"step": step, "split": "validation", "pass_at_k": scores}
            self._files["evaluations"].append(row)
        self.plan.observe_validation(step, {int(k): value for k, value in scores.items()})

    def sync(self) -> None:
        """Return once everything that was taken down is on the disk."""
        for file in self._files.values():
            file.sync()

    def state(self) -> dict[str, Any]:
        """For the next checkpoint: plain values, but for `solved_P`."""
        counts = {n: file.count for n, file in self._files.items() if n in self._counts}
        return {
            "elapsed": self.elapsed,
            "shown_choice": self._choices.shown,
            "lines": {**dict.fromkeys(self._counts), **counts},
        }

    def restore(self, state: Mapping[str, Any], solved_P: np.ndarray) -> None:
        """Continue from a checkpoint with this `state`.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        if solved_P.shape != self.solved_P.shape or solved_P.dtype != bool:
            raise ValueError(f"'solved' isn't {len(self.solved_P)} truth values")
        counts = state.get("lines", self._counts)
        self._counts = {name: counts[name] for name in self._counts}
        self.solved_P, self.elapsed = solved_P, float(state["elapsed"])
        self._choices.shown = str(state.get("shown_choice", ""))

    def close(self) -> None:
        self._files = {}
        self._closing.close()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _row(self, step: int, found: StepRecord) -> dict[str, Any]:
        rewards_PG, n = found.rewards_PG, found.rewards_PG.shape[1]
        ks = sorted({1, n, *(k for k in self.config.evaluation.k_values if k <= n)})
        return {
            "step": step,
            **mean_pass_at_k(rewards_PG, ks, "pass@"),
            "reward_mean": float(rewards_PG.mean()),
            "entropy": found.entropy,
            "cumulative_solve_rate": float(self.solved_P.mean()),
            "signal_fraction": float((found.advantages_PG != 0).any(axis=1).mean()),
            "objective": str(found.choice),
            "learning_rate": self.arm.learning_rate,
            **found.measures,
            "samples_per_second": rewards_PG.size / found.seconds,
            "elapsed": self.elapsed,
            **{f"{name}_share": spent / found.seconds for name, spent in found.parts.items()},
        }


def mean_pass_at_k(
    rewards_PG: np.ndarray, k_values: Iterable[int], prefix: str = ""
) -> dict[str, float]:
    """Unbiased pass@k, mean over problems, by prefix and k."""
    correct, n = (rewards_PG == 1.0).sum(axis=1), rewards_PG.shape[1]
    return {f"{prefix}{k}": float(np.mean(pass_at_k(n, correct, k))) for k in k_values}


def _completion_rows(
    step: int, names: Sequence[str], found: StepRecord, texts: Texts
) -> pl.DataFrame:
    """One row a completion, of problems of these names."""
    (prompts, completions), n = texts, found.rewards_PG.shape[1]
    return pl.DataFrame(
        {
            "step": np.full(found.rewards_PG.size, step),
            "problem": np.repeat(names, n),
            "prompt": np.repeat(prompts, n),
            "completion": completions,
            "reward": found.rewards_PG.reshape(-1),
            "advantage": found.advantages_PG.reshape(-1),
        }
    )
