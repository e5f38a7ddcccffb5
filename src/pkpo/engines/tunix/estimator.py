"""Tunix's advantage estimators for objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tunix.rl.function_registry import default_registry, register_advantage_estimator

from pkpo.core.transforms import advantages
from pkpo.core.weights import Baseline
from pkpo.engines.groups import checked_schedule
from pkpo.engines.hooks import Hook
from pkpo.errors import InvalidInputError

HOOK = Hook("tunix", "register", "{}={}")

Estimator = Callable[..., Any]


def register(
    objective: Any,
    config: Any,
    *,
    baseline: Baseline = "loo_minus_one",
    step: Callable[[], int] | None = None,
    accept_bias: Sequence[str] = (),
) -> Estimator:
    """Make an objective what a learner's `advantage_estimator` stands for.

    Args:
        objective: an objective or a schedule, as `pkpo.plan` takes them.
        config: the learner's GRPOConfig, whose `advantage_estimator` is a name of your own, such
            as "pkpo".
        baseline: see `pkpo.advantages`.
        step: gives the step, 0, 1, ..., for a schedule; Tunix doesn't tell an estimator.
        accept_bias: settings that refusals.toml names and that are to pass.

    Returns:
        The estimator: rewards (P * n,), a prompt's n beside each other, and `num_generations` ->
        advantages of the same library, n times those of `pkpo.advantages`, since Tunix's loss
        averages over completions. JAX arrays may be traced.

    Raises:
        InvalidInputError: settings of `config` that would fail or change the objective.
        UndefinedEstimateError: `num_generations` is too small for what is trained for at some step.

    >>> config = GRPOConfig(  # doctest: +SKIP
    ...     advantage_estimator="pkpo", loss_agg_mode="seq-mean-token-sum", num_generations=16
    ... )
    >>> register("max@8", config)  # doctest: +SKIP
    >>> GRPOLearner(cluster, config, reward_fns=reward).train(prompts)  # doctest: +SKIP
    """
    schedule = checked_schedule(
        objective, baseline, engine="Tunix", num_generations=config.num_generations
    )
    if step is None and schedule.kind != "constant":
        raise InvalidInputError(f"{schedule} depends on the step: give step=")
    name, category = config.advantage_estimator, "advantage_estimator"
    known = default_registry.list_functions(category)
    other = name in known and default_registry.get(category, name).__module__ != __name__
    taken = f"advantage_estimator={name!r} is Tunix's own: take another name"
    HOOK.check(config, accept_bias, [taken] if other else [])

    @register_advantage_estimator(name)
    def estimator(rewards: Any, num_generations: int) -> Any:
        found = advantages(
            rewards.reshape(-1, num_generations),
            schedule(step() if step else 0),
            baseline=baseline,
            reduction="mean",
        )
        return found.reshape(-1)

    return estimator
