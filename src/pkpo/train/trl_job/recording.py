"""What a step of training did, taken down in the run directory's words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from transformers import TrainerCallback

from pkpo.core.passk import pass_at_k
from pkpo.engines.trl import Generation, PKPOTrainer
from pkpo.engines.trl.batches import prompt_number
from pkpo.errors import RunDirectoryError
from pkpo.tasks.base import Split
from pkpo.train.run_directory import ArmDirectory, JsonLines, write_json
from pkpo.train.trl_job.prompts import Prompts
from pkpo.train.trl_job.ranks import gathered

STATE_FILE = "pkpo_job.json"
"""In each checkpoint, written last: what the callback below knows that the trainer doesn't."""


class TaskReward:
    """A reward function in TRL's form, which remembers the completions it saw last.

    Args:
        prompts: the task and how it is put to the model.
        split: which problems; a dataset row's `problem` is its index there.
    """

    def __init__(self, prompts: Prompts, split: Split) -> None:
        self.prompts = prompts
        self.split: Split = split
        self.completions: list[list[int]] = []
        self.__name__ = prompts.task.name

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: list[list[int]],
        problem: Sequence[int],
        **kwargs: Any,
    ) -> list[float]:
        self.completions = completion_ids
        return self.prompts.score(self.split, problem, completion_ids)


class RecordingTrainer(PKPOTrainer):
    """A `PKPOTrainer` that keeps the last training batch of all processes."""

    last: Generation | None = None

    def on_generation(self, generation: Generation) -> None:
        self.last = generation


class Recorder(TrainerCallback):
    """Writes metrics.jsonl, evaluations.jsonl and completions.parquet of an arm.

    All processes take part, the main one writes.

    Args:
        directory: the arm's folder.
        reward: the trainer's reward function.
        learning_rate: of the arm.
        every: steps between two measurements of the validation split.
        completions_every: steps between two records of completions.
        before_training: called once the model is in place, unless a run is continued.
        validate: step -> pass@k by str(k).
        stop: whether to end after the step; asked in every process, with one answer for all.
        progress: called in the main process when a step is written.
    """

    def __init__(
        self,
        directory: ArmDirectory,
        reward: TaskReward,
        *,
        learning_rate: float,
        every: int,
        completions_every: int,
        before_training: Callable[[], object],
        validate: Callable[[int], dict[str, float]],
        stop: Callable[[], bool],
        progress: Callable[[], object],
    ) -> None:
        self.directory, self.reward, self.learning_rate = directory, reward, learning_rate
        self.every, self.completions_every = every, completions_every
        self._before_training, self._validate = before_training, validate
        self._stop, self._progress = stop, progress
        self.problem_ids = reward.prompts.task.problems(reward.split).ids
        self._indices = {
            prompt_number({"prompt_id": name}): index for index, name in enumerate(self.problem_ids)
        }
        self.solved_P = np.zeros(len(self.problem_ids), dtype=bool)
        self.elapsed = self.seconds = 0.0
        self.begun = self.stopped = False
        self._began = 0.0
        self._metrics: JsonLines | None = None
        self._evaluations: JsonLines | None = None
        self.trainer: RecordingTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun = True
        if state.is_world_process_zero:
            self._metrics = JsonLines(
                self.directory.metrics, before_step=state.global_step, every_step=True
            )
            self._evaluations = JsonLines(
                self.directory.evaluations, before_step=state.global_step + 1
            )
        if state.global_step == 0:
            self._before_training()
            self._measure(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.perf_counter() - self._began
        self.elapsed += self.seconds
        self._take_in(state)
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._measure(state)
        if self._stop():
            self.stopped = control.should_training_stop = control.should_save = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any
    ) -> None:
        if self._metrics is not None and "loss" in logs:
            self._metrics.append(self._row(state.global_step - 1, logs))
            self._progress()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._metrics is None or self._evaluations is None:
            return
        self._metrics.sync()
        self._evaluations.sync()
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        known = {"elapsed": self.elapsed, "solved": np.flatnonzero(self.solved_P).tolist()}
        write_json(folder / STATE_FILE, known)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()

    def restore(self, checkpoint: Path) -> None:
        """Continue from what `on_save` put into `checkpoint`.

        Raises:
            RunDirectoryError: it isn't there, or damaged.
        """
        try:
            known = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
            self.elapsed = float(known["elapsed"])
            self.solved_P[known["solved"]] = True
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            raise RunDirectoryError(
                f"can't continue from {checkpoint}: {STATE_FILE} is missing or damaged ({error}). "
                "Remove that folder to continue from the checkpoint before"
            ) from error

    def close(self) -> None:
        for file in (self._metrics, self._evaluations):
            if file is not None:
                file.close()
        self._metrics = self._evaluations = None

    @property
    def _last(self) -> Generation:
        assert self.trainer is not None
        assert self.trainer.last is not None
        return self.trainer.last

    def _problems_P(self) -> np.ndarray:
        return np.array([self._indices[number] for number in self._last.batch.prompts_P])

    def _take_in(self, state: Any) -> None:
        batch = self._last.batch
        self.solved_P[self._problems_P()] |= (batch.rewards_PG == 1.0).any(axis=1)
        if state.global_step % self.completions_every and state.global_step < state.max_steps:
            return
        completions = gathered(self.reward.completions)
        if self._metrics is not None:
            self._keep(state.global_step - 1, completions)

    def _measure(self, state: Any) -> None:
        found = self._validate(state.global_step)
        assert self.trainer is not None
        self.trainer.plan.observe_validation(
            state.global_step, {int(k): value for k, value in found.items()}
        )
        if self._evaluations is not None:
            self._evaluations.append(
                {"step": state.global_step, "split": "validation", "pass_at_k": found}
            )

    def _row(self, step: int, logs: dict[str, Any]) -> dict[str, Any]:
        batch, choice, advantages_PG, transform_seconds = self._last
        correct, n = (batch.rewards_PG == 1.0).sum(axis=1), batch.rewards_PG.shape[1]
        return {
            "step": step,
            **{f"pass@{k}": float(np.mean(pass_at_k(n, correct, k))) for k in sorted({1, n})},
            "reward_mean": float(batch.rewards_PG.mean()),
            "entropy": logs["entropy"] * logs["completions/mean_length"],
            "cumulative_solve_rate": float(self.solved_P.mean()),
            "signal_fraction": float((advantages_PG != 0).any(axis=1).mean()),
            "objective": str(choice),
            "learning_rate": self.learning_rate,
            "loss": float(logs["loss"]),
            "grad_norm": float(logs["grad_norm"]),
            "completion_length": logs["completions/mean_length"],
            "samples_per_second": batch.rewards_PG.size / self.seconds,
            "transform_share": transform_seconds / self.seconds,
            "elapsed": self.elapsed,
        }

    def _keep(self, step: int, completions: list[list[int]]) -> None:
        """Advantages are those of a sum over a group, as elsewhere, where TRL averages."""
        rewards_PG, prompts = self._last.batch.rewards_PG, self.reward.prompts
        n = rewards_PG.shape[1]
        problems = self._problems_P()
        shown = [prompts.show_prompt(self.reward.split, int(index)) for index in problems]
        rows = pl.DataFrame(
            {
                "step": np.full(rewards_PG.size, step),
                "problem": np.repeat([self.problem_ids[index] for index in problems], n),
                "prompt": np.repeat(shown, n),
                "completion": [prompts.show_completion(ids) for ids in completions],
                "reward": rewards_PG.reshape(-1),
                "advantage": self._last.advantages_PG.reshape(-1) / n,
            }
        )
        self.directory.add_completions(rows, step=step)
