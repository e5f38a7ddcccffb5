"""The advantage step of verl's real trainer, with its transfer queue on Ray.

What comes before it, a rollout server, and after it, FSDP, verl has for accelerators alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import verl.trainer
from omegaconf import OmegaConf

import oracles
from pkpo.errors import InvalidInputError

from .test_estimator import GROUPS, MASK, expected, rows


@pytest.fixture(scope="module")
def queue() -> Iterator[Any]:
    import ray
    import transfer_queue as tq

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    units = {"storage_backend": "SimpleStorage", "SimpleStorage": {"num_data_storage_units": 1}}
    tq.init(OmegaConf.create({"backend": units}))
    yield tq
    tq.close()
    ray.shutdown()


@pytest.fixture
def whole_config() -> Any:
    """verl's own, with the lines that docs/verl.md changes."""
    folder = Path(verl.trainer.__file__).parent / "config"
    config = OmegaConf.load(folder / "_generated_ppo_trainer.yaml")
    config.algorithm.adv_estimator = "pkpo"
    config.algorithm.pkpo = {"objective": "max@2->mean@7"}
    config.actor_rollout_ref.actor.loss_agg_mode = "seq-mean-token-sum"
    config.actor_rollout_ref.rollout.n = 4
    return config


def trainer_at(step: int, config: Any) -> Any:
    from verl.trainer.ppo.v1 import PPOTrainerSync

    trainer = object.__new__(PPOTrainerSync)
    trainer.config, trainer.global_steps = config, step
    return trainer


def put(queue: Any, order: list[tuple[str, int, int]]) -> Any:
    """Outputs as verl's agent loops put them: nested, with the session's reward at each end."""
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    keys = [f"{uid}_{i}_{k}" for uid, i, k in order]
    lengths = [2 + (len(uid) + i + k) % 3 for uid, i, k in order]
    fields = []
    for (uid, i, _), length in zip(order, lengths):
        reward = torch.zeros(length)
        reward[-1] = GROUPS[uid][i]
        fields.append(
            {
                "uid": uid,
                "response_mask": torch.tensor((MASK * 2)[:length]),
                "rm_scores": reward,
                "rollout_log_probs": torch.full((length,), -1.0),
                "old_log_probs": torch.full((length,), -1.0),
            }
        )
    return queue.kv_batch_put(
        keys=keys,
        fields=list_of_dict_to_tensordict(fields),
        tags=[{"status": "success"} for _ in keys],
        partition_id="train",
    )


def test_the_advantages_that_reach_the_queue(queue: Any, whole_config: Any) -> None:
    once = rows()
    outputs = [(uid, i, k) for uid, i in once for k in range(1 + (len(uid) + i) % 2)]
    order = [outputs[i] for i in np.random.default_rng(3).permutation(len(outputs))]
    for step, kernel in ((7, oracles.maximum(2)), (8, oracles.mean())):
        meta = put(queue, order)
        meta = trainer_at(step, whole_config)._compute_advantage(meta, {})
        found = queue.kv_batch_get(
            keys=meta.keys, partition_id="train", select_fields=["advantages", "response_mask"]
        )
        by_row = expected([(uid, i) for uid, i, _ in order], kernel)[:, :1]
        for got, mask, wanted in zip(found["advantages"], found["response_mask"], by_row):
            torch.testing.assert_close(got, wanted * mask)
        queue.kv_clear(keys=meta.keys, partition_id="train")


def test_its_default_loss_is_refused(queue: Any, whole_config: Any) -> None:
    whole_config.actor_rollout_ref.actor.loss_agg_mode = "token-mean"
    meta = put(queue, [(uid, i, 0) for uid, i in rows()])
    with pytest.raises(InvalidInputError, match="loss_agg_mode='token-mean'"):
        trainer_at(1, whole_config)._compute_advantage(meta, {})
    queue.kv_clear(keys=meta.keys, partition_id="train")
