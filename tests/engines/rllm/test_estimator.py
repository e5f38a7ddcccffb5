"""rLLM's trajectory groups and what its steps get, by enumeration."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rllm
from omegaconf import OmegaConf
from rllm.trainer.algorithms.advantage import collect_reward_and_advantage_from_trajectory_groups
from rllm.trainer.algorithms.config import AlgorithmConfig
from rllm.types import Step, Trajectory, TrajectoryGroup

import oracles
from pkpo.engines.audit import audit
from pkpo.engines.rllm import register
from pkpo.engines.rllm.audit import path, paths
from pkpo.errors import InvalidInputError, UndefinedEstimateError

EXAMPLE = Path(__file__).parents[3] / "examples" / "rllm" / "train.py"
REWARDS = {"a": [0, 1, 1, 3], "b": [2, 0, 5], "c": [1, 1, 0, 4, 2]}


def config(**changes: Any) -> Any:
    """Places of changes have __ for dots."""
    made = OmegaConf.create({"rllm": {"rollout": {"n": 4}, "algorithm": {"loss_agg_mode": None}}})
    for place, value in changes.items():
        OmegaConf.update(made, place.replace("__", "."), value, force_add=True)
    return made


def found(estimators: dict[str, str], step: int | None = None) -> dict[str, list[float]]:
    """By rLLM's own function; trajectories have one step and more, which get the same."""
    groups = [
        TrajectoryGroup(
            trajectories=[
                Trajectory(name="solver", reward=float(r), steps=[Step() for _ in range(1 + i % 3)])
                for i, r in enumerate(rewards)
            ],
            group_id=f"{name}:solver",
        )
        for name, rewards in REWARDS.items()
    ]
    given = AlgorithmConfig(estimator_map=estimators)
    if step is None:
        collect_reward_and_advantage_from_trajectory_groups(groups, given)
    else:
        compute_advantages(SimpleNamespace(global_step=step), groups, given)
    of_steps = {
        group.task_id: [{step.advantage for step in t.steps} for t in group.trajectories]
        for group in groups
    }
    assert all(len(values) == 1 for row in of_steps.values() for values in row)
    return {name: [values.pop() for values in row] for name, row in of_steps.items()}


def compute_advantages(trainer_state: Any, groups: Any, algorithm_config: Any) -> None:
    """As the backends' method of that name: rllm at 9beb6e0, trainer/backend_protocol.py, 149."""
    collect_reward_and_advantage_from_trajectory_groups(groups, algorithm_config)


def expected(kernel: Any, baseline: str = "loo_minus_one") -> dict[str, list[float]]:
    return {
        name: [float(a) for a in oracles.advantages(list(map(Fraction, rewards)), kernel, baseline)]
        for name, rewards in REWARDS.items()
    }


def assert_close(one: dict[str, list[float]], other: dict[str, list[float]]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], atol=1e-12)


@pytest.mark.parametrize("baseline", oracles.BASELINES)
def test_groups_of_any_size(baseline: Any) -> None:
    estimators = register("max@2", config(), role="solver", baseline=baseline)
    assert_close(found(estimators), expected(oracles.maximum(2), baseline))


def test_verl_divides_by_rollouts() -> None:
    verl = config(actor_rollout_ref__actor__loss_agg_mode="seq-mean-token-sum")
    times_n = found(register("mean", verl, role="solver"))
    wanted = {name: [4 * a for a in row] for name, row in expected(oracles.mean()).items()}
    assert_close(times_n, wanted)


def test_schedules_follow_the_trainers_step() -> None:
    estimators = register("max@2->mean@5", config(), role="solver")
    assert_close(found(estimators, step=5), expected(oracles.maximum(2)))
    assert_close(found(estimators, step=6), expected(oracles.mean()))
    with pytest.raises(InvalidInputError, match="depends on the step"):
        found(estimators)


def test_groups_too_small() -> None:
    estimators = register("max@4", config(), role="solver")
    with pytest.raises(UndefinedEstimateError, match="has 3 samples"):
        found(estimators)
    estimators = register("max@4", config(), role="solver", small_groups="zero")
    assert found(estimators)["b"] == [0.0, 0.0, 0.0]
    with pytest.raises(UndefinedEstimateError, match=r"rllm.rollout.n >= 8, got 4"):
        register("max@8", config(), role="solver")


