"""torchtitan's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torchtitan.experiments.rl.components.batcher import BatchConfig, Batcher
from torchtitan.experiments.rl.components.training_sample_builder import TrainingSampleBuilder
from torchtitan.experiments.rl.rollout.types import (
    Rollout,
    RolloutGroup,
    RolloutStatus,
    RolloutTurn,
)
from torchtitan.experiments.rl.types import RolloutTurnID

from pkpo.engines.audit import Batch, Path
from pkpo.engines.torchtitan.training import ObjectiveAdvantages, PromptMeanLoss


def paths(objective: str) -> dict[str, Path]:
    """With the default baseline."""
    estimator = ObjectiveAdvantages.Config(objective=objective).build()
    return {"PromptMeanLoss": path(estimator, PromptMeanLoss.Config(num_prompts=2).build())}


def path(estimator: Any, loss: Any) -> Path:
    """Rollouts through an advantage estimator, torchtitan's samples and its batches for two ranks
    to a loss, with the gradient that autograd takes of it.

    Args:
        estimator: an `AdvantageEstimator`.
        loss: of two prompts.
    """
    builder = TrainingSampleBuilder.Config(drop_zero_std_reward_groups=False).build()

    def run(batch: Batch) -> np.ndarray:
        size, width = batch.mask_BT.shape
        tokens_BT = 1 + np.arange(size * width).reshape(size, width)
        vocabulary = 1 + size * width
        batcher = Batcher.Config(batch=BatchConfig(local_batch_size=2, seq_len=2 * width)).build(
            num_prompts_per_train_step=int(batch.group_ids_B[-1]) + 1, dp_degree=2, pad_id=0
        )
        packed = None
        for group_id in np.unique(batch.group_ids_B).tolist():
            rows = np.flatnonzero(batch.group_ids_B == group_id)
            drawn = [tokens_BT[row, batch.mask_BT[row]].tolist() for row in rows]
            group = RolloutGroup(
                group_id=group_id,
                rollouts=[
                    _rollout(group_id, place, tokens, float(batch.rewards_B[row]), vocabulary)
                    for place, (row, tokens) in enumerate(zip(rows, drawn))
                ],
            )
            for rollout, advantage in zip(group.rollouts, estimator(group), strict=True):
                rollout.advantage = advantage
            samples = builder.build_from_group(rollout_group=group)
            packed = batcher.add_training_samples(training_sample_group=samples)
        assert packed is not None
        weights = np.zeros(vocabulary)
        for part in (part for ranks in packed.microbatches for part in ranks):
            logits = torch.zeros(*part.labels.shape, vocabulary, requires_grad=True)
            value, _ = loss(
                logits,
                part.labels,
                packed.num_global_valid_tokens,
                generator_logprobs=part.generator_logprobs,
                advantages=part.advantages,
                loss_mask=part.loss_mask,
            )
            value.backward()
            assert logits.grad is not None
            # The gradient by a token's own logit is that by its log-probability times 1 - p.
            own = logits.grad.gather(-1, part.labels[..., None]) / (1 - 1 / vocabulary)
            np.add.at(weights, part.labels.flatten(), -own.flatten().numpy())
        return weights[tokens_BT]

    return run


def _rollout(group_id: int, place: int, tokens: list[int], reward: float, size: int) -> Rollout:
    """Of one turn, drawn uniformly from as many tokens as `size` says."""
    turn = RolloutTurn(
        rollout_id=RolloutTurnID(group_id=group_id, rollout_id=place, turn_id=0),
        prompt_token_ids=[0],
        completion_token_ids=tokens,
        completion_logprobs=[-math.log(size)] * len(tokens),
        min_policy_version=0,
        max_policy_version=0,
    )
    return Rollout(
        group_id=group_id,
        rollout_id=place,
        turns=[turn],
        status=RolloutStatus.COMPLETED,
        reward=reward,
    )
