"""verl's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from torch import Tensor
from verl import DataProto
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
from verl.utils.tensordict_utils import assign_non_tensor
from verl.workers.config import FSDPActorConfig, PolicyLossConfig
from verl.workers.utils.losses import ppo_loss

from pkpo.engines.audit import Batch, Path


def paths(objective: str) -> dict[str, Path]:
    """The losses that the estimator `pkpo` allows, by name."""
    modes = ("seq-mean-token-sum", "seq-mean-token-sum-norm", "token-sum")
    return {mode: path(objective, loss_agg_mode=mode) for mode in modes}


def path(
    objective: str,
    *,
    estimator: str = "pkpo",
    loss_agg_mode: str = "seq-mean-token-sum",
    loss_mode: str = "vanilla",
    divided_by_std: bool = True,
    **settings: Any,
) -> Path:
    """The V1 trainer's advantages and loss, with the gradient that autograd takes of it.

    Args:
        objective: of the estimator `pkpo`.
        estimator: `algorithm.adv_estimator`.
        loss_agg_mode, loss_mode: of the actor.
        divided_by_std: `algorithm.norm_adv_by_std_in_grpo`.
        settings: of `algorithm.pkpo`.
    """

    def run(batch: Batch) -> np.ndarray:
        n = int(np.bincount(batch.group_ids_B).min())
        config = OmegaConf.create(
            {
                "algorithm": {"pkpo": {"objective": objective, **settings}},
                "actor_rollout_ref": {
                    "actor": {"loss_agg_mode": loss_agg_mode, "loss_scale_factor": 10},
                    "rollout": {"n": n},
                },
            }
        )
        mask_BT = torch.as_tensor(batch.mask_BT).long()
        rewards_BT = torch.zeros(batch.mask_BT.shape)
        rewards_BT[:, 0] = torch.as_tensor(batch.rewards_B)
        uids_B = np.array([f"prompt {group}" for group in batch.group_ids_B], dtype=object)
        data = DataProto.from_dict(
            {"token_level_rewards": rewards_BT, "response_mask": mask_BT}, {"uid": uids_B}
        )
        advantages_BT = compute_advantage_for_multi_trajectories(
            data,
            [f"{uid}_{row}_0" for row, uid in enumerate(uids_B)],
            estimator,
            norm_adv_by_std_in_grpo=divided_by_std,
            config=config.algorithm,
        ).batch["advantages"]
        actor = FSDPActorConfig(
            ppo_micro_batch_size_per_gpu=1,
            rollout_n=n,
            loss_agg_mode=loss_agg_mode,
            loss_scale_factor=10,
            policy_loss=PolicyLossConfig(loss_mode=loss_mode, dro_beta=1.0),
            use_rollout_log_probs=True,  # rLLM's default, which verl doesn't read
        )
        logps_BT = torch.tensor(batch.logps_BT, requires_grad=True)
        loss, _ = ppo_loss(actor, *_as_engine_gives(logps_BT, mask_BT.bool(), advantages_BT, 2 * n))
        loss.backward()
        assert logps_BT.grad is not None
        return -logps_BT.grad.numpy()

    return run


def _as_engine_gives(
    logps_BT: Tensor, mask_BT: Tensor, advantages_BT: Tensor, global_batch_size: int
) -> tuple[dict[str, Tensor], TensorDict]:
    """The model's output and the batch, as verl's FSDP engine hands them to the loss: nested,
    without padding, log-probabilities one place to the left of their tokens."""
    lengths = mask_BT.sum(dim=1).tolist()

    def nested(values_BT: Tensor) -> Tensor:
        rows = [row[:length] for row, length in zip(values_BT, lengths)]
        return torch.nested.as_nested_tensor(rows, layout=torch.jagged)

    data = TensorDict(
        {
            "prompts": nested(torch.zeros_like(mask_BT[:, :1]).long()),
            "responses": nested(mask_BT.long()),
            "response_mask": nested(mask_BT),
            "old_log_probs": nested(logps_BT.detach()),
            "rollout_log_probs": nested(logps_BT.detach() - 1.0),
            "advantages": nested(advantages_BT),
        },
        batch_size=len(lengths),
    )
    assign_non_tensor(
        data,
        dp_size=1,
        batch_num_tokens=int(mask_BT.sum()),
        global_batch_size=global_batch_size,
    )
    filler = logps_BT.new_zeros(1)
    flat = [part for row, k in zip(logps_BT, lengths) for part in (row[:k], filler)]
    return {"log_probs": torch.cat(flat)}, data
