"""SkyRL's advantage estimators for objectives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from skyrl.backends.skyrl_train.utils.ppo_utils import AdvantageEstimatorRegistry
from torch import Tensor

from pkpo.core.gapform import SmallGroups
from pkpo.core.weights import Baseline
from pkpo.engines import groups
from pkpo.engines.hooks import Hook, caller_with, value_at
from pkpo.errors import InvalidInputError

HOOK = Hook("skyrl", "register", "{}={}")
_NAME = "trainer.algorithm.advantage_estimator"
_PADDING = re.compile(r"pad\d+")


def register(
    objective: Any,
    config: Any,
    *,
    baseline: Baseline = "loo_minus_one",
    small_groups: SmallGroups = "raise",
    accept_bias: Sequence[str] = (),
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Make an objective what `trainer.algorithm.advantage_estimator` stands for; before SkyRL's
    `validate_cfg`, which asks for it, and `initialize_ray`, or in the task that runs the trainer.

    Args:
        objective: an objective or a schedule, as `pkpo.plan` takes them.
        config: a SkyRLTrainConfig, whose estimator has a name of your own, such as "pkpo".
        baseline, small_groups: see `pkpo.engines.groups.advantages`.
        accept_bias: settings that refusals.toml names and that are to pass, by their last names.

    Returns:
        The estimator: `token_level_rewards` and `response_mask` (B, T), `index` (B,) the prompts'
        uids -> the advantages twice, (B, T), times `n_samples_per_prompt`: SkyRL's loss divides
        by the rows of a mini-batch, and by the constant `max_seq_len`. Rows without a token that
        is trained on, such as its padding, count for nothing.

    Raises:
        InvalidInputError: settings of `config` that would fail or change the objective.
        UndefinedEstimateError: `n_samples_per_prompt` is too small.
    """
    name, n = value_at(config, _NAME), config.generator.n_samples_per_prompt
    known = AdvantageEstimatorRegistry.list_available()
    owner = AdvantageEstimatorRegistry.get(name).__module__ if name in known else __name__
    own = [f"{_NAME}={name!r} is SkyRL's own: take another name"] if owner != __name__ else []
    silent = baseline in ("loo", "loo_minus_one")  # where rewards are equal
    if value_at(config, "trainer.algorithm.zero_variance_filter") and not silent:
        own.append(
            f"trainer.algorithm.zero_variance_filter=True: leaves out groups of equal rewards, "
            f"whose advantages aren't 0 with baseline {baseline!r}; use False"
        )
    HOOK.check(config, accept_bias, own)
    schedule = groups.checked_schedule(
        objective,
        baseline,
        engine="SkyRL",
        num_generations=n if small_groups == "raise" else None,
        setting="generator.n_samples_per_prompt",
    )

    def estimator(
        token_level_rewards: Tensor, response_mask: Tensor, index: Any, **others: Any
    ) -> tuple[Tensor, Tensor]:
        trainer, names = caller_with("global_step", "cfg")
        uids = [str(uid) for uid in index]
        if len(uids) != len(token_level_rewards):
            raise InvalidInputError(f"{len(token_level_rewards)} rows have {len(uids)} uids")
        trained_B = np.array([not _PADDING.fullmatch(uid) for uid in uids], dtype=bool)
        if "loss_mask" in (batch := names.get("data", {})):
            trained_B &= batch["loss_mask"].bool().any(dim=-1).numpy(force=True)
        if baseline != "loo":
            HOOK.refuse_untrained(uids, range(len(uids)), trained_B)
        advantages_B = groups.advantages(
            token_level_rewards.sum(dim=-1),
            uids,
            schedule,
            step=trainer.global_step - 1 if trainer else None,
            mask=trained_B,
            baseline=baseline,
            small_groups=small_groups,
        )
        advantages_BT = n * advantages_B[:, None] * response_mask
        return advantages_BT, advantages_BT

    estimator.__module__ = __name__
    if name in known:
        AdvantageEstimatorRegistry.unregister(name)
    AdvantageEstimatorRegistry.register(name, estimator)
    return estimator
