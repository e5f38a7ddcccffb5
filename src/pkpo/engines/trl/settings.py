"""Which settings of a TRL trainer would change the objective, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkpo.errors import InvalidInputError


@dataclass(frozen=True)
class Rule:
    """A setting that takes the gradient away from the objective.

    Args:
        allowed: whether a value keeps the gradient exact.
        use: the values that do, for the message.
        reason: what the others would do.
        acceptable: whether `accept_bias` may let another value through. It may not where
            the setting acts on advantages that are replaced anyway.
    """

    allowed: Callable[[Any], bool]
    use: str
    reason: str
    acceptable: bool = True


def _is(*values: object) -> Callable[[Any], bool]:
    return lambda value: value in values


_EMPTY = _is(None)

_SAMPLING = {
    "top_p": Rule(
        _is(1.0, None),
        "1.0",
        "completions would not be samples of the policy whose gradient is taken",
    ),
    "top_k": Rule(
        _is(0, -1, None),
        "0",
        "completions would not be samples of the policy whose gradient is taken",
    ),
    "min_p": Rule(
        _is(0.0, None),
        "None",
        "completions would not be samples of the policy whose gradient is taken",
    ),
    "repetition_penalty": Rule(
        _is(1.0, None),
        "1.0",
        "completions would not be samples of the policy whose gradient is taken",
    ),
}

GRPO_RULES: Mapping[str, Rule] = {
    **_SAMPLING,
    "scale_rewards": Rule(
        _is("none", False),
        "'none'",
        "dividing by a standard deviation weights each prompt by its own spread, so that the "
        "sum is the gradient of no objective",
        acceptable=False,
    ),
    "multi_objective_aggregation": Rule(
        _is("sum_then_normalize"),
        "'sum_then_normalize' (rewards are summed with reward_weights, then transformed)",
        "normalising each reward function by itself changes the reward whose best of k is "
        "trained for",
        acceptable=False,
    ),
    "loss_type": Rule(
        _is("dr_grpo"),
        "'dr_grpo' (the sum over tokens times a constant, which is the policy gradient)",
        "the other types weight completions by their length, batches by their token count, or "
        "tokens by something else",
    ),
    "top_entropy_quantile": Rule(
        _is(1.0),
        "1.0",
        "leaving tokens out of the loss leaves terms out of the policy gradient",
    ),
    "off_policy_mask_threshold": Rule(
        _EMPTY,
        "None",
        "completions with negative advantages alone would be dropped",
    ),
}
"""Settings of GRPOConfig."""

RLOO_RULES: Mapping[str, Rule] = {
    **_SAMPLING,
    "beta": Rule(
        _is(0.0),
        "0.0",
        "RLOOTrainer subtracts the KL divergence from the reward, which changes whose best of "
        "k is trained for; GRPO's face adds it to the loss instead",
        acceptable=False,
    ),
    "normalize_advantages": Rule(
        _is(False),
        "False",
        "dividing by the batch's standard deviation makes the step depend on the batch",
        acceptable=False,
    ),
    "reward_clip_range": Rule(
        _EMPTY,
        "None",
        "the best of k of clipped rewards is another objective; clip in the reward function if "
        "it is the one you want",
        acceptable=False,
    ),
}
"""Settings of RLOOConfig."""


def check_rules(args: Any, rules: Mapping[str, Rule], accepted: Sequence[str] = ()) -> None:
    """Refuse the settings of `args` that would change the objective.

    Args:
        args: a GRPOConfig or RLOOConfig; settings that its version of TRL lacks are skipped.
        rules: by setting.
        accepted: settings whose bias the user takes on knowingly.

    Raises:
        InvalidInputError: one line for each such setting; or `accepted` names one that
            can't be accepted.
    """
    may = sorted(name for name, rule in rules.items() if rule.acceptable)
    if unknown := sorted(set(accepted) - set(may)):
        raise InvalidInputError(f"accept_bias takes some of {', '.join(may)}, got {unknown}")
    extra = getattr(args, "generation_kwargs", None) or {}
    problems = []
    for name, rule in rules.items():
        for place, value in (
            (name, getattr(args, name, ...)),
            (f"generation_kwargs[{name!r}]", extra.get(name, ...)),
        ):
            if value is ... or name in accepted or rule.allowed(value):
                continue
            hint = f", or accept_bias=[{name!r}]" if rule.acceptable else ""
            problems.append(f"{place}={value!r}: {rule.reason}; use {rule.use}{hint}")
    if problems:
        raise InvalidInputError(
            "settings that would change the objective:\n- " + "\n- ".join(problems)
        )
