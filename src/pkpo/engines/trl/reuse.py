"""Exact advantages for samples of an earlier policy.

With num_iterations > 1, or steps_per_generation > gradient_accumulation_steps, a generation
batch serves several optimizer steps. Before each of them but the first, the log-probability
of every completion of the batch under the current policy is computed, gathered over the
processes, and the advantages of whole groups are taken by `pkpo.offpolicy`. They hold the
importance weights already, so the loss is left without a ratio of its own. What vLLM drew is
weighted before the first step too, from vLLM's own log-probabilities.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.trl.batches import (
    InternalsChangedError,
    RewardedGroups,
    as_tensor,
    loss_mask,
    on_host,
)
from pkpo.errors import InvalidInputError
from pkpo.offpolicy import effective_sample_size
from pkpo.plans.plan import Choice

# Columns of a buffered batch: a completion's row in the generation batch, and its
# log-probability under the policy that drew it and, where that is known, the current one.
_ROW, _BEHAVIOUR, _CURRENT = "pkpo_row", "pkpo_behaviour_logps", "pkpo_current_logps"
_GIVEN = {"self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"}


class Reweighing:
    """Weights the groups of one generation batch again, for the policy at each step.
    `output` is this process's part of it, from row `start` on."""

    def __init__(
        self,
        trainer: Any,
        output: dict[str, Any],
        groups: RewardedGroups,
        choice: Choice,
        start: int,
    ) -> None:
        missing = int((~groups.counted_PG).sum())
        if missing:
            raise InvalidInputError(
                "reuse='exact' needs a reward for every completion; "
                f"{missing} of {groups.counted_PG.size} have none"
            )
        self._trainer, self._groups, self._choice = trainer, groups, choice
        self._weighed_at = trainer.state.global_step
        advantages = output["advantages"]
        output[_ROW] = torch.arange(start, start + len(advantages), device=advantages.device)
        own = output.get("old_logps")
        if output.get("old_per_token_logps") is not None:
            own = (output["old_per_token_logps"] * loss_mask(output)).sum(dim=1)
            output["old_per_token_logps"] = None
        if own is not None:
            output[_BEHAVIOUR] = own
        if output.get("sampling_per_token_logps") is not None:  # of vLLM, which drew them
            if own is not None:
                output[_CURRENT] = own
            output[_BEHAVIOUR] = (output["sampling_per_token_logps"] * loss_mask(output)).sum(dim=1)
            if "importance_sampling_ratio" in output:
                ratio = output["importance_sampling_ratio"]
                output["importance_sampling_ratio"] = torch.ones_like(ratio)
            self._weighed_at = -1

    def update(self) -> None:
        """See to it that the buffered advantages are those of the current policy."""
        trainer, batches = self._trainer, self._trainer._buffered_inputs
        if trainer.state.global_step == self._weighed_at:
            return
        self._weighed_at = trainer.state.global_step
        if any(part.get(_BEHAVIOUR) is None for part in batches):
            raise InternalsChangedError("reused batches have no log-probabilities of their sampler")
        for part in batches:
            if _CURRENT not in part:
                part[_CURRENT] = self._logps(part)
        rows_N = torch.cat([part[_ROW] for part in batches])
        log_ratios_N = torch.cat([(part[_CURRENT] - part[_BEHAVIOUR]).double() for part in batches])
        rows_N, log_ratios_N = map(on_host, trainer.accelerator.gather((rows_N, log_ratios_N)))
        rewards_PG = self._groups.rewards_PG
        if not np.array_equal(np.sort(rows_N), np.arange(rewards_PG.size)):
            raise InternalsChangedError("the buffered batches aren't the generation batch")
        log_ratios_PG = log_ratios_N[np.argsort(rows_N)].reshape(rewards_PG.shape)
        advantages_N = trainer._credit(
            rewards_PG,
            self._choice,
            log_ratios_PG=log_ratios_PG,
            reduction="mean",
            truncate=trainer.args.reuse_truncate,
        ).reshape(-1)
        for part in batches:
            part["advantages"] = as_tensor(advantages_N[on_host(part[_ROW])], part["advantages"])
            if "old_logps" in part:
                part["old_logps"] = part[_CURRENT]
            del part[_CURRENT]
        k = max(objective.k for objective in self._choice.objectives)
        metrics, sizes = trainer._metrics["train"], effective_sample_size(log_ratios_PG, k)
        metrics["pkpo/effective_sample_size"].append(float(np.mean(sizes)))
        metrics["pkpo/log_ratio_std"].append(float(log_ratios_PG.std()))

    @torch.no_grad()
    def _logps(self, part: dict[str, Any]) -> Tensor:
        """Log-probabilities (B,) of whole completions under the current policy."""
        trainer = self._trainer
        function = trainer._get_per_token_logps_and_entropies
        known = set(inspect.signature(function).parameters) - _GIVEN
        found = function(
            trainer.model,
            torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1),
            torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1),
            part["completion_ids"].size(1),
            batch_size=trainer.args.per_device_train_batch_size,
            **{name: part[name] for name in known if part.get(name) is not None},
        )
        return (found[0] * loss_mask(part)).sum(dim=1)
