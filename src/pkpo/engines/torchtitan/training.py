"""An objective in the config of torchtitan's RL: its advantages, and a loss by prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torchtitan.components.loss import ChunkedLossWrapper
from torchtitan.experiments.rl.losses import DAPOLoss, GRPOLoss
from torchtitan.experiments.rl.rollout.advantage import AdvantageEstimator
from torchtitan.experiments.rl.rollout.types import RolloutGroup

from pkpo.core.transforms import advantages
from pkpo.core.weights import Baseline
from pkpo.engines.groups import checked_schedule
from pkpo.errors import refuse


class ObjectiveAdvantages(AdvantageEstimator):
    """Advantages of an objective, for the `advantage` of a rollouter's config.

    The step of a schedule is the oldest version of the policy that a group was drawn from.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(AdvantageEstimator.Config):
        """What `pkpo.schedule` and `pkpo.advantages` take; divided by no spread."""

        objective: str
        baseline: Baseline = "loo_minus_one"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.schedule = checked_schedule(config.objective, config.baseline, engine="torchtitan")
        self.baseline: Baseline = config.baseline
        refuse([_SPREAD] * config.should_std_normalize)

    def __call__(self, group: RolloutGroup) -> list[float]:
        """(n,) in the group's order."""
        turns = [turn for rollout in group.rollouts for turn in rollout.turns]
        versions = [turn.min_policy_version for turn in turns]
        step = min([version for version in versions if version is not None], default=0)
        rewards: list[Any] = [rollout.reward for rollout in group.rollouts]
        return advantages(rewards, self.schedule(step), baseline=self.baseline).tolist()


class PromptMeanLoss(DAPOLoss):
    """DAPO's loss of each token, summed over completions and averaged over a step's prompts.

    torchtitan's own divides by the tokens of a step, which weights steps by what was drawn. The
    metrics are the same.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(DAPOLoss.Config):
        """`num_prompts` is `async_loop.num_prompts_per_train_step`."""

        num_prompts: int

    def __init__(self, config: Config, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.num_prompts = config.num_prompts

    def __call__(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        global_valid_tokens: float | None = None,
        **inputs: torch.Tensor,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """As `DAPOLoss`."""
        loss, metrics = super().__call__(logits, labels, global_valid_tokens, **inputs)
        return loss * (max(global_valid_tokens or 1, 1) / self.num_prompts), metrics


def with_objective(objective: Any, config: Any, *, baseline: Baseline = "loo_minus_one") -> Any:
    """A config that trains for an objective.

    Args:
        objective, baseline: of `ObjectiveAdvantages`, which comes in place of its estimator.
        config: a `Controller.Config` with `DAPOLoss` or `GRPOLoss`, in chunks or not, in whose
            place comes `PromptMeanLoss`.

    Raises:
        InvalidInputError: settings that would change the objective, or a plan that remembers.
        UndefinedEstimateError: `num_samples_per_prompt` is too small at some step.

    >>> config = with_objective("8->1@75", rl_dapo_qwen3_4b_math_8k())  # doctest: +SKIP
    """
    loop, trainer, rollouter = config.async_loop, config.trainer, config.rollouter
    n = loop.num_samples_per_prompt
    schedule = checked_schedule(objective, baseline, engine="torchtitan", num_generations=n)
    refuse([*_problems(config, baseline)])
    estimator = ObjectiveAdvantages.Config(objective=str(schedule), baseline=baseline)
    return replace(
        config,
        rollouter=replace(rollouter, advantage=estimator),
        trainer=replace(trainer, loss=_by_prompts(trainer.loss, loop.num_prompts_per_train_step)),
    )


_NOT_ZERO = ("none", "paper_loo")
_SPREAD = "should_std_normalize=True: weights each prompt by one over the spread that was drawn"


def _problems(config: Any, baseline: Baseline) -> Iterator[str]:
    loop, sampling = config.async_loop, config.generator.sampling
    for name in ("temperature", "top_p"):
        if (value := getattr(sampling, name)) != 1.0:
            yield (
                f"generator.sampling.{name}={value}: draws completions that aren't samples of the "
                "policy whose gradient is taken; use 1.0"
            )
    if loop.training_sample_builder.drop_zero_std_reward_groups and baseline in _NOT_ZERO:
        yield (
            "async_loop.training_sample_builder.drop_zero_std_reward_groups=True: leaves out "
            f"equal rewards, whose advantages with baseline {baseline!r} aren't 0; use False"
        )
    room, longest = loop.batcher.batch.seq_len, config.rollouter.token_env.max_rollout_tokens
    if longest is None or longest > room + 1:
        yield (
            f"async_loop.batcher.batch.seq_len={room}: leaves out longer completions, and "
            f"rollouter.token_env.max_rollout_tokens={longest} allows them; make both the same"
        )


def _by_prompts(loss: Any, num_prompts: int) -> Any:
    """The config of a loss in place of one of torchtitan's."""
    if isinstance(loss, ChunkedLossWrapper.Config):
        return replace(loss, loss_fn=_by_prompts(loss.loss_fn, num_prompts))
    if isinstance(loss, GRPOLoss.Config):
        low = high = loss.clip_eps
    elif isinstance(loss, DAPOLoss.Config):
        low, high = loss.ratio_clip_low, loss.ratio_clip_high
    else:
        refuse([f"trainer.loss={loss}: is neither DAPOLoss nor GRPOLoss"])
    return PromptMeanLoss.Config(ratio_clip_low=low, ratio_clip_high=high, num_prompts=num_prompts)
