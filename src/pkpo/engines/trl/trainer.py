"""TRL's trainers with the advantages of an objective.

Both trainers compute rewards in `_calculate_rewards`, gathered over the processes, and
advantages in `_generate_and_score_completions`. The first is listened to, and of the second's
output the advantages are replaced.
"""

from __future__ import annotations

import inspect
import json
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOTrainer, RLOOTrainer

from pkpo.core.transforms import estimate
from pkpo.core.weights import required_size
from pkpo.engines.trl.choice_file import ChoiceFile
from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
from pkpo.engines.trl.identity import check_repeats, prompt_numbers
from pkpo.engines.trl.loss_check import check_loss
from pkpo.engines.trl.reuse import Reweighing
from pkpo.engines.trl.rewards import (
    Batch,
    InternalsChangedError,
    as_tensor,
    check_trl_advantages,
    group,
    on_host,
    total_rewards,
)
from pkpo.engines.trl.sampling import model_problems
from pkpo.engines.trl.settings import refuse
from pkpo.errors import InvalidInputError
from pkpo.plans.credit import Credit
from pkpo.plans.plan import Choice

# A mix-in: what it overrides and calls is that of TRL's class, which follows it.
_Trainer = GRPOTrainer if TYPE_CHECKING else object

_PLAN_FILE = "pkpo_plan.json"
_HOOKS = (
    "_calculate_rewards",
    "_generate_and_score_completions",
    "_prepare_inputs",
    "_get_per_token_logps_and_entropies",
)


class Generation(NamedTuple):
    """A generation batch of all processes with its advantages.

    Args:
        batch: rewards, which completions count, and prompts.
        choice: the objective of each prompt.
        advantages_PG: float64, n times the advantages of `pkpo.advantages`.
        seconds: that advantages and checks took, gathering included.
    """

    batch: Batch
    choice: Choice
    advantages_PG: np.ndarray
    seconds: float


class _SavesPlan(TrainerCallback):
    """Puts the plan's history into each checkpoint."""

    def __init__(self, trainer: JointAdvantages) -> None:
        self._trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
            with open(os.path.join(folder, _PLAN_FILE), "w", encoding="utf-8") as file:
                json.dump(self._trainer.plan.state(), file)


