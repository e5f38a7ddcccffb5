"""Groups in the cookbook's own rollouts, and configs that would change the objective."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import chz
import pytest
import tinker
from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs
from tinker_cookbook.rl.data_processing import (
    assemble_training_data,
    compute_advantages,
    remove_constant_reward_groups,
)
from tinker_cookbook.rl.metric_util import compute_trajectory_metrics
from tinker_cookbook.rl.rollout_limits import TerminationRewardPolicy
from tinker_cookbook.rl.rollouts import do_group_rollout
from tinker_cookbook.rl.train import AsyncConfig, Config
from tinker_cookbook.rl.types import (
    PARSE_ERROR_MASKED_METRIC_KEY,
    Env,
    EnvGroupBuilder,
    RLDataset,
    RLDatasetBuilder,
    StepResult,
    TrajectoryGroup,
)

import oracles
from pkpo.engines.tinker import with_objective
from pkpo.errors import InvalidInputError, UndefinedEstimateError

REWARDS = (0.0, 1.0, 3.0, 1.0, 2.0)


@dataclass
class TwoTurns(Env):
    """Of whose reward a quarter is the first turn's, and half the group's."""

    reward: float
    metrics: dict[str, float]
    turn: int = 0

    async def initial_observation(self) -> tuple[tinker.ModelInput, list[int]]:
        return tinker.ModelInput.from_ints([1]), []

    async def step(self, action: list[int], **extra: Any) -> StepResult:
        self.turn += 1
        return StepResult(
            reward=self.reward / 4,
            episode_done=self.turn == 2,
            next_observation=tinker.ModelInput.from_ints([1, *action, 3]),
            next_stop_condition=[],
            metrics=dict(self.metrics),
        )


@dataclass(frozen=True)
class Group(EnvGroupBuilder):
    rewards: tuple[float, ...]
    metrics: tuple[tuple[str, float], ...] = ()

    async def make_envs(self) -> Sequence[Env]:
        return [TwoTurns(reward, dict(self.metrics)) for reward in self.rewards]

    async def compute_group_rewards(self, trajectory_group: Any, env_group: Any) -> Any:
        return [(env.reward / 2, {"length": 2.0}) for env in env_group]

    def logging_tags(self) -> list[str]:
        return ["numbers"]


class Policy(TokenCompleter):
    async def __call__(self, model_input: Any, stop: Any, **limits: Any) -> TokensWithLogprobs:
        return TokensWithLogprobs(tokens=[2, 2], maybe_logprobs=[-1.0, -2.0])


@dataclass(frozen=True)
class Groups(RLDataset):
    groups: tuple[Group, ...]

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [self.groups[index]]

    def __len__(self) -> int:
        return len(self.groups)


@chz.chz
class Builder(RLDatasetBuilder):
    groups: tuple[Group, ...] = (Group(REWARDS), Group(REWARDS[::-1]))

    async def __call__(self) -> tuple[RLDataset, RLDataset | None]:
        return Groups(self.groups), Groups(self.groups[:1])


def config(**changes: Any) -> Config:
    given = {"model_name": "meta-llama/Llama-3.2-1B", "recipe_name": "numbers", "max_tokens": 8}
    given |= {"learning_rate": 1e-5, "log_path": "unused", "dataset_builder": Builder()}
    return Config(**(given | changes))


def trained(config: Config, index: int) -> TrajectoryGroup:
    dataset, _ = asyncio.run(config.dataset_builder())
    (group,) = pickle.loads(pickle.dumps(dataset.get_batch(index)))
    assert group.logging_tags() == ["numbers"]
    return asyncio.run(do_group_rollout(group, Policy()))


@pytest.mark.parametrize(
    ("index", "kernel", "rewards"),
    [
        (0, oracles.maximum(3), REWARDS),
        (2, oracles.maximum(3), REWARDS),
        (3, oracles.mean(), REWARDS[::-1]),
    ],
)
def test_in_its_rollouts(index: int, kernel: Any, rewards: tuple[float, ...]) -> None:
    """Over the epochs, of which the second begins with batch 2."""
    changed = with_objective("switch(max@3, 3, mean)", config(num_epochs=2))
    assert changed.num_epochs == 1
    group = trained(changed, index)
    wanted = oracles.advantages([Fraction(r) for r in rewards], kernel, "loo")
    (found,) = compute_advantages([group])
    assert found.tolist() == pytest.approx(list(map(float, wanted)), abs=1e-6)
    data, _ = assemble_training_data([group], [found])
    for datum, advantage in zip(data, found.tolist()):
        given = {name: value.to_torch() for name, value in datum.loss_fn_inputs.items()}
        assert given["advantages"].tolist() == pytest.approx(
            [advantage] * 2 + [0.0] + [advantage] * 2
        )
    logged = compute_trajectory_metrics([group], [["numbers"]])
    assert logged["env/all/reward/own"] == pytest.approx(sum(rewards) / 5)
    assert logged["env/all/reward/total"] == pytest.approx(0.0, abs=1e-9)
    assert logged["env/all/length"] == 2.0


def test_both_datasets() -> None:
    dataset, test = asyncio.run(with_objective(2, config(num_epochs=3)).dataset_builder())
    assert len(dataset) == 6
    assert test == Groups((Group(REWARDS),))


def test_groups_of_equal_rewards_can_be_left_out() -> None:
    equal = config(dataset_builder=Builder(groups=(Group((1.0,) * 4), Group(REWARDS))))
    groups = [trained(with_objective(2, equal), index) for index in (0, 1)]
    assert compute_advantages(groups)[0].tolist() == [0.0] * 4
    assert remove_constant_reward_groups(groups) == groups[1:]


def test_groups_that_are_too_small_or_lack_turns() -> None:
    changed = with_objective(4, config(dataset_builder=Builder(groups=(Group(REWARDS[:4]),))))
    with pytest.raises(UndefinedEstimateError, match=r"4 samples .* needs 5"):
        trained(changed, 0)
    masked = Group(REWARDS, ((PARSE_ERROR_MASKED_METRIC_KEY, 1.0),))
    with pytest.raises(InvalidInputError, match="turns with parse errors"):
        trained(with_objective(2, config(dataset_builder=Builder(groups=(masked,)))), 0)


def test_refusals() -> None:
    bad = config(
        loss_fn="stable_reinforce",
        temperature=0.8,
        termination=TerminationRewardPolicy(zero_reward_on_limit=True),
    )
    with pytest.raises(InvalidInputError) as refused:
        with_objective(2, bad)
    for word in ("loss_fn='stable_reinforce'", "zero_reward_on_limit", "temperature=0.8"):
        assert word in str(refused.value)
    late = AsyncConfig(max_steps_off_policy=1, groups_per_batch=2)
    with pytest.raises(InvalidInputError, match="loss_fn='stable_reinforce'"):
        with_objective(2, config(async_config=late))
    with_objective(2, config(async_config=chz.replace(late, loss_fn="ppo")))
    with pytest.raises(InvalidInputError, match="for which tinker-cookbook has no place"):
        with_objective("per_prompt(4)", config())
