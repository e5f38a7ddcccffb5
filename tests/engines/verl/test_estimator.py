"""What verl's own functions get from the estimator, against enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

import oracles
from pkpo.engines.verl import pkpo_advantages
from pkpo.errors import InvalidInputError, UndefinedEstimateError

GROUPS = {"b_1": [0, 1, 1, 3], "a": [2, 0, 5], "c": [1, 1, 0, 4]}
MASK = [1, 0, 1, 0]
"""A turn, what a tool answered, a turn, and padding."""


def rows(seed: int = 0) -> list[tuple[str, int]]:
    """uid and place in the group, in any order."""
    all_rows = [(uid, i) for uid, rewards in GROUPS.items() for i in range(len(rewards))]
    return [all_rows[i] for i in np.random.default_rng(seed).permutation(len(all_rows))]


def batch(order: list[tuple[str, int]], rewards: list[float] | None = None) -> DataProto:
    values = torch.zeros(len(order), len(MASK))
    values[:, 2] = torch.tensor(rewards or [float(GROUPS[uid][i]) for uid, i in order])
    return DataProto.from_dict(
        {"token_level_rewards": values, "response_mask": torch.tensor([MASK] * len(order))},
        {"uid": np.array([uid for uid, _ in order], dtype=object)},
    )


def expected(
    order: list[tuple[str, int]], kernel: Any, baseline: str = "loo_minus_one", n: int = 4
) -> torch.Tensor:
    of = {
        uid: oracles.advantages([Fraction(r) for r in rewards], kernel, baseline)
        for uid, rewards in GROUPS.items()
    }
    by_row = torch.tensor([float(n * of[uid][i]) for uid, i in order])
    return by_row[:, None] * torch.tensor(MASK)


def advantages(data: DataProto, config: Any) -> torch.Tensor:
    found = compute_advantage(data, config.algorithm.adv_estimator, config=config.algorithm)
    torch.testing.assert_close(found.batch["returns"], found.batch["advantages"])
    return found.batch["advantages"]


def test_verl_knows_it() -> None:
    assert get_adv_estimator_fn("pkpo") is pkpo_advantages


@pytest.mark.parametrize("baseline", oracles.BASELINES)
def test_groups_of_any_size(config: Any, baseline: str) -> None:
    config.algorithm.pkpo.baseline = baseline
    found = advantages(batch(rows()), config)
    torch.testing.assert_close(found, expected(rows(), oracles.maximum(2), baseline))


def test_without_the_whole_config(config: Any) -> None:
    alone = OmegaConf.create({"pkpo": {"objective": "mean"}})
    found = compute_advantage(batch(rows()), "pkpo", config=alone).batch["advantages"]
    wanted = expected(rows(), oracles.mean(), n=1) * (11 / 3)
    torch.testing.assert_close(found, wanted)


def test_sessions_of_several_outputs_count_once(config: Any) -> None:
    """Rows in any order; the last output's reward is the session's."""
    once = rows()
    outputs = [(uid, i, k) for uid, i in once for k in range(1 + (len(uid) + i) % 3)]
    order = [outputs[i] for i in np.random.default_rng(2).permutation(len(outputs))]
    last = {(uid, i): max(k for u, j, k in outputs if (u, j) == (uid, i)) for uid, i in once}
    rewards = [float(GROUPS[uid][i]) if k == last[uid, i] else 0.0 for uid, i, k in order]
    pairs = [(uid, i) for uid, i, _ in order]
    found = compute_advantage_for_multi_trajectories(
        batch(pairs, rewards),
        [f"{uid}_{i}_{k}" for uid, i, k in order],
        "pkpo",
        config=config.algorithm,
    )
    torch.testing.assert_close(found.batch["advantages"], expected(pairs, oracles.maximum(2)))
    with pytest.raises(InvalidInputError, match=r"more than .*rollout\.n=4 rows"):
        compute_advantage(batch(pairs, rewards), "pkpo", config=config.algorithm)


def test_padding_counts_for_nothing(config: Any) -> None:
    data = batch([*rows(), ("a", 0)])
    data.non_tensor_batch["uid"][-1] = "pad0123"
    data.batch["response_mask"][-1] = 0
    found = advantages(data, config)
    torch.testing.assert_close(found[:-1], expected(rows(), oracles.maximum(2)))
    assert not found[-1].any()


def test_completions_that_are_not_trained_on(config: Any) -> None:
    data = batch([*rows(), ("a", 0)])
    data.batch["response_mask"][-1] = 0
    with pytest.raises(InvalidInputError, match=r"group 'a' has .*baseline=loo"):
        advantages(data, config)
    config.algorithm.pkpo.baseline = "loo"
    found = advantages(data, config)
    torch.testing.assert_close(found[:-1], expected(rows(), oracles.maximum(2), "loo"))


def test_groups_too_small(config: Any) -> None:
    config.algorithm.pkpo.objective = "max@4"
    with pytest.raises(UndefinedEstimateError, match="group 'a' has 3 samples"):
        advantages(batch(rows()), config)
    config.algorithm.pkpo.small_groups = "zero"
    found = advantages(batch(rows()), config)
    small = [uid == "a" for uid, _ in rows()]
    assert not found[small].any()
    assert found.any()


@dataclass
class Trainer:
    """Calls as verl's trainers do."""

    config: Any
    global_steps: int = 1

    def fit(self, data: DataProto) -> torch.Tensor:
        return advantages(data, self.config)


