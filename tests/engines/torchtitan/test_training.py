"""The estimator in torchtitan's own rollouter, and configs that would change the objective."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss
from torchtitan.config import Configurable
from torchtitan.experiments.rl.components.batcher import BatchConfig, Batcher
from torchtitan.experiments.rl.components.training_sample_builder import TrainingSampleBuilder
from torchtitan.experiments.rl.environment import MessageEnv, TokenEnv
from torchtitan.experiments.rl.losses import DAPOLoss, GRPOLoss
from torchtitan.experiments.rl.rollout.rollouter import Rollouter
from torchtitan.experiments.rl.rollout.types import Rollout, RolloutStatus, RolloutTurn
from torchtitan.experiments.rl.rubrics import RewardFn, Rubric
from torchtitan.experiments.rl.types import RolloutTurnID

import oracles
from pkpo.engines.torchtitan import ObjectiveAdvantages, PromptMeanLoss, with_objective
from pkpo.errors import InvalidInputError, UndefinedEstimateError

REWARDS = [0.0, 1.0, 3.0, 1.0, 2.0]


class Numbers(Configurable):
    @dataclass(kw_only=True, slots=True)
    class Config(Configurable.Config):
        pass

    def __init__(self, config: Config) -> None:
        pass


class Scored(Rollouter):
    """Draws nothing: its turns are at hand."""

    @dataclass(kw_only=True, slots=True)
    class Config(Rollouter.Config):
        pass

    versions: Any = None

    def make_env_group(self, *, group_size: int, **given: Any) -> list[Any]:
        async def close() -> None:
            pass

        return [SimpleNamespace(close=close) for _ in range(group_size)]

    async def _run_single_rollout(self, *, group_id: int, rollout_id: int, **given: Any) -> Rollout:
        turns = [
            RolloutTurn(
                rollout_id=RolloutTurnID(group_id=group_id, rollout_id=rollout_id, turn_id=turn),
                prompt_token_ids=[1],
                completion_token_ids=[2],
                completion_logprobs=[0.0],
                min_policy_version=version,
                max_policy_version=None if version is None else version + 1,
            )
            for turn, version in enumerate(self.versions)
        ]
        return Rollout(
            group_id=group_id, rollout_id=rollout_id, turns=turns, status=RolloutStatus.COMPLETED
        )


class Given(RewardFn):
    @dataclass(kw_only=True, slots=True)
    class Config(RewardFn.Config):
        pass

    async def __call__(self, rollout: Rollout, env_input: object) -> float:
        return REWARDS[rollout.rollout_id]


def rollouter_config(**changes: Any) -> Any:
    given = {
        "train_dataset": Numbers.Config(),
        "validation_dataset": Numbers.Config(),
        "rubric": Rubric.Config(reward_fns=[Given.Config()]),
        "message_env": MessageEnv.Config(),
        "token_env": TokenEnv.Config(max_rollout_tokens=64),
    }
    return Scored.Config(**(given | changes))


@dataclass
class Loop:
    """Of controller.py, lines 153 to 191, what is looked at."""

    num_prompts_per_train_step: int = 4
    num_samples_per_prompt: int = 5
    training_sample_builder: Any = field(default_factory=TrainingSampleBuilder.Config)
    batcher: Any = field(
        default_factory=lambda: Batcher.Config(batch=BatchConfig(local_batch_size=1, seq_len=64))
    )


@dataclass
class Trainer:
    loss: Any = field(default_factory=DAPOLoss.Config)


@dataclass
class Controller:
    """Of controller.py, lines 280 to 330."""

    async_loop: Any = field(default_factory=Loop)
    rollouter: Any = field(default_factory=rollouter_config)
    trainer: Any = field(default_factory=Trainer)
    generator: Any = field(
        default_factory=lambda: SimpleNamespace(
            sampling=SimpleNamespace(temperature=1.0, top_p=1.0)
        )
    )


def advantages_of(config: Any, versions: list[int | None], size: int = 5) -> list[float]:
    """By torchtitan's own `run_group_rollouts` (rollouter.py, line 226)."""
    rollouter = config.build()
    rollouter.versions = versions
    group = asyncio.run(
        rollouter.run_group_rollouts(
            generate_fn=None,
            sample=None,
            group_id=7,
            group_size=size,
            sampling=SimpleNamespace(seed=None),
            renderer=None,
        )
    )
    return [rollout.advantage for rollout in group.rollouts]


