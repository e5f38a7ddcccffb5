"""Tunix's registry and its loss, by enumeration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tunix.rl.agentic import agentic_grpo_learner
from tunix.rl.function_registry import get_advantage_estimator
from tunix.rl.grpo.grpo_learner import GRPOConfig

import oracles
from pkpo.engines.audit import audit
from pkpo.engines.tunix import register
from pkpo.engines.tunix.audit import path, paths
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


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        ("seq-mean-token-sum", "exact"),
        ("sequence-mean-token-sum-norm", "exact"),
        ("sequence-mean-token-scale", "exact up to a constant factor 0.333333"),
    ],
)
def test_the_loss_is_exact(mode: str, verdict: str) -> None:
    assert audit(paths("max@2")[mode], "max@2", sizes=(3, 3)).verdict == verdict


@pytest.mark.parametrize("mode", ["sequence-mean-token-mean", "token-mean"])
def test_refused_modes_are_other_objectives(mode: str) -> None:
    other = path(None, advantage_estimator="rloo", loss_agg_mode=mode)
    assert not audit(other, "mean", sizes=(3, 3)).is_constant
    with pytest.raises(InvalidInputError, match=f"loss_agg_mode='{mode}'.*seq-mean-token-sum"):
        register("max@2", config(loss_agg_mode=mode))


def test_tunix_s_own() -> None:
    found = {
        name: audit(path(None, advantage_estimator=name), "mean", sizes=(3, 3))
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


def test_settings_of_the_agentic_learner() -> None:
    exact = {"advantage_estimator": "pkpo", "loss_agg_mode": "seq-mean-token-sum"}
    changes = {
        "use_rollout_logps": True,
        "degenerate_group_masking": True,
        "sampler_is": "token",
        "overlong_filter": True,
        "filter_statuses": {"timeout"},
    }
    learners = agentic_grpo_learner.GRPOConfig(num_generations=4, use_rollout_logps=False, **exact)
    register("max@2", learners)
    for name, value in changes.items():
        setattr(learners, name, value)
    with pytest.raises(InvalidInputError) as caught:
        register("max@2", learners, accept_bias=["overlong_filter"])
    for name, value in changes.items():
        assert (f"- {name}={value!r}: " in str(caught.value)) == (name != "overlong_filter"), name
