"""Settings under which a TRL trainer would train for something else than its objective:
refusals.toml says which, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn
from transformers import GenerationConfig

from pkpo.errors import refuse

_NO_SAMPLES = "completions would not be samples of the policy whose gradient is taken"
_TABLE = tomllib.loads(Path(__file__).with_name("refusals.toml").read_text(encoding="utf-8"))
_HARMLESS = frozenset(_TABLE["generation"]["harmless"].split())
_NEUTRAL = {
    name: tuple(row["values"])
    for row in _TABLE["generation"]["neutral"]
    for name in row["of"].split()
}
_OTHER_BIASES = {"dropout", "loss"}
"""What `accept_bias` may name besides settings: dropout of the model, and a loss with other
terms than TRL's."""

Rules = Mapping[str, Mapping[str, Any]]
GRPO_RULES: Rules = _TABLE["both"] | _TABLE["grpo"]
RLOO_RULES: Rules = _TABLE["both"] | _TABLE["rloo"]


class Problem(NamedTuple):
    """A setting that is refused, and arguments that settle it where there is one answer."""

    text: str
    change: Mapping[str, Any] = {}


def refuse_settings(
    problems: Collection[Problem], config: str, cause: Exception | None = None, **told: str
) -> None:
    """Raise an error that names all the problems, if there are any, and ends with the arguments
    to change.

    Args:
        config: name of the class that takes the arguments.
        cause: what TRL raised.
        told: `what` of `refuse`.
    """
    lines = [problem.text for problem in problems]
    changes = {name: value for one in problems for name, value in one.change.items()}
    if len(changes) > 1:
        whole = all(problem.change for problem in problems)
        begin = "In one" if whole else "Those with one answer, in one"
        arguments = ", ".join(f"{name}={value!r}" for name, value in changes.items())
        lines[-1] += f"\n{begin}: {config}(..., {arguments})"
    refuse(lines, cause, **told)


def setting_problems(config: Any, rules: Rules, accepted: Collection[str]) -> Iterator[Problem]:
    """Each setting of a GRPOConfig or RLOOConfig that would change the objective and isn't
    accepted, and the names that can't be."""
    given = config.generation_kwargs
    may = {name for name, rule in rules.items() if not rule.get("never")} | _OTHER_BIASES
    generation = {*vars(GenerationConfig()), *_NEUTRAL, *(given or {})}
    if unknown := sorted(set(accepted) - may - generation):
        yield Problem(
            f"accept_bias takes some of {', '.join(sorted(may))} and settings of generation, got "
            f"{unknown}"
        )
    for name, rule in rules.items():
        if name in accepted or not hasattr(config, name):
            continue
        change: dict[str, Any] | None = None
        if not rule:
            rule = _TABLE["vllm_bound"]
            if not _weighs_vllm(config):
                continue
            exact = hasattr(config, "reuse") and not config.mask_truncated_completions
            change = {"reuse": "exact"} if exact else None
        value = getattr(config, name)
        if not _allows(rule, value):
            hint = "" if rule.get("never") else f", or accept_bias=[{name!r}]"
            reason = rule.get("reason", _NO_SAMPLES)
            text = f"{name}={value!r}: {reason}; use {rule['use']}{hint}"
            yield Problem(text, change or {name: _allowed(config, name, rule)})
    yield from _generation_problems(config, accepted)


def _generation_problems(config: Any, accepted: Collection[str]) -> Iterator[Problem]:
    given = config.generation_kwargs if isinstance(config.generation_kwargs, dict) else {}
    refused = [
        name
        for name, value in given.items()
        if name not in accepted and not _is_harmless(name, value, config.temperature)
    ]
    kept = {name: value for name, value in given.items() if name not in refused}
    kept |= {name: _NEUTRAL[name][0] for name in refused if name in _NEUTRAL}
    for name in refused:
        remedy = "leave it out"
        if name == "temperature":
            remedy = "use the config's own temperature, at which TRL takes the gradient"
        elif name in _NEUTRAL:
            remedy = f"use {_NEUTRAL[name][0]!r}"
        text = _refusal(f"generation_kwargs[{name!r}]", name, given[name], remedy)
        yield Problem(text, {"generation_kwargs": kept or None})


