"""Settings under which a TRL trainer would train for something else than its objective:
refusals.toml says which, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from transformers import GenerationConfig

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


def setting_problems(config: Any, rules: Rules, accepted: Collection[str]) -> Iterator[str]:
    """A line for each setting of a GRPOConfig or RLOOConfig that would change the objective
    and isn't accepted, and one for names that can't be."""
    given = config.generation_kwargs
    may = {name for name, rule in rules.items() if not rule.get("never")} | _OTHER_BIASES
    generation = {*vars(GenerationConfig()), *_NEUTRAL, *(given or {})}
    if unknown := sorted(set(accepted) - may - generation):
        yield (
            f"accept_bias takes some of {', '.join(sorted(may))} and settings of generation, got "
            f"{unknown}"
        )
    for name, rule in rules.items():
        if name in accepted or not hasattr(config, name):
            continue
        if not rule:
            rule = _TABLE["vllm_bound"]
            if not _weighs_vllm(config):
                continue
        value = getattr(config, name)
        if not _allows(rule, value):
            hint = "" if rule.get("never") else f", or accept_bias=[{name!r}]"
            reason = rule.get("reason", _NO_SAMPLES)
            yield f"{name}={value!r}: {reason}; use {rule['use']}{hint}"
    for name, value in (given if isinstance(given, dict) else {}).items():
        if name in accepted or _is_harmless(name, value, config.temperature):
            continue
        remedy = "leave it out"
        if name == "temperature":
            remedy = "use the config's own temperature, at which TRL takes the gradient"
        elif name in _NEUTRAL:
            remedy = f"use {_NEUTRAL[name][0]!r}"
        yield _refusal(f"generation_kwargs[{name!r}]", name, value, remedy)


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
