"""What a step of TRL's trainer did, told to the arm's log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from pkpo.engines.trl import Generation, PKPOTrainer
from pkpo.engines.trl.batches import prompt_number
from pkpo.errors import RunDirectoryError
from pkpo.tasks.base import Split
from pkpo.train.arm_log import ArmLog, StepRecord, Texts
from pkpo.train.json_lines import write_json
from pkpo.train.trl.prompts import Prompts
from pkpo.train.trl.ranks import gathered

STATE_FILE = "pkpo_job.json"
"""In each checkpoint, written last: what the log knows that the trainer doesn't."""


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
    """Tells an arm's log of the steps and measurements of a trainer. In all processes.

    Args:
        log: of the arm.
        trainer: of the arm.
        reward: the trainer's reward function.
        before_training: called once the model is in place, unless a run is continued.
        validate: step -> pass@k by str(k).
        stop: whether to end after the step; asked in every process, with one answer for all.

    Attributes:
        begun: whether the trainer came as far as its first step.
    """

    def __init__(
        self,
        log: ArmLog,
        trainer: RecordingTrainer,
        reward: TaskReward,
        *,
        before_training: Callable[[], object],
        validate: Callable[[int], dict[str, float]],
        stop: Callable[[], bool],
    ) -> None:
        self.log, self.trainer, self.reward = log, trainer, reward
        self._before_training, self._validate, self._stop = before_training, validate, stop
        self._indices = {
            prompt_number({"prompt_id": name}): i for i, name in enumerate(log.problem_ids)
        }
        self._began = self._seconds = 0.0
        self.begun = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun = True
        self.log.open(state.global_step, measured=True)
        if state.global_step == 0:
            self._before_training()
            self._measure(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._seconds = time.perf_counter() - self._began
        every = self.log.config.evaluation.every
        if state.global_step % every == 0 or state.global_step == state.max_steps:
            self._measure(state)
        if self._stop():
            control.should_training_stop = control.should_save = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any
    ) -> None:
        if "loss" in logs:
            step = state.global_step - 1
            self.log.step(step, self._record(step, logs))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.log.sync()
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            solved = np.flatnonzero(self.log.solved_P).tolist()
            write_json(folder / STATE_FILE, self.log.state() | {"solved": solved})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.log.close()

    def _measure(self, state: Any) -> None:
        self.log.measured(state.global_step, self._validate(state.global_step))

    def _record(self, step: int, logs: Mapping[str, Any]) -> StepRecord:
        """Advantages are those of a sum over a group, as elsewhere, where TRL averages."""
        assert self.trainer.last is not None
        batch, choice, advantages_PG, transform_seconds = self.trainer.last
        problems_P = np.array([self._indices[number] for number in batch.prompts_P])
        measures = {name: float(logs[name]) for name in ("loss", "grad_norm")}
        return StepRecord(
            problems_P,
            batch.rewards_PG,
            advantages_PG / batch.rewards_PG.shape[1],
            choice,
            entropy=logs["entropy"] * logs["completions/mean_length"],
            measures=measures | {"completion_length": logs["completions/mean_length"]},
            seconds=self._seconds,
            parts={"transform": transform_seconds},
            texts=self._texts(problems_P) if self.log.keeps(step) else None,
        )

    def _texts(self, problems_P: np.ndarray) -> Texts:
        prompts, split = self.reward.prompts, self.reward.split
        completions = gathered(self.reward.completions)
        return (
            [prompts.show_prompt(split, int(index)) for index in problems_P],
            [prompts.show_completion(ids) for ids in completions],
        )


def restore(log: ArmLog, checkpoint: Path) -> None:
    """Continue from what `Recorder` put into `checkpoint`.

    Raises:
        RunDirectoryError: it isn't there, or damaged.
    """
    try:
        known = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        solved_P = np.zeros(len(log.problem_ids), dtype=bool)
        solved_P[known["solved"]] = True
        log.restore(known, solved_P)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise RunDirectoryError(
            f"can't continue from {checkpoint}: {STATE_FILE} is missing or damaged ({error}). "
            "Remove that folder to continue from the checkpoint before"
        ) from error