def _allowed(config: Any, name: str, rule: Mapping[str, Any]) -> Any:
    """A value that passes; TRL's own default where the rule names none."""
    choices = [*rule.get("values", ()), None, getattr(type(config), name, None)]
    return next(value for value in choices if _allows(rule, value))


def _allows(rule: Mapping[str, Any], value: Any) -> bool:
    if value is None:
        return rule.get("none", False)
    if "above" in rule:
        return value > rule["above"]
    if "at_least" in rule:
        return value >= rule["at_least"]
    if "but" in rule:
        return value != rule["but"]
    return value in rule.get("values", ())


def _weighs_vllm(config: Any) -> bool:
    """Whether the loss has TRL's ratios of the model's probabilities to vLLM's."""
    return (
        config.use_vllm
        and config.vllm_importance_sampling_correction
        and getattr(config, "reuse", "clip") != "exact"
    )


def model_problems(trainer: Any, accepted: Collection[str]) -> Iterator[str]:
    """A line for each thing of a trainer's model that would take the samples, or the gradient,
    away from its policy: settings of its generation_config that TRL leaves as they are, tokens
    that end a completion for transformers alone, and dropout."""
    batching = getattr(trainer.args, "use_transformers_continuous_batching", False)
    if not trainer.use_vllm and not batching:
        yield from _checkpoint_problems(trainer, accepted)
    active = _active_dropout(trainer.model)
    if active and "dropout" not in accepted:
        more = f" and {len(active) - 2} more" if len(active) > 2 else ""
        yield (
            f"dropout in {', '.join(active[:2])}{more}: completions are drawn and the gradient is "
            "taken under different random masks, and a ratio of their probabilities isn't 1 for "
            "an unchanged policy; use disable_dropout=True for layers, load the model with a rate "
            "of 0 for rates such as attention_dropout, or accept_bias=['dropout']"
        )


def _checkpoint_problems(trainer: Any, accepted: Collection[str]) -> Iterator[str]:
    given = {name for name, value in trainer.generation_kwargs.items() if value is not None}
    known = {*vars(GenerationConfig()), *_NEUTRAL} - given - {*accepted}
    for name, value in trainer.model.generation_config.to_dict().items():
        if (
            name in known
            and value is not None
            and not _is_harmless(name, value, trainer.args.temperature)
        ):
            remedy = f"set model.generation_config.{name} = None"
            if name in _NEUTRAL:
                remedy = f"use generation_kwargs={{{name!r}: {_NEUTRAL[name][0]!r}}}"
            yield _refusal(f"the model's generation_config.{name}", name, value, remedy)
    tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
    ends = set(getattr(trainer, "eos_token_ids", None) or [tokenizer.eos_token_id])
    wanted = trainer.generation_kwargs.get("eos_token_id")
    if set(wanted if isinstance(wanted, list | tuple) else [wanted]) != ends:
        yield (
            f"generation_kwargs['eos_token_id']={wanted!r}: TRL takes completions to end at "
            f"{sorted(ends)}, and what follows another end for sampled tokens; set the "
            "tokenizer's eos_token or model.generation_config.eos_token_id"
        )


def _active_dropout(model: nn.Module) -> list[str]:
    """Names of the dropout layers and rates of `model` that act while it trains."""
    return [
        f"{name}.{key}={value}"
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, float)
        and value > 0
        and ("drop" in key or (key == "p" and "Dropout" in type(module).__name__))
    ]


def _is_harmless(name: str, value: object, temperature: float) -> bool:
    if name == "temperature":
        return value == temperature
    if name == "cache_implementation":
        return value != "quantized"
    if value is None and name not in ("do_sample", "top_k"):
        return True
    return name in _HARMLESS or value in _NEUTRAL.get(name, ())


def _refusal(place: str, name: str, value: object, remedy: str) -> str:
    known = name in _NEUTRAL or name in ("temperature", "cache_implementation")
    reason = _NO_SAMPLES if known else f"unless it is known to be harmless, {_NO_SAMPLES}"
    return f"{place}={value!r}: {reason}; {remedy}, or accept_bias=[{name!r}]"
