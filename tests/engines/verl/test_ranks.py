"""What verl does with rows of many workers before and after the estimator: joined in any order,
padded, balanced, cut up again."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from verl import DataProto
from verl.protocol import pad_dataproto_to_divisor, unpad_dataproto
from verl.trainer.ppo.ray_trainer import compute_advantage

import oracles


@cache
def enumerated(rewards: tuple[int, ...]) -> list[float]:
    given = [Fraction(reward) for reward in rewards]
    return [float(a) for a in oracles.advantages(given, oracles.maximum(2), "loo_minus_one")]


@pytest.mark.parametrize("seed", range(12))
def test_any_number_of_workers(config: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    num_prompts, workers = int(rng.integers(1, 13)), int(rng.integers(2, 65))
    config.actor_rollout_ref.rollout.n = n
    rewards_PG = rng.integers(0, 4, (num_prompts, n))
    wanted = {
        (f"uid {prompt}", place): n * advantage
        for prompt, rewards in enumerate(rewards_PG.tolist())
        for place, advantage in enumerate(enumerated(tuple(rewards)))
    }
    keys = [list(wanted)[i] for i in rng.permutation(len(wanted))]
    cuts = np.sort(rng.integers(0, len(keys) + 1, workers - 1)).tolist()
    parts = [keys[a:b] for a, b in zip([0, *cuts], [*cuts, len(keys)]) if b > a]
    data = DataProto.concat([rows(part, rewards_PG) for part in parts])
    data.reorder(torch.as_tensor(rng.permutation(len(data))))
    found = compute_advantage(data, "pkpo", config=config.algorithm)
    found.reorder(torch.as_tensor(rng.permutation(len(found))))
    padded, padding = pad_dataproto_to_divisor(found, workers)
    parts = [unpad_dataproto(padded, padding)] if padding else padded.chunk(workers)
    checked = 0
    for part in parts:
        uids, places = (part.non_tensor_batch[name] for name in ("uid", "place"))
        advantages = torch.tensor([wanted[key] for key in zip(uids, places)])[:, None]
        mask = part.batch["response_mask"]
        torch.testing.assert_close(part.batch["advantages"], (advantages * mask).float())
        checked += len(part)
    assert checked == len(wanted)


def rows(keys: list[tuple[str, int]], rewards_PG: np.ndarray) -> DataProto:
    """Of two tokens, the reward at the first."""
    rewards = [float(rewards_PG[int(uid.split()[1]), place]) for uid, place in keys]
    values = torch.tensor([[reward, 0.0] for reward in rewards])
    uids, places = (np.array(values, dtype=object) for values in zip(*keys))
    return DataProto.from_dict(
        {"token_level_rewards": values, "response_mask": torch.ones(len(keys), 2)},
        {"uid": uids, "place": places},
    )