REFUSED = {
    "rllm__algorithm__loss_agg_mode": "token-mean",
    "rllm__algorithm__loss_fn": "cross_entropy",
    "rllm__algorithm__use_precomputed_advantage": True,
    "rllm__algorithm__rollout_correction__tis_mode": "token",
    "rllm__algorithm__rollout_correction__bypass_mode": True,
    "rllm__mask_truncated_samples": True,
    "rllm__compact_filtering__enable": True,
    "rllm__rejection_sample__enable": True,
    "rllm__rejection_sample__mode": "episode",
    "rllm__rejection_sample__filter_uniform_groups": True,
    "rllm__rollout__train__top_p": 0.9,
    "rllm__rollout__train__top_k": 20,
    "rllm__rollout__train__temperature": 0.7,
    "rllm__rollout__train__min_p": 0.1,
    "rllm__rollout__train__repetition_penalty": 1.1,
    "rllm__rollout__train__presence_penalty": 0.5,
    "rllm__rollout__train__frequency_penalty": 0.5,
    "actor_rollout_ref__actor__policy_loss__loss_mode": "geo_mean",
    "algorithm__rollout_correction__rollout_is": "token",
    "algorithm__rollout_correction__bypass_mode": True,
    "actor_rollout_ref__rollout__top_p": 0.9,
    "actor_rollout_ref__rollout__top_k": 20,
    "actor_rollout_ref__rollout__n": 16,
}


def test_what_is_refused_is_named_together() -> None:
    with pytest.raises(InvalidInputError) as caught:
        register("max@2", config(**REFUSED), role="solver", accept_bias=["rejection_sample.enable"])
    for name in REFUSED:
        refused = name != "rllm__rejection_sample__enable"
        assert (f"- {name.replace('__', '.')}=" in str(caught.value)) == refused, name


def test_verls_own_reduction() -> None:
    verl = config(actor_rollout_ref__actor__loss_agg_mode="token-mean")
    with pytest.raises(
        InvalidInputError, match=r"actor_rollout_ref\.actor\.loss_agg_mode='token-me"
    ):
        register("max@2", verl, role="solver")
    register("max@2", verl, role="solver", accept_bias=["loss_agg_mode"])
    verl.rllm.algorithm.loss_agg_mode = "seq-mean-token-sum"
    register("max@2", verl, role="solver")
    tempered = config(rllm__backend="verl", rllm__rollout__train__temperature=0.7)
    register("max@2", tempered, role="solver")  # verl's loss is of logits over that
    verl.merge_with_dotlist(["actor_rollout_ref.rollout.top_p=0.9"])
    register("max@2", verl, role="solver", accept_bias=["top_p"])


@pytest.mark.parametrize("sizes", [(3, 3), (3, 4)])
def test_max_at_2(sizes: Any) -> None:
    (of_tinker,) = paths("max@2").values()
    assert audit(of_tinker, "max@2", sizes=sizes).verdict == "exact up to a constant factor 2"


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_estimators_of_rllm(name: str) -> None:
    own = audit(path(None, estimator=name), "mean", sizes=(2, 2))
    assert own.is_constant == (name == "rloo")


@pytest.mark.parametrize("backend", ["tinker", "verl", "fireworks"])
def test_the_settings_of_the_example(backend: str) -> None:
    """examples/rllm/train.py, on rLLM's own defaults; verl's are elsewhere."""
    folder = Path(rllm.__file__).parent / "trainer" / "config" / "rllm"
    common = OmegaConf.create({"rllm": OmegaConf.load(folder / "base.yaml")})
    made = OmegaConf.merge(common, OmegaConf.load(folder / "backend" / f"{backend}.yaml"))
    assert made.rllm.backend == backend
    settings = ["rllm.rollout.n=16", "training.group_size=16", "rllm.rollout.train.temperature=1.0"]
    settings.append("rllm.rollout.n_val=16")
    assert all(setting in EXAMPLE.read_text() for setting in settings)
    assert 'role="math"' in EXAMPLE.read_text()
    made.merge_with_dotlist(settings)
    assert (made.rllm.rollout.n_val, made.rllm.rollout.val.temperature) == (16, 1.0)
    if backend == "verl":
        made.actor_rollout_ref.actor.loss_agg_mode = "token-mean"
        made.rllm.algorithm.loss_agg_mode = "seq-mean-token-sum"
    assert register("8->1@150", made, role="math") == {"math": "pkpo for math"}
    made.rllm.algorithm.rollout_correction.bypass_mode = True
    if backend != "tinker":  # which has it so, and doesn't read it
        with pytest.raises(InvalidInputError, match="bypass_mode=True: takes ratios"):
            register("8->1@150", made, role="math")
