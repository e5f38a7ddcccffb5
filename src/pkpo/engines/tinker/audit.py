"""tinker-cookbook's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tinker
import torch
from tinker_cookbook.completers import TokenCompleter, TokensWithLogprobs
from tinker_cookbook.rl.data_processing import assemble_training_data, compute_advantages
from tinker_cookbook.rl.rollouts import do_group_rollout
from tinker_cookbook.rl.types import Env, EnvGroupBuilder, StepResult, TrajectoryGroup

from pkpo.core.parsing import as_objective
from pkpo.engines.audit import Batch, Path
from pkpo.engines.tinker.training import ObjectiveGroup


def paths(objective: str) -> dict[str, Path]:
    """With the loss that Tinker documents."""
    chosen = as_objective(objective)
    return {"importance_sampling": path(lambda group: ObjectiveGroup(group, chosen))}


def path(wrapped: Callable[[EnvGroupBuilder], EnvGroupBuilder]) -> Path:
    """Rollouts of groups, the cookbook's advantages and its training data, and the loss
    `importance_sampling`, which is Tinker's own: -(exp(logp - logp_of_sampling) * advantage),
    summed over all tokens (https://tinker-docs.thinkingmachines.ai/losses).

    Args:
        wrapped: a builder whose environments give the rewards -> that of the groups.
    """

    def run(batch: Batch) -> np.ndarray:
        size, width = batch.mask_BT.shape
        tokens_BT = 1 + np.arange(size * width).reshape(size, width)
        policy = _Policy(tokens_BT, batch.mask_BT, batch.logps_BT)

        async def groups() -> list[TrajectoryGroup]:
            rows = [np.flatnonzero(batch.group_ids_B == g) for g in np.unique(batch.group_ids_B)]
            builders = [
                wrapped(_Group([(int(i), batch.rewards_B[i]) for i in own])) for own in rows
            ]
            return [await do_group_rollout(builder, policy) for builder in builders]

        found = asyncio.run(groups())
        data, _ = assemble_training_data(found, compute_advantages(found))
        weights = np.zeros(1 + size * width)
        for datum in data:
            given = {name: value.to_torch() for name, value in datum.loss_fn_inputs.items()}
            logps = given["logprobs"].clone().requires_grad_()
            loss = -(torch.exp(logps - given["logprobs"]) * given["advantages"]).sum()
            loss.backward()
            assert logps.grad is not None
            np.add.at(weights, given["target_tokens"].numpy(), -logps.grad.numpy())
        return weights[tokens_BT]

    return run


@dataclass(frozen=True)
class _Group(EnvGroupBuilder):
    """Of environments that ask for a row of the batch and reward it."""

    rows: Sequence[tuple[int, float]]

    async def make_envs(self) -> Sequence[Env]:
        return [_Row(row, reward) for row, reward in self.rows]


@dataclass(frozen=True)
class _Row(Env):
    row: int
    reward: float

    async def initial_observation(self) -> tuple[tinker.ModelInput, list[int]]:
        return tinker.ModelInput.from_ints([self.row]), []

    async def step(self, action: list[int], **extra: object) -> StepResult:
        return StepResult(
            reward=self.reward,
            episode_done=True,
            next_observation=tinker.ModelInput.empty(),
            next_stop_condition=[],
        )


@dataclass(frozen=True)
class _Policy(TokenCompleter):
    """Answers with the tokens of the row that is asked for."""

    tokens_BT: np.ndarray
    mask_BT: np.ndarray
    logps_BT: np.ndarray

    async def __call__(
        self, model_input: tinker.ModelInput, stop: object, **limits: object
    ) -> TokensWithLogprobs:
        (row,) = model_input.to_ints()
        kept = self.mask_BT[row]
        return TokensWithLogprobs(
            tokens=self.tokens_BT[row, kept].tolist(),
            maybe_logprobs=self.logps_BT[row, kept].tolist(),
        )