class JointAdvantages(_Trainer):
    """What the two trainers below add to TRL's. A mix-in, put before TRL's class."""

    _config_class: type
    _leave_one_out: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for hook in _HOOKS:
            if not hasattr(super(), hook):
                raise InternalsChangedError(f"its trainer has no method {hook}")
        # Before the model is loaded.
        given = inspect.signature(super().__init__).bind_partial(*args, **kwargs).arguments
        config: Any = given.get("args")
        if not isinstance(config, self._config_class):
            raise InvalidInputError(
                f"args must be a {self._config_class.__name__}, got {type(config).__name__}"
            )
        config.check()
        super().__init__(*args, **kwargs)
        refuse(model_problems(self, config.accept_bias or ()))
        self.plan = config.plan()
        self._choices = ChoiceFile(Path(config.output_dir) / "pkpo_choices.jsonl", self.plan)
        self._credit = Credit(baseline=config.baseline)
        self._reweighing = Reweighing(self) if config.reuse == "exact" else None
        self._seen: list[Tensor] = []
        self._evaluated: list[Batch] = []
        self._evaluating = False
        self._loss_checked = False
        self.add_callback(_SavesPlan(self))

    @property
    def _mode(self) -> str:
        model: Any = self.model
        return "train" if model.training else "eval"

    @property
    def _group_size(self) -> int:
        return cast(
            int, self.num_generations if self._mode == "train" else self.num_generations_eval
        )

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        folder = resume_from_checkpoint
        if folder is True:
            folder = get_last_checkpoint(self.args.output_dir)
        if folder:
            self._restore_plan(os.path.join(str(folder), _PLAN_FILE))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _restore_plan(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as file:
                self.plan.restore(json.load(file))
        except FileNotFoundError:
            if self.plan.state():
                raise InvalidInputError(
                    f"can't continue: {path} is missing, which holds what {self.plan} has seen so "
                    "far; was the checkpoint written by another trainer?"
                ) from None

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        rewards_NF = super()._calculate_rewards(*args, **kwargs)
        self._seen.append(rewards_NF)
        return rewards_NF

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        numbers = prompt_numbers(inputs)
        start = self.accelerator.process_index * len(inputs)
        check_repeats(inputs, numbers, self._group_size, start)
        self._seen.clear()
        output = super()._generate_and_score_completions(inputs)
        if len(self._seen) != 1 or not isinstance(output, dict) or "advantages" not in output:
            raise InternalsChangedError(
                f"rewards were computed {len(self._seen)} times for a batch, and the batch has "
                f"the entries {sorted(output) if isinstance(output, dict) else type(output)}"
            )
        numbers_B = torch.tensor(numbers, device=self.accelerator.device)
        self._replace_advantages(output, self._seen.pop(), numbers_B)
        return output

    def _replace_advantages(
        self, output: dict[str, Any], rewards_NF: Tensor, prompts_B: Tensor
    ) -> None:
        began = time.perf_counter()
        training = self._mode == "train"
        n = self._group_size
        own_B: Tensor = output["advantages"]
        start = self.accelerator.process_index * len(prompts_B)
        rewards_N = total_rewards(rewards_NF, self.reward_weights)
        check_trl_advantages(own_B, rewards_N, n, start, leave_one_out=self._leave_one_out)
        if len(own_B) != len(prompts_B):
            raise InternalsChangedError(f"{len(prompts_B)} rows became {len(own_B)} completions")
        counted_N = self._gathered_counts(output, len(rewards_N))
        batch = group(rewards_N, counted_N, self._gathered(prompts_B).tolist(), n)
        step = self.state.global_step
        choice = self.plan.choose(step, batch.prompts_P)
        if training and self.accelerator.is_main_process:
            self._choices.append(step, batch.prompts_P, choice)
        everything = bool(batch.counted_PG.all())
        advantages_N = self._credit(
            batch.rewards_PG,
            choice,
            mask_PG=None if everything else batch.counted_PG,
            small_groups="raise" if everything and training else "zero",
        ).reshape(-1)
        # TRL's loss averages over all completions, counted or not.
        advantages_N = advantages_N * n
        output["advantages"] = as_tensor(advantages_N[start : start + len(own_B)], like=own_B)
        self._correct_log(own_B, advantages_N)
        self._log_batch(batch, choice, advantages_N)
        if not training:
            self._evaluated.append(batch)
            return
        self._tell_small_groups(batch, choice)
        self.plan.observe(step, batch.prompts_P, batch.rewards_PG, batch.counted_PG)
        if self._reweighing is not None:
            self._reweighing.begin(output, batch, choice, start)
        advantages_PG = advantages_N.reshape(batch.rewards_PG.shape)
        self.on_generation(Generation(batch, choice, advantages_PG, time.perf_counter() - began))

    def on_generation(self, generation: Generation) -> None:
        """Called in every process when a training batch has its advantages. Does nothing here."""

    def _gathered(self, values: Tensor) -> Tensor:
        return cast(Tensor, self.accelerator.gather(values))

    def _gathered_counts(self, output: Mapping[str, Any], size: int) -> np.ndarray:
        """Which completions mask_truncated_completions leaves in the loss."""
        if not self.mask_truncated_completions:
            return np.ones(size, dtype=bool)
        return on_host(self._gathered(output["completion_mask"].any(dim=1)))

    def _correct_log(self, own_B: Tensor, advantages_N: np.ndarray) -> None:
        """Put the advantages that are trained on where TRL logged its own."""
        logged = self._logs["advantages"]
        if len(logged) < min(len(own_B), logged.maxlen or len(own_B)):
            raise InternalsChangedError("the log of completions has no advantages of this batch")
        shown = advantages_N[-logged.maxlen :] if logged.maxlen else advantages_N
        for _ in range(len(shown)):
            logged.pop()
        logged.extend(shown.tolist())

    def _log_batch(self, batch: Batch, choice: Choice, advantages_N: np.ndarray) -> None:
        advantages_PG = advantages_N.reshape(batch.rewards_PG.shape)
        values = {
            **best_of_k(batch),
            "signal_fraction": float((advantages_PG != 0).any(axis=1).mean()),
            "counted_fraction": float(batch.counted_PG.mean()),
            "advantage_std": float(advantages_N.std()),
        }
        if len(choice.objectives) > 1 or len(choice.reasons) > 1:
            ks = np.array([objective.k for objective in choice.objectives])
            values["mean_k"] = float(ks[choice.index_P].mean())
        metrics = self._metrics[self._mode]
        for name, value in values.items():
            metrics[f"pkpo/{name}"].append(value)

    def _tell_small_groups(self, batch: Batch, choice: Choice) -> None:
        """Log the share of groups with too few counted completions; warn if that is all."""
        baseline = self._credit.baseline
        needed = [required_size(objective, baseline) for objective in choice.objectives]
        small_P = batch.counted_PG.sum(axis=1) < np.array(needed)[choice.index_P]
        self._metrics["train"]["pkpo/small_group_fraction"].append(float(small_P.mean()))
        if small_P.all() and self.accelerator.is_main_process:
            warnings.warn(
                f"step {self.state.global_step} trains on nothing: of the {small_P.size} groups of "
                f"its generation batch none has the {min(needed)} counted completions that "
                f"{' or '.join(map(str, choice.objectives))} needs with baseline {baseline!r}; the "
                "rewards of the others are None, or they are truncated and left out",
                stacklevel=2,
            )

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        if self._evaluating:  # one of several sets of an evaluation
            return super().evaluate(*args, **kwargs)
        self._evaluated.clear()
        self._evaluating = True
        try:
            metrics = super().evaluate(*args, **kwargs)
        finally:
            self._evaluating = False
        if self._evaluated:
            found = [best_of_k(batch) for batch in self._evaluated]
            sizes = [len(batch.rewards_PG) for batch in self._evaluated]
            values = {
                int(name.removeprefix("max@")): float(
                    np.average([one[name] for one in found], weights=sizes)
                )
                for name in found[0]
            }
            self.plan.observe_validation(self.state.global_step, values)
        self._evaluated.clear()
        return metrics

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        inputs = super()._prepare_inputs(generation_batch)
        if self._reweighing is None or self._mode != "train":
            return inputs
        return self._reweighing.current(inputs)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._loss_checked and self._mode == "train":
            self._loss_checked = True
            check_loss(self, super().compute_loss, model, inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)


def best_of_k(batch: Batch) -> dict[str, float]:
    """Unbiased max@k by name for k = 1, 2, 4, ... and n, averaged over the groups with
    enough counted completions; NaN where there are none."""
    n = batch.rewards_PG.shape[1]
    ks = sorted({2**power for power in range(n.bit_length()) if 2**power <= n} | {n})
    found = {}
    for k in ks:
        values_P = estimate(batch.rewards_PG, k, mask=batch.counted_PG, small_groups="nan")
        found[f"max@{k}"] = float(np.nanmean(values_P)) if (~np.isnan(values_P)).any() else np.nan
    return found


class PKPOTrainer(JointAdvantages, GRPOTrainer):
    """`trl.GRPOTrainer` for an objective such as pass@8. Everything else is that class's.

    Exact with groups split over processes, gradient accumulation, steps_per_generation,
    several weighted reward functions, rewards of None (the others of the group are
    transformed, these get 0), mask_truncated_completions, and evaluation with fewer
    completions than k. The log has pkpo/max@k for k = 1, 2, 4, ..., n (unbiased; pass@k for
    rewards 0 and 1), pkpo/signal_fraction (groups with a nonzero advantage),
    pkpo/counted_fraction, pkpo/small_group_fraction and pkpo/advantage_std.

    Args:
        args: a `PKPOConfig`, required.
        Others: as in `trl.GRPOTrainer`.

    Raises:
        InternalsChangedError: TRL computes rewards, advantages or the loss in another way
            than this class knows.
        InvalidInputError: other `args`.
    """

    _config_class = PKPOConfig
    _leave_one_out = False


class PKPORLOOTrainer(JointAdvantages, RLOOTrainer):
    """`trl.RLOOTrainer` for an objective; see `PKPOTrainer`. `args` is a `PKPORLOOConfig`."""

    _config_class = PKPORLOOConfig
    _leave_one_out = True
