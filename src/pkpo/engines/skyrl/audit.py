"""SkyRL's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from loguru import logger
from skyrl.backends.skyrl_train.training_batch import TrainingInputBatch
from skyrl.backends.skyrl_train.utils.ppo_utils import PolicyLossRegistry
from skyrl.train.config import SkyRLTrainConfig
from skyrl.train.trainer import RayPPOTrainer

from pkpo.engines.audit import Batch, Path
from pkpo.engines.skyrl.estimator import register

GROUPS_OF_ONE_SIZE = True

_EXACT = {
    "trainer.algorithm.advantage_estimator": "pkpo",
    "trainer.algorithm.loss_reduction": "seq_mean_token_sum_norm",
    "trainer.algorithm.max_seq_len": 10,
}


def paths(objective: str) -> dict[str, Path]:
    """The losses that `register` allows, with a max_seq_len of 10."""
    losses = ("regular", "dual_clip", "gspo", "cispo", "sapo", "kl_cov", "importance_sampling")
    return {
        name: path(objective, settings={"trainer.algorithm.policy_loss_type": name})
        for name in losses
    }


def path(objective: str | None, *, settings: Any = None, **options: Any) -> Path:
    """The trainer's advantages, its reduction and its loss, with the gradient that autograd takes
    of it.

    Args:
        objective: what is registered; None for one of SkyRL's own estimators.
        settings: of SkyRL, by place.
        options: of `register`.
    """
    config = SkyRLTrainConfig.from_cli_overrides(_EXACT | (settings or {}))

    def run(batch: Batch) -> np.ndarray:
        logger.disable("skyrl")  # it says several lines a batch
        size = len(batch.rewards_B)
        config.generator.n_samples_per_prompt = size // 2
        if objective is not None:
            register(objective, config, **options)
        mask_BT = torch.as_tensor(batch.mask_BT).long()
        rewards_BT = torch.zeros(batch.mask_BT.shape)
        rewards_BT[:, 0] = torch.as_tensor(batch.rewards_B)
        data = TrainingInputBatch(
            {"rewards": rewards_BT, "response_mask": mask_BT, "loss_mask": mask_BT, "values": None}
        )
        uids = [f"prompt {group}" for group in batch.group_ids_B]
        data.metadata = {"uids": uids, "avg_response_length": 2.0}
        trainer: Any = object.__new__(RayPPOTrainer)
        trainer.cfg, trainer.global_step, trainer.all_metrics = config, 1, {}
        data = trainer.compute_advantages_and_returns(data)
        data = trainer._normalize_advantages(data, [(0, size)], [(0, size // 2), (size // 2, size)])
        logps_BT = torch.tensor(batch.logps_BT, dtype=torch.float32, requires_grad=True)
        algorithm = config.trainer.algorithm
        loss, _ = PolicyLossRegistry.get(algorithm.policy_loss_type)(
            logps_BT,
            logps_BT.detach(),
            data["advantages"],
            config=algorithm,
            loss_mask=mask_BT,
            rollout_logprobs=logps_BT.detach(),
        )
        logger.enable("skyrl")
        loss.backward()
        assert logps_BT.grad is not None
        return -logps_BT.grad.numpy()

    return run
