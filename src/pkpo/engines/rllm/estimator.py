"""rLLM's advantage estimators for objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rllm.trainer.algorithms.advantage import register_rllm_adv_estimator

from pkpo.core.gapform import SmallGroups
from pkpo.core.weights import Baseline
from pkpo.engines import groups
from pkpo.engines.hooks import Hook, calling_frames, value_at

HOOK = Hook("rllm", "register", "{}={}")
_MODE = "actor_rollout_ref.actor.loss_agg_mode"
_N, _VERLS_N = "rllm.rollout.n", "actor_rollout_ref.rollout.n"


def register(
    objective: Any,
    config: Any,
    *,
    role: str,
    baseline: Baseline = "loo_minus_one",
    small_groups: SmallGroups = "raise",
    accept_bias: Sequence[str] = (),
) -> dict[str, str]:
    """Make an objective what a role's trajectories are trained for.

    rLLM turns an unknown `rllm.algorithm.adv_estimator` into "other", so the name goes through
    the trainer's map: `AgentTrainer(..., traj_group_adv_estimator_map=register(...))`, for several
    roles the union of several.

    Args:
        objective: an objective or a schedule, as `pkpo.plan` takes them.
        config: the DictConfig that `AgentTrainer` gets.
        role: of the trajectory groups, which is the name of their trajectories.
        baseline, small_groups: see `pkpo.engines.groups.advantages`.
        accept_bias: settings that refusals.toml names and that are to pass, by their last names.

    Returns:
        The role and the estimator's name. Its advantages are those of `pkpo.advantages`, and with
        verl, whose loss divides by rollouts, `rllm.rollout.n` times these.

    Raises:
        InvalidInputError: settings of `config` that would fail or change the objective.
        UndefinedEstimateError: `rllm.rollout.n` is too small.
    """
    HOOK.check(config, accept_bias, _verl_problems(config, accept_bias))
    n = value_at(config, _N)
    schedule = groups.checked_schedule(
        objective,
        baseline,
        engine="rLLM",
        num_generations=n if small_groups == "raise" else None,
        setting=_N,
    )
    name = f"pkpo for {role}"
    factor = n if value_at(config, "actor_rollout_ref") is not None else 1

    @register_rllm_adv_estimator(name)
    def estimator(
        rewards: list[np.ndarray], algorithm_config: Any, **others: Any
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        if not rewards:
            return [], []
        sizes = [len(of_group) for of_group in rewards]
        found = groups.advantages(
            np.concatenate(rewards).astype(float),
            np.repeat(np.arange(len(sizes)), sizes),
            schedule,
            step=_step(),
            baseline=baseline,
            small_groups=small_groups,
        )
        by_group = np.split(factor * found, np.cumsum(sizes)[:-1])
        return by_group, by_group

    return {role: name}


def _verl_problems(config: Any, accepted: Sequence[str]) -> Iterator[str]:
    """Of verl's own settings, which rLLM takes where its own are null, or not typed."""
    own, verls = value_at(config, "rllm.algorithm.loss_agg_mode"), value_at(config, _MODE)
    rule = HOOK.rules["rllm.algorithm.loss_agg_mode"]
    wrong = own is None and verls is not None and verls not in rule["values"]
    if wrong and "loss_agg_mode" not in accepted:
        yield f"{_MODE}={verls!r}: {rule['reason']}; use {rule['use']}"
    n, verls = value_at(config, _N), value_at(config, _VERLS_N)
    if verls not in (None, 1, n):  # 1 is verl's default, which rLLM's comes over
        yield f"{_VERLS_N}={verls}, and {_N}={n}: set the latter alone"


def _step() -> int | None:
    """The trainer's, 0, 1, ..., from the state that its backend's method has; None where groups
    come one by one, as in asynchronous training."""
    for frame in calling_frames():
        step = getattr(frame.f_locals.get("trainer_state"), "global_step", None)
        if step is not None:
            return step - 1
    return None