@pytest.mark.parametrize("baseline", oracles.BASELINES)
def test_in_its_rollouter(baseline: Any) -> None:
    every_group = TrainingSampleBuilder.Config(drop_zero_std_reward_groups=False)
    given = Controller(Loop(training_sample_builder=every_group))
    config = with_objective("switch(max@2, 3, mean)", given, baseline=baseline)
    for versions, kernel in (
        ([2, 3], oracles.maximum(2)),
        ([3, 3], oracles.mean()),
        ([None], oracles.maximum(2)),
    ):
        wanted = oracles.advantages([Fraction(r) for r in REWARDS], kernel, baseline)
        assert advantages_of(config.rollouter, versions) == pytest.approx(list(map(float, wanted)))


def test_what_of_the_config_is_changed() -> None:
    given = Controller()
    before = copy.deepcopy(given)
    found = with_objective("max@2", given)
    assert given == before
    assert found.trainer.loss == PromptMeanLoss.Config(num_prompts=4)
    assert replace(found, trainer=given.trainer, rollouter=given.rollouter) == given
    estimator = ObjectiveAdvantages.Config(objective="max@2")
    assert found.rollouter == rollouter_config(advantage=estimator)
    chunked = ChunkedLossWrapper.Config(num_chunks=2, loss_fn=GRPOLoss.Config(clip_eps=0.1))
    found = with_objective("max@2", Controller(trainer=Trainer(chunked)))
    inner = PromptMeanLoss.Config(ratio_clip_low=0.1, ratio_clip_high=0.1, num_prompts=4)
    assert found.trainer.loss == replace(chunked, loss_fn=inner)


def test_chunks_add_up() -> None:
    """As `PolicyTrainer` builds and calls it (trainer.py, lines 115 and 404)."""
    rng = torch.Generator().manual_seed(0)
    inner = PromptMeanLoss.Config(num_prompts=4)
    head = torch.nn.Linear(3, 6, bias=False)
    hidden = torch.randn(2, 8, 3, generator=rng)
    labels = torch.randint(6, (2, 8), generator=rng)
    inputs = {
        "generator_logprobs": -torch.rand(2, 8, generator=rng),
        "advantages": torch.randn(2, 8, generator=rng),
        "loss_mask": torch.rand(2, 8, generator=rng) < 0.7,
    }
    tokens = int(inputs["loss_mask"].sum())
    gradients, metrics = [], []
    for loss in (inner, ChunkedLossWrapper.Config(num_chunks=4, loss_fn=inner)):
        made, wrapped = loss.build(), isinstance(loss, ChunkedLossWrapper.Config)
        if wrapped:
            made.set_lm_head(head)
        given = hidden.clone().requires_grad_()
        value, logged = made(given if wrapped else head(given), labels, tokens, **inputs)
        value.backward()
        gradients.append(given.grad)
        metrics.append(logged["loss/mean"])
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(*metrics)
    own, logged = DAPOLoss.Config().build()(head(hidden), labels, tokens, **inputs)
    torch.testing.assert_close(value, own * tokens / 4)
    torch.testing.assert_close(metrics[0], logged["loss/mean"])


def test_refusals() -> None:
    bad = Controller(
        generator=SimpleNamespace(sampling=SimpleNamespace(temperature=0.8, top_p=0.95))
    )
    bad.rollouter = rollouter_config(token_env=TokenEnv.Config(max_rollout_tokens=66))
    with pytest.raises(InvalidInputError) as refused:
        with_objective("max@2", bad, baseline="none")
    for word in ("temperature=0.8", "top_p=0.95", "drop_zero_std", "seq_len=64"):
        assert word in str(refused.value)
    with pytest.raises(InvalidInputError, match="neither DAPOLoss nor GRPOLoss"):
        with_objective("max@2", Controller(trainer=Trainer(CrossEntropyLoss.Config())))
    with pytest.raises(UndefinedEstimateError, match="num_generations >= 6, got 5"):
        with_objective("staged(mean, 2, max@6, 4, mean)", Controller())
    with pytest.raises(InvalidInputError, match="for which torchtitan has no place"):
        with_objective("per_prompt(4)", Controller())
    with pytest.raises(InvalidInputError, match="should_std_normalize=True"):
        ObjectiveAdvantages.Config(objective="mean", should_std_normalize=True).build()