def test_schedules_follow_the_trainers_step(config: Any) -> None:
    config.algorithm.pkpo.objective = "max@2->mean@5"
    for step, kernel in ((5, oracles.maximum(2)), (6, oracles.mean())):
        found = Trainer(config, step).fit(batch(rows()))
        torch.testing.assert_close(found, expected(rows(), kernel))
    with pytest.raises(InvalidInputError, match="depends on the step"):
        advantages(batch(rows()), config)


REFUSED = {
    "algorithm.use_kl_in_reward": True,
    "algorithm.filter_groups.enable": True,
    "algorithm.rollout_correction.rollout_is": "token",
    "algorithm.rollout_correction.rollout_rs": "token_k1",
    "algorithm.rollout_correction.bypass_mode": True,
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "geo_mean",
    "actor_rollout_ref.rollout.top_p": 0.9,
    "actor_rollout_ref.rollout.top_k": 20,
    "trainer.v1.sampler.max_off_policy_strategy": "drop",
    "distillation.distillation_loss.use_task_rewards": False,
}


@pytest.mark.parametrize("place", REFUSED)
def test_refused_settings(config: Any, place: str) -> None:
    OmegaConf.update(config, place, REFUSED[place], force_add=True)
    with pytest.raises(InvalidInputError, match=rf"{place}={REFUSED[place]!r}: .*; use"):
        advantages(batch(rows()), config)
    config.algorithm.pkpo.accept_bias = [place.rpartition(".")[2]]
    advantages(batch(rows()), config)


def test_settings_that_verl_does_not_read(config: Any) -> None:
    for place in ("trainer.v1.sampler.max_off_policy_strategy", "distillation.distillation_loss"):
        OmegaConf.update(config, place, REFUSED.get(place, {"use_task_rewards": False}))
    with pytest.raises(InvalidInputError, match="drops prompts"):
        advantages(batch(rows()), config)
    OmegaConf.update(config, "trainer.v1.trainer_mode", "sync")
    with pytest.raises(InvalidInputError, match="trains on the teacher alone"):
        advantages(batch(rows()), config)
    OmegaConf.update(config, "distillation.enabled", False)
    advantages(batch(rows()), config)


def test_one_error_names_all(config: Any) -> None:
    for place, value in REFUSED.items():
        OmegaConf.update(config, place, value, force_add=True)
    config.algorithm.pkpo.accept_bias = ["top_p", "top_n"]
    with pytest.raises(InvalidInputError) as caught:
        advantages(batch(rows()), config)
    assert all((place in str(caught.value)) == ("top_p" not in place) for place in REFUSED)
    assert "accept_bias takes some of" in str(caught.value)


def test_a_divisor_that_is_no_constant(config: Any) -> None:
    config.actor_rollout_ref.actor.loss_agg_mode = "seq-mean-token-sum-norm"
    with pytest.raises(InvalidInputError, match="loss_scale_factor=None"):
        advantages(batch(rows()), config)
    config.actor_rollout_ref.actor.loss_scale_factor = 1024
    advantages(batch(rows()), config)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "algorithm.pkpo has no objective: say"),
        ({"objektive": "max@2"}, "doesn't know objektive: say"),
        ({"objective": "max@2", "reduction": "mean"}, "doesn't know reduction"),
        ({"objective": "best@2"}, "can't read the plan 'best@2'"),
        ({"objective": "per_prompt(8)"}, "remembers earlier steps"),
    ],
)
def test_settings_of_its_own(config: Any, given: Any, message: str) -> None:
    config.algorithm.pkpo = given
    with pytest.raises(InvalidInputError, match=message):
        advantages(batch(rows()), config)


def test_no_groups(config: Any) -> None:
    data = batch(rows())
    del data.non_tensor_batch["uid"]
    with pytest.raises(InvalidInputError, match="no uid"):
        advantages(data, config)
