"""Training one arm with one seed: sample, verify, transform, update; measured and resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import sample
from pkpo.errors import DivergenceError
from pkpo.plans.plan import Plateau, plan
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Task
from pkpo.train.checkpoints import deciding_settings
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.evaluation import Evaluator
from pkpo.train.order import problems_of_step
from pkpo.train.run_directory import ArmDirectory, JsonLines, write_json
from pkpo.train.step_records import (
    Batch,
    ChoiceLog,
    completion_rows,
    mean_effective_sample_size,
    sample_metrics,
)
from pkpo.train.warm_start import save_policy

_SECONDS_BETWEEN_CHECKPOINTS = 45.0
"""At most, plus a step: what a crash costs where steps are slow."""


class _Stopwatch:
    """Seconds spent in each named part of a step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class ArmTrainer:
    """Trains one arm with one seed inside its folder.

    Every random number is a function of (seed, step), so a continued run repeats what an
    uninterrupted one does: the problems of a step come from the epoch's permutation, its
    completions from a generator seeded for the step.

    Args:
        task: the problems and their verifier.
        config: the whole job's settings.
        arm: plan, learning rate and what else tells the method apart.
        seed: of this run.
        policy: the warm start; trained in place.
        directory: the arm's folder; an earlier state in it is continued.
    """

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        arm: ArmSettings,
        seed: int,
        policy: Policy,
        directory: ArmDirectory,
    ) -> None:
        self.task, self.config, self.arm, self.seed = task, config, arm, seed
        self.policy, self.directory = policy, directory
        self.device = policy.device
        self.plan, self.credit = plan(arm.schedule), config.credit(arm)
        self.learner = Learner(
            policy,
            learning_rate=arm.learning_rate,
            max_grad_norm=config.training.max_grad_norm,
            passes=config.training.passes,
            clip=config.training.clip,
            entropy_coef=arm.entropy_coef,
        )
        self.problems = task.problems("train")
        self.solved_P = np.zeros(len(self.problems), dtype=bool)
        self.elapsed = 0.0
        self.step = 0
        self._shown = ""
        self._lines: dict[str, int | None] = {"evaluations": None, "choices": None}
        self._settings = deciding_settings(config, arm, seed)
        if isinstance(self.plan, Plateau):
            self._settings["evaluation"] = config.evaluation.model_dump(mode="json")
        directory.path.mkdir(parents=True, exist_ok=True)
        self._restore()
        directory.describe(config, arm, seed)

    def _restore(self) -> None:
        checkpoints = self.directory.checkpoints
        state = checkpoints.load(self._settings)
        if state is None:
            return
        with checkpoints.restoring():
            checkpoints.check(state, self._state())
            self.policy.load_state_dict(state["policy"])
            self.learner.optimizer.load_state_dict(state["optimizer"])
            _check_moments(self.learner.optimizer)
            solved_P = state["solved"].cpu().numpy()
            if solved_P.shape != self.solved_P.shape or solved_P.dtype != bool:
                raise ValueError(f"'solved' isn't {len(self.solved_P)} truth values")
            if not 0 <= state["step"] <= self.config.training.steps:
                raise ValueError(f"there is no step {state['step']}")
            self.solved_P, self.step, self.elapsed = solved_P, state["step"], state["elapsed"]
            self.plan.restore(state["plan"])
            self._shown = state["shown_choice"]
            lines = state.get("lines", self._lines)
            self._lines = {name: lines[name] for name in self._lines}

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "elapsed": self.elapsed,
            "policy": self.policy.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "solved": torch.from_numpy(self.solved_P),
            "plan": self.plan.state(),
            "shown_choice": self._shown,
        }

    def _save(self, evaluations: JsonLines, choices: ChoiceLog) -> None:
        lines = {"evaluations": evaluations.count, "choices": choices.count}
        self._shown = choices.shown
        self.directory.checkpoints.save(self._state() | {"lines": lines}, self._settings)

    def run(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the last step, then measure the policy on the test split and export it.

        Args:
            stop: asked after each step; once true, a checkpoint is written and nothing more done.

        Returns:
            Whether everything was done.

        Raises:
            DivergenceError: the policy is no longer finite; says at which step.
        """
        try:
            return self._run(stop)
        except DivergenceError as error:
            raise DivergenceError(
                f"step {self.step}: the policy diverged: {error}. A lower learning rate or "
                "max_grad_norm may help"
            ) from error

    def _run(self, stop: Callable[[], bool]) -> bool:
        config, steps = self.config, self.config.training.steps
        with (
            JsonLines(self.directory.metrics, before_step=self.step, every_step=True) as metrics,
            JsonLines(
                self.directory.evaluations,
                before_step=self.step,
                count=self._lines["evaluations"],
            ) as evaluations,
            ChoiceLog(
                self.directory.path / "choices.jsonl",
                self.plan,
                before_step=self.step,
                count=self._lines["choices"],
                shown=self._shown,
            ) as choices,
        ):
            if not self._train(metrics, evaluations, choices, stop):
                return False
        save_policy(self.policy, self.directory.model, self.task)
        test = Evaluator(self.task, "test", config.evaluation, self.device)
        final = test.full(self.policy, seed=self.seed, step=steps)
        write_json(self.directory.evaluation, final)
        return True

    def _train(
        self,
        metrics: JsonLines,
        evaluations: JsonLines,
        choices: ChoiceLog,
        stop: Callable[[], bool],
    ) -> bool:
        config, steps = self.config, self.config.training.steps
        validation = Evaluator(self.task, "validation", config.evaluation, self.device)
        saved = time.monotonic()
        while self.step < steps:
            if self.step % config.evaluation.every == 0:
                found = self._validate(validation)
                evaluations.append(found)
                self.plan.observe_validation(
                    self.step, {int(k): value for k, value in found["pass_at_k"].items()}
                )
            row, batch = self._train_step(choices)
            metrics.append(row)
            if (self.step + 1) % config.completions_every == 0 or self.step + 1 == steps:
                rows = completion_rows(self.task, self.problems.ids, self.step, batch)
                self.directory.add_completions(rows, step=self.step)
            self.step += 1
            stopping = stop()
            due = self.step % config.checkpoint_every == 0 or self.step == steps
            if stopping or due or time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS:
                metrics.sync()
                evaluations.sync()
                choices.sync()
                self._save(evaluations, choices)
                saved = time.monotonic()
            if stopping:
                return False
        evaluations.append(self._validate(validation))
        evaluations.sync()
        return True

    def _validate(self, evaluator: Evaluator) -> dict[str, Any]:
        found = evaluator.pass_at_k(self.policy, seed=self.seed, step=self.step)
        return {"step": self.step, "split": evaluator.split, "pass_at_k": found}

    def _train_step(self, choices: ChoiceLog) -> tuple[dict[str, Any], Batch]:
        training, vocabulary = self.config.training, self.task.vocabulary
        watch = _Stopwatch()
        chosen_P = problems_of_step(
            self.step, training.prompts_per_step, len(self.problems), self.seed
        )
        names = [self.problems.ids[i] for i in chosen_P]
        choice = self.plan.choose(self.step, names)
        choices.append(self.step, names, choice)
        prompts = torch.as_tensor(self.problems.prompts_PT[chosen_P], device=self.device)
        lengths = torch.as_tensor(self.problems.lengths_P[chosen_P], device=self.device)
        with watch.part("sample"):
            generator = torch.Generator(self.device)
            generator.manual_seed(seed_of(self.seed, Stream.SAMPLING, self.step))
            samples = sample(
                self.policy,
                prompts,
                lengths,
                num_generations=training.num_generations,
                max_new_tokens=self.task.max_new_tokens,
                eos_id=vocabulary.eos_id,
                pad_id=vocabulary.pad_id,
                generator=generator,
            )
            tokens_PGS = samples.tokens_PGS.cpu().numpy()
        with watch.part("verify"):
            rewards_PG = self.task.verify("train", chosen_P, tokens_PGS)
        with watch.part("transform"):
            advantages_PG = self.credit(rewards_PG, choice)

        def reweigh(log_ratios_PG: np.ndarray) -> np.ndarray:
            return self.credit(
                rewards_PG, choice, log_ratios_PG=log_ratios_PG, truncate=training.truncate
            )

        with watch.part("update"):
            weights = torch.as_tensor(advantages_PG, dtype=torch.float32, device=self.device)
            stats = self.learner.step(
                prompts,
                lengths,
                samples,
                weights,
                eos_id=vocabulary.eos_id,
                reweigh=reweigh if training.reweighs else None,
            )
        self.plan.observe(self.step, names, rewards_PG)
        self.solved_P[chosen_P] |= (rewards_PG == 1.0).any(axis=1)
        seconds = sum(watch.seconds.values())
        self.elapsed += seconds
        batch = Batch(chosen_P, tokens_PGS, rewards_PG, advantages_PG)
        row = {
            "step": self.step,
            **sample_metrics(samples, batch, self.solved_P, self.config.evaluation.k_values),
            "objective": str(choice),
            "learning_rate": self.arm.learning_rate,
            "loss": stats.loss,
            "grad_norm": stats.grad_norm,
            "samples_per_second": rewards_PG.size / seconds,
            "elapsed": self.elapsed,
            **{f"{name}_share": spent / seconds for name, spent in watch.seconds.items()},
        }
        if stats.log_ratios_PG is not None:
            row["effective_sample_size"] = mean_effective_sample_size(
                stats.log_ratios_PG, choice, training.truncate
            )
        return row, batch


def _check_moments(optimizer: torch.optim.Optimizer) -> None:
    """
    Raises:
        ValueError: what an optimizer was given to remember doesn't fit its parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = [optimizer.state.get(parameter, {}) for parameter in parameters]
    for parameter, values in zip(parameters, kept):
        shapes = {value.shape for value in values.values() if torch.is_tensor(value)}
        if values.keys() != kept[0].keys() or not shapes <= {parameter.shape, torch.Size()}:
            raise ValueError("the optimizer's moments don't fit the policy")
