"""Which settings of a TRL trainer would change the objective, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pkpo.engines.trl.sampling import NOT_OF_THE_POLICY, generation_names, kwargs_problems
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
        applies: whether the setting acts at all, given the config.
    """

    allowed: Callable[[Any], bool]
    use: str
    reason: str
    acceptable: bool = True
    applies: Callable[[Any], bool] = lambda args: True


def _is(*values: object) -> Callable[[Any], bool]:
    return lambda value: value in values


_EMPTY = _is(None)

OTHER_BIASES = frozenset({"dropout", "loss"})
"""What `accept_bias` may name besides settings: dropout of the model, and a loss with other
terms than TRL's."""


def _weighs_vllm(args: Any) -> bool:
    return (
        args.use_vllm
        and args.vllm_importance_sampling_correction
        and getattr(args, "reuse", "clip") != "exact"
    )


_VLLM_BOUND = Rule(
    _EMPTY,
    "None where TRL has it (every ratio counts), or reuse='exact' (the weights of whole groups)",
    "TRL weights a completion by its probability under the model over that under vLLM, and gives "
    "those beyond this bound 0 (the *_mask modes, its default) or the bound: the gradient loses "
    "what the policy finds more often than vLLM does",
    applies=_weighs_vllm,
)

_SHARED = {
    "temperature": Rule(
        lambda value: value > 0,
        "a positive one (TRL differentiates the policy at that temperature)",
        "the likeliest completion isn't a sample",
    ),
    "top_p": Rule(_is(1.0, None), "1.0", NOT_OF_THE_POLICY),
    "top_k": Rule(
        _is(0, -1), "0 (None stands for transformers' own default, 50)", NOT_OF_THE_POLICY
    ),
    "min_p": Rule(_is(0.0, None), "None", NOT_OF_THE_POLICY),
    "repetition_penalty": Rule(_is(1.0, None), "1.0", NOT_OF_THE_POLICY),
    "vllm_structured_outputs_regex": Rule(_EMPTY, "None", NOT_OF_THE_POLICY),
    "cache_implementation": Rule(
        lambda value: value != "quantized", "another cache", NOT_OF_THE_POLICY
    ),
    "epsilon": Rule(
        lambda value: value > 0,
        "a positive one",
        "clipping at a ratio of 1 drops terms of the gradient of unchanged policies too",
    ),
}

GRPO_RULES: Mapping[str, Rule] = {
    **_SHARED,
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
    "delta": Rule(
        lambda value: value is None or value >= 1,
        "None, or a number above 1",
        "completions with positive advantages alone would be dropped",
    ),
    "vllm_importance_sampling_clip_max": _VLLM_BOUND,
    "vllm_importance_sampling_clip_min": _VLLM_BOUND,
    # TRL before clip_max; deprecated, and None, where that exists.
    "vllm_importance_sampling_cap": _VLLM_BOUND,
}
"""Settings of GRPOConfig."""

RLOO_RULES: Mapping[str, Rule] = {
    **_SHARED,
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


def setting_problems(
    args: Any, rules: Mapping[str, Rule], accepted: Collection[str] = ()
) -> list[str]:
    """A line for each setting of `args` that would change the objective.

    Args:
        args: a GRPOConfig or RLOOConfig; settings that its version of TRL lacks are skipped.
        rules: by setting.
        accepted: settings whose bias the user takes on knowingly.
    """
    problems = []
    for name, rule in rules.items():
        value = getattr(args, name, ...)
        if value is ... or name in accepted or not rule.applies(args) or rule.allowed(value):
            continue
        hint = f", or accept_bias=[{name!r}]" if rule.acceptable else ""
        problems.append(f"{name}={value!r}: {rule.reason}; use {rule.use}{hint}")
    return problems + kwargs_problems(args, accepted)


def bad_acceptance(args: Any, rules: Mapping[str, Rule], accepted: Collection[str]) -> list[str]:
    """What is wrong with `accepted`: names that aren't among the settings of `rules` that may
    be accepted, those of generation, and `OTHER_BIASES`."""
    may = {name for name, rule in rules.items() if rule.acceptable} | OTHER_BIASES
    if unknown := sorted(set(accepted) - may - generation_names(args)):
        return [
            f"accept_bias takes some of {', '.join(sorted(may))} and settings of generation, got "
            f"{unknown}"
        ]
    return []


def refuse(problems: list[str], error: Exception | None = None) -> None:
    """
    Raises:
        InvalidInputError: there are problems; it names all of them.
    """
    if problems:
        raise InvalidInputError(
            "settings that would fail or change the objective:\n- " + "\n- ".join(problems)
        ) from error
