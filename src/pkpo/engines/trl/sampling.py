"""What leaves a completion a sample of the policy that is differentiated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn
from transformers import GenerationConfig

NOT_OF_THE_POLICY = "completions would not be samples of the policy whose gradient is taken"

# fmt: off
_ANY_VALUE = frozenset((
    # How long, how fast, with which cache, and what is returned besides.
    "max_new_tokens", "max_length", "max_tokens", "use_cache", "max_cache_len", "cache_config",
    "prefill_chunk_size", "compile_config", "disable_compile", "low_memory",
    "continuous_batching_config", "output_attentions", "output_hidden_states", "output_scores",
    "output_logits", "renormalize_logits",
    # Ends other than TRL's are refused once the tokenizer is known.
    "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id",
    # Act on beams, or on an assistant, which TRL never passes.
    "length_penalty", "early_stopping", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind",
    "max_matching_ngram_size", "speculation_type",
    # vLLM's: of text, which TRL doesn't read, and ends, which the completion's tokens contain.
    "detokenize", "skip_special_tokens", "spaces_between_special_tokens", "stop",
    "stop_token_ids", "include_stop_str_in_output",
    "transformers_version", "_from_model_config",
))
# fmt: on

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "do_sample": (True,),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences", "n", "best_of"), (1,)),
    **dict.fromkeys(("top_p", "typical_p", "repetition_penalty", "guidance_scale"), (1.0,)),
    "encoder_repetition_penalty": (1.0,),
    "top_k": (0, -1),
    **dict.fromkeys(("min_p", "epsilon_cutoff", "eta_cutoff", "diversity_penalty"), (0.0,)),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "no_repeat_ngram_size"), (0,)),
    **dict.fromkeys(("encoder_no_repeat_ngram_size", "min_length", "min_tokens"), (0,)),
    **dict.fromkeys(("min_new_tokens", "penalty_alpha"), (0,)),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens", "bad_words"), ([],)),
    **dict.fromkeys(("use_mtp", "is_assistant", "token_healing", "ignore_eos"), (False,)),
    **dict.fromkeys(("remove_invalid_values", "return_dict_in_generate"), (False,)),
}


def _harmless(name: str, value: object, temperature: float) -> bool:
    if name in _ANY_VALUE:
        return True
    if name == "temperature":
        return value == temperature
    if name == "cache_implementation":
        return value != "quantized"
    if value is None:
        # Of these, transformers' own defaults are no samples either.
        return name not in ("do_sample", "top_k")
    return value in _NEUTRAL.get(name, ())


def _line(place: str, name: str, value: object, remedy: str) -> str:
    known = name in _NEUTRAL or name in ("temperature", "cache_implementation")
    reason = (
        NOT_OF_THE_POLICY if known else f"unless it is known to be harmless, {NOT_OF_THE_POLICY}"
    )
    return f"{place}={value!r}: {reason}; {remedy}, or accept_bias=[{name!r}]"


def generation_names(args: Any) -> set[str]:
    """Settings of generation that transformers knows or `args` gives."""
    return {*vars(GenerationConfig()), *_NEUTRAL, *(args.generation_kwargs or {})}


def kwargs_problems(args: Any, accepted: Collection[str]) -> list[str]:
    """A line for each entry of `generation_kwargs` that isn't known to be harmless."""
    given, problems = args.generation_kwargs, []
    for name, value in (given if isinstance(given, dict) else {}).items():
        if name in accepted or _harmless(name, value, args.temperature):
            continue
        remedy = "leave it out"
        if name == "temperature":
            remedy = "use the config's own temperature, at which TRL takes the gradient"
        elif name in _NEUTRAL:
            remedy = f"use {_NEUTRAL[name][0]!r}"
        problems.append(_line(f"generation_kwargs[{name!r}]", name, value, remedy))
    return problems


def model_problems(trainer: Any, accepted: Collection[str]) -> list[str]:
    """A line for each thing of a trainer's model that would take the samples, or the gradient,
    away from its policy: settings of its generation_config that TRL leaves as they are, tokens
    that end a completion for transformers alone, and dropout."""
    problems = []
    if not trainer.use_vllm and not getattr(
        trainer.args, "use_transformers_continuous_batching", False
    ):
        problems += _generation_problems(trainer, accepted)
    active = active_dropout(trainer.model)
    if active and "dropout" not in accepted:
        problems.append(
            f"dropout in {_some(active)}: completions are drawn and the gradient is taken under "
            "different random masks, and a ratio of their probabilities isn't 1 for an unchanged "
            "policy; use disable_dropout=True for layers, load the model with a rate of 0 for "
            "rates such as attention_dropout, or accept_bias=['dropout']"
        )
    return problems


def _generation_problems(trainer: Any, accepted: Collection[str]) -> list[str]:
    given = {name for name, value in trainer.generation_kwargs.items() if value is not None}
    known, problems = vars(GenerationConfig()), []
    for name, value in trainer.model.generation_config.to_dict().items():
        if name in given or name in accepted or (name not in known and name not in _NEUTRAL):
            continue
        if value is not None and not _harmless(name, value, trainer.args.temperature):
            remedy = f"set model.generation_config.{name} = None"
            if name in _NEUTRAL:
                remedy = f"use generation_kwargs={{{name!r}: {_NEUTRAL[name][0]!r}}}"
            problems.append(_line(f"the model's generation_config.{name}", name, value, remedy))
    tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
    ends = set(getattr(trainer, "eos_token_ids", None) or [tokenizer.eos_token_id])
    wanted = trainer.generation_kwargs.get("eos_token_id")
    if set(wanted if isinstance(wanted, list | tuple) else [wanted]) != ends:
        problems.append(
            f"generation_kwargs['eos_token_id']={wanted!r}: TRL takes completions to end at "
            f"{sorted(ends)}, and what follows another end for sampled tokens; set the "
            "tokenizer's eos_token or model.generation_config.eos_token_id"
        )
    return problems


def active_dropout(model: nn.Module) -> list[str]:
    """Names of the dropout layers and rates of `model` that act while it trains."""
    return [
        f"{name}.{key}={value}"
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, float)
        and value > 0
        and ("drop" in key or (key == "p" and "Dropout" in type(module).__name__))
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
