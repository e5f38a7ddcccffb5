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

from pkpo.engines.trl.rewards import (
    Batch,
    InternalsChangedError,
    as_tensor,
    loss_mask,
    on_host,
)
from pkpo.errors import InvalidInputError
from pkpo.offpolicy import effective_sample_size
from pkpo.plans.plan import Choice

ROW = "pkpo_row"
BEHAVIOUR = "pkpo_behaviour_logps"
CURRENT = "pkpo_current_logps"
_GIVEN = {"self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"}


class Reweighing:
    """Keeps what the current generation batch's groups need to be weighted again.

    Args:
        trainer: whose buffered batches are changed in place.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._batch: Batch | None = None
        self._choice: Choice | None = None
        self._weighed_at = -1

    def begin(self, output: dict[str, Any], batch: Batch, choice: Choice, start: int) -> None:
        """A new generation batch: `output` is this process's part, from row `start` on."""
        if not batch.counted_PG.all():
            raise InvalidInputError(
                "reuse='exact' needs a reward for every completion; "
                f"{int((~batch.counted_PG).sum())} of {batch.counted_PG.size} have none"
            )
        self._batch, self._choice = batch, choice
        self._weighed_at = self._trainer.state.global_step
        advantages = output["advantages"]
        output[ROW] = torch.arange(start, start + len(advantages), device=advantages.device)
        own = output.get("old_logps")
        if output.get("old_per_token_logps") is not None:
            own = (output["old_per_token_logps"] * loss_mask(output)).sum(dim=1)
            output["old_per_token_logps"] = None
        if own is not None:
            output[BEHAVIOUR] = own
        if output.get("sampling_per_token_logps") is not None:  # of vLLM, which drew them
            if own is not None:
                output[CURRENT] = own
            output[BEHAVIOUR] = (output["sampling_per_token_logps"] * loss_mask(output)).sum(dim=1)
            if "importance_sampling_ratio" in output:
                ratio = output["importance_sampling_ratio"]
                output["importance_sampling_ratio"] = torch.ones_like(ratio)
            self._weighed_at = -1

    def current(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`inputs`, whose advantages are those of the current policy."""
        if self._trainer.state.global_step != self._weighed_at:
            self._weigh()
        return inputs

    def _weigh(self) -> None:
        trainer, batches = self._trainer, self._trainer._buffered_inputs
        assert self._batch is not None
        assert self._choice is not None
        self._weighed_at = trainer.state.global_step
        if any(part.get(BEHAVIOUR) is None for part in batches):
            raise InternalsChangedError("reused batches have no log-probabilities of their sampler")
        for part in batches:
            if CURRENT not in part:
                part[CURRENT] = self._logps(part)
        gather = trainer.accelerator.gather
        rows_N, log_ratios_N = (
            on_host(gather(values))
            for values in (
                torch.cat([part[ROW] for part in batches]),
                torch.cat([(part[CURRENT] - part[BEHAVIOUR]).double() for part in batches]),
            )
        )
        shape = self._batch.rewards_PG.shape
        if not np.array_equal(np.sort(rows_N), np.arange(self._batch.rewards_PG.size)):
            raise InternalsChangedError("the buffered batches aren't the generation batch")
        log_ratios = np.empty(len(rows_N))
        log_ratios[rows_N] = log_ratios_N
        log_ratios_PG = log_ratios.reshape(shape)
        advantages_N = trainer._credit(
            self._batch.rewards_PG,
            self._choice,
            log_ratios_PG=log_ratios_PG,
            reduction="mean",
            truncate=trainer.args.reuse_truncate,
        ).reshape(-1)
        for part in batches:
            part["advantages"] = as_tensor(advantages_N[on_host(part[ROW])], part["advantages"])
            if "old_logps" in part:
                part["old_logps"] = part[CURRENT]
            del part[CURRENT]
        self._log(log_ratios_PG)

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

    def _log(self, log_ratios_PG: np.ndarray) -> None:
        assert self._choice is not None
        k = max(objective.k for objective in self._choice.objectives)
        metrics = self._trainer._metrics["train"]
        sizes = effective_sample_size(log_ratios_PG, k)
        metrics["pkpo/effective_sample_size"].append(float(np.mean(sizes)))
        metrics["pkpo/log_ratio_std"].append(float(log_ratios_PG.std()))
