"""Tunix's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from tunix.rl import algo_core, common
from tunix.rl.function_registry import get_advantage_estimator
from tunix.rl.grpo.grpo_learner import GRPOConfig

from pkpo.engines.audit import Batch, Path
from pkpo.engines.tunix.estimator import HOOK, register

GROUPS_OF_ONE_SIZE = True

_EXACT = {"advantage_estimator": "pkpo", "loss_agg_mode": "seq-mean-token-sum", "beta": 0.0}


def paths(objective: str) -> dict[str, Path]:
    """The reductions that `register` allows."""
    modes = HOOK.rules["loss_agg_mode"]["values"]
    return {mode: path(objective, loss_agg_mode=mode) for mode in modes}


def path(objective: str | None, **settings: Any) -> Path:
    """An estimator of Tunix's registry and its loss, with the gradient that JAX takes of it.

    Args:
        objective: what is registered; None for one of Tunix's own estimators.
        settings: of its GRPOConfig.
    """

    @cache
    def learner(n: int) -> tuple[Any, Any]:
        config: Any = GRPOConfig(**(_EXACT | settings), num_generations=n)
        config.temperature = 1.0  # as GRPOLearner does
        if objective is not None:
            register(objective, config)

        @nnx.jit
        def gradient(model: _Model, example: Any) -> Any:
            def loss(model: _Model) -> Any:
                return algo_core.grpo_loss_fn(model, example, config, pad_id=0, eos_id=0)[0]

            return nnx.grad(loss)(model).logits.value

        return get_advantage_estimator(config.advantage_estimator), gradient

    def run(batch: Batch) -> np.ndarray:
        size, width = batch.mask_BT.shape
        estimator, gradient = learner(size // 2)
        rewards_B = batch.rewards_B.astype(np.float32)
        example = common.TrainExample(
            prompt_ids=jnp.ones((size, 1), dtype=int),
            prompt_mask=jnp.ones((size, 1)),
            completion_ids=jnp.ones((size, width), dtype=int),
            completion_mask=jnp.asarray(batch.mask_BT, dtype=jnp.float32),
            advantages=jnp.asarray(estimator(rewards=rewards_B, num_generations=size // 2)),
            ref_per_token_logps=None,
            old_per_token_logps=None,
        )
        found_BTV = np.asarray(gradient(_Model(size, width), example))
        # The gradient by a token's own logit is that by its log-probability times 1 - 1/2.
        return -2.0 * found_BTV[:, :-1, 1]

    return run


class _Model(nnx.Module):
    """Of two tokens, equally likely; its logits are its parameters."""

    def __init__(self, size: int, width: int) -> None:
        self.logits = nnx.Param(jnp.zeros((size, 1 + width, 2)))

    def __call__(self, tokens: Any, **others: Any) -> Any:
        return self.logits.value, None
