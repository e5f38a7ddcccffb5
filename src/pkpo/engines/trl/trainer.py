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
from collections.abc import Sequence
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
from pkpo.engines.trl.batches import (
    InternalsChangedError,
    RewardedGroups,
    as_tensor,
    check_repeats,
    check_trl_advantages,
    on_host,
    prompt_numbers,
    total_rewards,
)
from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
from pkpo.engines.trl.loss_check import check_loss
from pkpo.engines.trl.refusals import model_problems
from pkpo.engines.trl.reuse import Reweighing
from pkpo.errors import InvalidInputError, refuse
from pkpo.files import write_atomically
from pkpo.plans.choice_log import ChoiceLog
from pkpo.plans.credit import Credit
from pkpo.plans.plan import Choice

# A mix-in: what it overrides and calls is that of TRL's class, which follows it.
_Trainer = GRPOTrainer if TYPE_CHECKING else object

_PLAN_FILE, _CHOICES_FILE = "pkpo_plan.json", "pkpo_choices.jsonl"
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

    batch: RewardedGroups
    choice: Choice
    advantages_PG: np.ndarray
    seconds: float


class _PlanFiles(TrainerCallback):
    """The main process's files of a plan: its memory in each checkpoint, and the log of its
    choices, from which the lines of this and later steps that an earlier run left are dropped."""

    def __init__(self, trainer: JointAdvantages) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        plan, path = self._trainer.plan, Path(args.output_dir, _CHOICES_FILE)
        if not state.is_world_process_zero or not ChoiceLog.keeps(plan):
            return
        kept = [line for line in _whole_lines(path) if line["step"] < state.global_step]
        text = "".join(map(_line, kept))
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

        def write(row: dict[str, Any]) -> None:
            with path.open("a", encoding="utf-8") as file:
                file.write(_line(row))

        shown = kept[-1].get("reason", "") if kept else ""
        self._trainer._choices = ChoiceLog(plan, write, shown=shown)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
            with open(os.path.join(folder, _PLAN_FILE), "w", encoding="utf-8") as file:
                json.dump(self._trainer.plan.state(), file)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """A killed run may have left half a line at the end."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


class JointAdvantages(_Trainer):
    """What the two trainers below add to TRL's. A mix-in, put before TRL's class."""

    _config_class: type[PKPOConfig] | type[PKPORLOOConfig]
    _leave_one_out: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for hook in _HOOKS:
            if not hasattr(super(), hook):
                raise InternalsChangedError(f"its trainer has no method {hook}")
        # Before the model is loaded.
        given = inspect.signature(super().__init__).bind_partial(*args, **kwargs).arguments
        config: Any = given.get("args")
        self._config_class.check_given(config)
        super().__init__(*args, **kwargs)
        refuse([*model_problems(self, config.accept_bias or ())])
        self.plan = config.plan()
        self._choices: ChoiceLog | None = None
        self._credit = Credit(baseline=config.baseline)
        self._reweighing: Reweighing | None = None
        self._seen: list[Tensor] = []
        self._evaluated: list[RewardedGroups] | None = None
        self._loss_checked = False
        self.add_callback(_PlanFiles(self))

    @property
    def _training(self) -> bool:
        model: Any = self.model
        return model.training

    @property
    def _group_size(self) -> int:
        return cast(int, self.num_generations if self._training else self.num_generations_eval)

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
        began = time.perf_counter()
        groups = self._grouped(output, self._seen.pop(), numbers, start)
        step = self.state.global_step
        choice = self.plan.choose(step, groups.prompts_P)
        advantages_PG = self._replace_advantages(output, groups, choice, start)
        if not self._training:
            if self._evaluated is not None:
                self._evaluated.append(groups)
            return output
        if self._choices is not None:
            self._choices.append(step, groups.prompts_P, choice)
        self._tell_small_groups(groups, choice)
        self.plan.observe(step, groups.prompts_P, groups.rewards_PG, groups.counted_PG)
        if cast(Any, self.args).reuse == "exact":
            self._reweighing = Reweighing(self, output, groups, choice, start)
        self.on_generation(Generation(groups, choice, advantages_PG, time.perf_counter() - began))
        return output

    def on_generation(self, generation: Generation) -> None:
        """Called in every process when a training batch has its advantages. Does nothing here."""

    def _grouped(
        self, output: dict[str, Any], rewards_NF: Tensor, numbers: Sequence[int], start: int
    ) -> RewardedGroups:
        """The whole batch's rewards, from this process's `output`; its rows are checked."""
        gather: Any = self.accelerator.gather
        own_B, n = output["advantages"], self._group_size
        rewards_N = total_rewards(rewards_NF, self.reward_weights)
        check_trl_advantages(own_B, rewards_N, n, start, leave_one_out=self._leave_one_out)
        if len(own_B) != len(numbers):
            raise InternalsChangedError(f"{len(numbers)} rows became {len(own_B)} completions")
        counted_N = np.ones(len(rewards_N), dtype=bool)
        if self.mask_truncated_completions:
            counted_N = on_host(gather(output["completion_mask"].any(dim=1)))
        prompts_N = gather(torch.tensor(numbers, device=self.accelerator.device)).tolist()
        return RewardedGroups.of(rewards_N, counted_N, prompts_N, n)

    def _replace_advantages(
        self, output: dict[str, Any], groups: RewardedGroups, choice: Choice, start: int
    ) -> np.ndarray:
        """Put the objective's advantages into the batch and the log; returns those of all."""
        everything = bool(groups.counted_PG.all())
        advantages_PG = self._credit(
            groups.rewards_PG,
            choice,
            mask_PG=None if everything else groups.counted_PG,
            small_groups="raise" if everything and self._training else "zero",
        )
        # TRL's loss averages over all completions, counted or not.
        advantages_PG = advantages_PG * groups.rewards_PG.shape[1]
        advantages_N = advantages_PG.reshape(-1)
        own_B = output["advantages"]
        output["advantages"] = as_tensor(advantages_N[start : start + len(own_B)], like=own_B)
        # What TRL logged as its own.
        logged = self._logs["advantages"]
        if len(logged) < min(len(own_B), logged.maxlen or len(own_B)):
            raise InternalsChangedError("the log of completions has no advantages of this batch")
        shown = advantages_N[-logged.maxlen :] if logged.maxlen else advantages_N
        for _ in shown:
            logged.pop()
        logged.extend(shown.tolist())
        values = {
            **{f"max@{k}": value for k, value in _best_of_k(groups).items()},
            "signal_fraction": float((advantages_PG != 0).any(axis=1).mean()),
            "counted_fraction": float(groups.counted_PG.mean()),
            "advantage_std": float(advantages_N.std()),
        }
        if len(choice.objectives) > 1 or len(choice.reasons) > 1:
            ks = np.array([objective.k for objective in choice.objectives])
            values["mean_k"] = float(ks[choice.index_P].mean())
        metrics = self._metrics["train" if self._training else "eval"]
        for name, value in values.items():
            metrics[f"pkpo/{name}"].append(value)
        return advantages_PG

    def _tell_small_groups(self, groups: RewardedGroups, choice: Choice) -> None:
        """Log the share of groups with too few counted completions; warn if that is all."""
        baseline = self._credit.baseline
        needed = [required_size(objective, baseline) for objective in choice.objectives]
        small_P = groups.counted_PG.sum(axis=1) < np.array(needed)[choice.index_P]
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
        if self._evaluated is not None:  # one of several sets of an evaluation
            return super().evaluate(*args, **kwargs)
        evaluated = self._evaluated = []
        try:
            metrics = super().evaluate(*args, **kwargs)
        finally:
            self._evaluated = None
        if evaluated:
            found = [_best_of_k(groups) for groups in evaluated]
            sizes = [len(groups.rewards_PG) for groups in evaluated]
            means = {k: np.average([one[k] for one in found], weights=sizes) for k in found[0]}
            values = {k: float(mean) for k, mean in means.items()}
            self.plan.observe_validation(self.state.global_step, values)
        return metrics

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        inputs = super()._prepare_inputs(generation_batch)
        if self._reweighing is not None and self._training:
            self._reweighing.update()
        return inputs

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._loss_checked and self._training:
            self._loss_checked = True
            check_loss(self, super().compute_loss, model, inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)


def _best_of_k(groups: RewardedGroups) -> dict[int, float]:
    """Unbiased max@k by k = 1, 2, 4, ... and n, averaged over the groups with enough counted
    completions; NaN where there are none."""
    n = groups.rewards_PG.shape[1]
    found = {}
    for k in sorted({2**power for power in range(n.bit_length())} | {n}):
        values_P = estimate(groups.rewards_PG, k, mask=groups.counted_PG, small_groups="nan")
        found[k] = float(np.nanmean(values_P)) if (~np.isnan(values_P)).any() else np.nan
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
