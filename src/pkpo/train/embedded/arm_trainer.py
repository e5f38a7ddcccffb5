"""Training one arm with one seed: sample, verify, transform, update; measured and resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy
from pkpo.offpolicy import effective_sample_size
from pkpo.plans.plan import Choice, Plateau, plan
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Split, TokenTask
from pkpo.train.arm_log import ArmLog, StepRecord
from pkpo.train.checkpoints import deciding_settings
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.embedded.devices import evaluated_at_a_time
from pkpo.train.embedded.evaluation import Evaluator, draw, prompts_of
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.warm_start import diverging, save_adapters, save_policy
from pkpo.train.json_lines import write_json
from pkpo.train.problems import problems_of_step
from pkpo.train.run_directory import ArmDirectory

_SECONDS_BETWEEN_CHECKPOINTS = 45.0
"""At most, plus a step: what a crash costs where steps are slow. More where a checkpoint takes
long to write: `_TIMES_AS_LONG` times as long as that."""

_TIMES_AS_LONG = 20


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
        policy: the warm start; trained in place.
        directory: the arm's folder; an earlier state in it is continued.
    """

    def __init__(
        self,
        task: TokenTask | TextTask,
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
        self.log = ArmLog(directory, config, arm, self.plan, self.problems.ids)
        self.step = 0
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
            like = self._state()
            checkpoints.check(state, {name: like[name] for name in like if name != "lines"})
            self.learner.masters.load(state["policy"])
            self.learner.optimizer.load_state_dict(state["optimizer"])
            _check_moments(self.learner.optimizer)
            self.log.restore(state, state["solved"].numpy())
            if not 0 <= state["step"] <= self.config.training.steps:
                raise ValueError(f"there is no step {state['step']}")
            self.step = state["step"]
            self.plan.restore(state["plan"])

    def _state(self) -> dict[str, Any]:
        return self.log.state() | {
            "step": self.step,
            "policy": self.learner.masters.weights(),
            "optimizer": self.learner.optimizer.state_dict(),
            "solved": torch.from_numpy(self.log.solved_P),
            "plan": self.plan.state(),
        }

    def run(self, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the last step, then measure the policy on `final_split` and export it.

        Args:
            stop: asked after each step; once true, a checkpoint is written and nothing more done.

        Returns:
            Whether everything was done.

        Raises:
            DivergenceError: the policy is no longer finite; says at which step.
        """
        with diverging(lambda: self.step, "or max_grad_norm may help"):
            with self.log.open(self.step):
                if not self._train(stop):
                    return False
            if self.config.model is not None:
                save_adapters(self.policy, self.directory.adapter, self.config.model.name)
            if self.config.keep_models:
                save_policy(self.policy, self.directory.model, self.task)
            samples = None if self.config.model is None else self.directory.samples
            evaluator = self._evaluator(self.config.evaluation.final_split, samples)
            found = evaluator.full(self.policy, seed=self.seed, step=self.step)
            write_json(self.directory.evaluation, found)
        if self.config.model is not None:
            self.directory.checkpoints.remove()
        return True

    def _evaluator(self, split: Split, samples: Path | None = None) -> Evaluator:
        at_a_time, settings = evaluated_at_a_time(self.config), self.config.evaluation
        return Evaluator(
            self.task, split, settings, self.device, at_a_time=at_a_time, samples=samples
        )

    def _train(self, stop: Callable[[], bool]) -> bool:
        config, steps = self.config, self.config.training.steps
        validation, saved = self._evaluator("validation"), time.monotonic()
        between = _SECONDS_BETWEEN_CHECKPOINTS

        def measure() -> None:
            scores = validation.pass_at_k(self.policy, seed=self.seed, step=self.step)
            self.log.measured(self.step, scores)

        while self.step < steps:
            if self.step % config.evaluation.every == 0:
                measure()
            self.log.step(self.step, self._train_step())
            self.step += 1
            stopping = stop()
            due = self.step % config.checkpoint_every == 0 or self.step == steps
            if stopping or due or time.monotonic() - saved >= between:
                self.log.sync()
                began = time.monotonic()
                self.directory.checkpoints.save(self._state(), self._settings)
                saved = time.monotonic()
                between = max(between, _TIMES_AS_LONG * (saved - began))
            if stopping:
                return False
        measure()
        self.log.sync()
        return True

    def _train_step(self) -> StepRecord:
        training, watch = self.config.training, _Stopwatch()
        chosen_P = problems_of_step(
            self.step, training.prompts_per_step, len(self.problems), self.seed
        )
        names = [self.problems.ids[i] for i in chosen_P]
        choice = self.plan.choose(self.step, names)
        prompts, lengths = prompts_of(self.problems, chosen_P, self.device)
        with watch.part("sample"):
            generator = torch.Generator(self.device)
            generator.manual_seed(seed_of(self.seed, Stream.SAMPLING, self.step))
            n = training.num_generations
            samples = draw(self.task, self.policy, prompts, lengths, n, generator)
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
                eos_id=self.task.vocabulary.eos_id,
                reweigh=reweigh if training.reweighs else None,
            )
        self.plan.observe(self.step, names, rewards_PG)
        measures = {"loss": stats.loss, "grad_norm": stats.grad_norm}
        if stats.log_ratios_PG is not None:
            measures["effective_sample_size"] = mean_effective_sample_size(
                stats.log_ratios_PG, choice, training.truncate
            )
        return StepRecord(
            chosen_P,
            rewards_PG,
            advantages_PG,
            choice,
            entropy=float(samples.entropies_PGS.sum(-1).mean()),
            measures=measures,
            seconds=sum(watch.seconds.values()),
            parts=watch.seconds,
            texts=self._texts(chosen_P, tokens_PGS) if self.log.keeps(self.step) else None,
        )

    def _texts(self, chosen_P: np.ndarray, tokens_PGS: np.ndarray) -> tuple[list[str], list[str]]:
        prompts = [self.task.describe_prompt("train", int(problem)) for problem in chosen_P]
        completions = [self.task.describe_completion(tokens) for g in tokens_PGS for tokens in g]
        return prompts, completions


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
