"""An objective in the config of tinker-cookbook's RL, by the rewards of its groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import chz
import numpy as np
from tinker_cookbook.rl.dataset_utils import EpochCycledRLDataset
from tinker_cookbook.rl.train import Config
from tinker_cookbook.rl.types import (
    PARSE_ERROR_MASKED_METRIC_KEY,
    Env,
    EnvGroupBuilder,
    Metrics,
    RLDataset,
    RLDatasetBuilder,
    Trajectory,
)

from pkpo.core.objectives import Objective
from pkpo.engines.groups import advantages, checked_schedule
from pkpo.errors import InvalidInputError, refuse
from pkpo.plans import Schedule

_LOSSES = ("importance_sampling", "ppo", "cispo")


def with_objective(objective: Schedule | Objective | int | str, config: Config) -> Config:
    """A config that trains for an objective, for `tinker_cookbook.rl.train.main`.

    The cookbook's advantages are a group's total rewards less their mean. So groups of the
    training set are rewarded with the advantages of baseline "loo", which add up to zero and need
    groups larger than k; `reward/own` in the log is what they were rewarded with before. The step
    of a schedule is the number of the dataset's batch, over all epochs.

    Raises:
        InvalidInputError: settings that would change the objective, or a plan that remembers.
        UndefinedEstimateError: an objective without the baseline "loo".

    >>> config = with_objective("8->1@500", config)  # doctest: +SKIP
    >>> asyncio.run(tinker_cookbook.rl.train.main(config))  # doctest: +SKIP
    """
    schedule = checked_schedule(objective, "loo", engine="tinker-cookbook")
    refuse([*_problems(config)])
    inner, epochs = config.dataset_builder, config.num_epochs
    builder = _DatasetBuilder(inner=inner, objective=str(schedule), num_epochs=epochs)
    return chz.replace(config, dataset_builder=builder, num_epochs=1)


def _problems(config: Config) -> Iterator[str]:
    termination, loss = config.effective_termination(), config.training_loss_fn()
    if loss not in _LOSSES:
        yield (
            f"loss_fn={loss!r}: isn't known to be the policy gradient of its advantages where the "
            f"ratio is 1; use one of {', '.join(_LOSSES)}"
        )
    if termination is not None and termination.zero_reward_on_limit:
        yield (
            "termination.zero_reward_on_limit=True: cuts advantages, for it comes after them; use "
            "TerminationRewardPolicy(zero_reward_on_limit=False)"
        )
    if config.temperature != 1.0:
        yield (
            f"temperature={config.temperature}: draws completions that aren't samples of the "
            "policy whose gradient is taken; use 1.0"
        )


@chz.chz
class _DatasetBuilder(RLDatasetBuilder):
    inner: RLDatasetBuilder
    objective: str
    num_epochs: int

    async def __call__(self) -> tuple[RLDataset, RLDataset | None]:
        train, test = await self.inner()
        schedule = checked_schedule(self.objective, "loo", engine="tinker-cookbook")
        return _Dataset(EpochCycledRLDataset(train, self.num_epochs), schedule), test


@dataclass(frozen=True)
class _Dataset(RLDataset):
    inner: RLDataset
    schedule: Schedule

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        objective = self.schedule(index)
        return [ObjectiveGroup(builder, objective) for builder in self.inner.get_batch(index)]

    def __len__(self) -> int:
        return len(self.inner)


@dataclass(frozen=True)
class ObjectiveGroup(EnvGroupBuilder):
    """A group whose trajectories' total rewards are their advantages."""

    inner: EnvGroupBuilder
    objective: Objective

    async def make_envs(self) -> Sequence[Env]:
        return await self.inner.make_envs()

    async def compute_group_rewards(
        self, trajectory_group: list[Trajectory], env_group: Sequence[Env]
    ) -> list[tuple[float, Metrics]]:
        """
        Raises:
            UndefinedEstimateError: a group of k trajectories or fewer.
            InvalidInputError: rewards that aren't finite, or turns left out of the loss.
        """
        given = await self.inner.compute_group_rewards(trajectory_group, env_group)
        turns = [turn for trajectory in trajectory_group for turn in trajectory.transitions]
        if any(turn.metrics.get(PARSE_ERROR_MASKED_METRIC_KEY) for turn in turns):
            raise InvalidInputError(
                "turns with parse errors are left out of the loss, though they were rewarded: use "
                "ParseErrorPolicy(mask_error_turns=False)"
            )
        by_turns = [sum(turn.reward for turn in one.transitions) for one in trajectory_group]
        rewards = np.add(by_turns, [reward for reward, _ in given], dtype=np.float64)
        found: Any = advantages(
            rewards, [0] * len(rewards), self.objective, baseline="loo", centred_by_trainer=True
        )
        return [
            (float(advantage - turned), {**metrics, "reward/own": float(reward)})
            for advantage, turned, reward, (_, metrics) in zip(found, by_turns, rewards, given)
        ]

    async def cleanup(self) -> None:
        await self.inner.cleanup()

    def logging_tags(self) -> list[str]:
        return self.inner.logging_tags()
