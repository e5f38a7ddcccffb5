"""Tunix's registry and its loss, by enumeration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tunix.rl import algo_core, common
from tunix.rl.function_registry import get_advantage_estimator
from tunix.rl.grpo.grpo_learner import GRPOConfig

import oracles
from pkpo.engines.audit import Batch, audit
from pkpo.engines.tunix import register
from pkpo.errors import InvalidInputError, UndefinedEstimateError

REWARDS = [0.0, 1.0, 1.0, 3.0, 2.0, 0.0, 5.0, 1.0]


def config(**changes: Any) -> GRPOConfig:
    exact = {"advantage_estimator": "pkpo", "loss_agg_mode": "seq-mean-token-sum"}
    made = GRPOConfig(**(exact | {"num_generations": 4, "beta": 0.0} | changes))
    made.temperature = 1.0  # as the learner does
    return made


def expected(kernel: Any, baseline: str = "loo_minus_one") -> list[float]:
    groups = [list(map(Fraction, REWARDS[:4])), list(map(Fraction, REWARDS[4:]))]
    return [4 * float(a) for group in groups for a in oracles.advantages(group, kernel, baseline)]


@pytest.mark.parametrize("baseline", oracles.BASELINES)
@pytest.mark.parametrize("library", [np, jnp])
def test_as_the_learner_calls_it(library: Any, baseline: Any) -> None:
    """tunix 0.1.7, rl/grpo/grpo_learner.py, line 316."""
    algo_config = config()
    register("max@2", algo_config, baseline=baseline)
    estimator = get_advantage_estimator(algo_config.advantage_estimator)
    rewards = library.asarray(REWARDS, dtype="float32")
    found = estimator(rewards=rewards, num_generations=algo_config.num_generations)
    assert isinstance(found, type(rewards))
    np.testing.assert_allclose(
        np.asarray(found), expected(oracles.maximum(2), baseline), rtol=1e-5, atol=1e-6
    )


def test_inside_jit() -> None:
    estimator = register("max@2", config())
    found = jax.jit(estimator, static_argnames="num_generations")(
        jnp.asarray(REWARDS), num_generations=4
    )
    np.testing.assert_allclose(found, expected(oracles.maximum(2)), rtol=1e-5, atol=1e-6)


class Policy(nnx.Module):
    """Holds the log-probabilities of a batch, by which the gradient is taken."""

    def __init__(self, logps: np.ndarray) -> None:
        self.logps = nnx.Param(jnp.asarray(logps))


def path(monkeypatch: pytest.MonkeyPatch, algo_config: Any) -> Any:
    """The estimator of a config, then Tunix's own loss and JAX's gradient of it."""

    def logps_of(graphdef: Any, state: Any, **kwargs: Any) -> Any:
        logps = nnx.merge(graphdef, state).logps.value
        return logps, jnp.zeros((*logps.shape, 2))

    monkeypatch.setattr(common, "compute_per_token_logps", logps_of)
    estimator = get_advantage_estimator(algo_config.advantage_estimator)

    @nnx.jit
    def gradient(policy: Policy, advantages: Any, mask: Any) -> Any:
        def loss(policy: Policy) -> Any:
            nothing = jnp.zeros_like(mask)
            example = common.TrainExample(
                prompt_ids=nothing,
                prompt_mask=nothing,
                completion_ids=nothing,
                completion_mask=mask,
                advantages=advantages,
                ref_per_token_logps=None,
                old_per_token_logps=None,
            )
            return algo_core.grpo_loss_fn(policy, example, algo_config, pad_id=0, eos_id=1)[0]

        return nnx.grad(loss)(policy).logps.value

    def run(batch: Batch) -> np.ndarray:
        n = algo_config.num_generations
        advantages = estimator(rewards=batch.rewards_B.astype(np.float32), num_generations=n)
        policy = Policy(batch.logps_BT.astype(np.float32))
        mask = jnp.asarray(batch.mask_BT, dtype=jnp.float32)
        return -np.asarray(gradient(policy, jnp.asarray(advantages), mask))

    return run


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        ("seq-mean-token-sum", "exact"),
        ("sequence-mean-token-sum-norm", "exact"),
        ("sequence-mean-token-scale", "exact up to a constant factor 0.333333"),
    ],
)
def test_the_loss_is_exact(monkeypatch: pytest.MonkeyPatch, mode: str, verdict: str) -> None:
    algo_config = config(num_generations=3, loss_agg_mode=mode)
    register("max@2", algo_config)
    assert audit(path(monkeypatch, algo_config), "max@2", sizes=(3, 3)).verdict == verdict


@pytest.mark.parametrize("mode", ["sequence-mean-token-mean", "token-mean"])
def test_refused_modes_are_other_objectives(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    algo_config = config(num_generations=3)
    register("max@2", algo_config)
    algo_config.loss_agg_mode = mode
    assert not audit(path(monkeypatch, algo_config), "max@2", sizes=(3, 3)).is_constant
    with pytest.raises(InvalidInputError, match=f"loss_agg_mode='{mode}'.*seq-mean-token-sum"):
        register("max@2", algo_config)


def test_tunix_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        name: audit(
            path(monkeypatch, config(num_generations=3, advantage_estimator=name)),
            "mean",
            sizes=(3, 3),
        )
        for name in ("grpo", "rloo", "drgrpo")
    }
    assert found["rloo"].is_exact
    assert found["drgrpo"].verdict == "exact up to a constant factor 0.666667"
    assert not found["grpo"].is_constant


def test_schedules() -> None:
    steps = iter([4, 5])
    estimator = register("max@2->mean@5", config(), step=lambda: next(steps))
    for kernel in (oracles.maximum(2), oracles.mean()):
        found = estimator(np.array(REWARDS), num_generations=4)
        np.testing.assert_allclose(found, expected(kernel), atol=1e-12)
    with pytest.raises(InvalidInputError, match="give step="):
        register("max@2->mean@5", config())


def test_refusals() -> None:
    with pytest.raises(InvalidInputError, match="'grpo' is Tunix's own"):
        register("max@2", config(advantage_estimator="grpo"))
    with pytest.raises(InvalidInputError, match="remembers earlier steps"):
        register("per_prompt(4)", config())
    with pytest.raises(UndefinedEstimateError, match="num_generations >= 8, got 4"):
        register("max@8", config())
    for schedule in ("staged(mean, 10, max@8, 20, mean)", "linear_k(1, 9, 5, 6)"):
        with pytest.raises(UndefinedEstimateError, match=r"num_generations >= [89], got 4"):
            register(schedule, config(), step=lambda: 0)
    masking = config()
    masking.degenerate_group_masking = True
    with pytest.raises(InvalidInputError, match="degenerate_group_masking=True"):
        register("max@2", masking)
