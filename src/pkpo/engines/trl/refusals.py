"""Settings under which a TRL trainer would train for something else than its objective."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from torch import nn
from transformers import GenerationConfig

from pkpo.errors import InvalidInputError

_NO_SAMPLES = "completions would not be samples of the policy whose gradient is taken"


class Rule(NamedTuple):
    """What a field of a trainer's config must be.

    Args:
        allowed: (value, config) -> whether the gradient stays that of the objective.
        use: what to use, for the message.
        reason: what other values would do.
        acceptable: whether `accept_bias` may let another value through. It may not where the
            setting acts on advantages that are replaced anyway.
    """

    allowed: Callable[[Any, Any], bool]
    use: str
    reason: str
    acceptable: bool = True


def _is(*values: object) -> Callable[[Any, Any], bool]:
    return lambda value, config: value in values


def _positive(value: Any, config: Any) -> bool:
    return value > 0


def _unbounded(value: Any, config: Any) -> bool:
    """Whether TRL's ratios of vLLM's probabilities are whole, or not used."""
    own_ratios = config.use_vllm and config.vllm_importance_sampling_correction
    return value is None or not own_ratios or getattr(config, "reuse", "clip") == "exact"


_VLLM_BOUND = Rule(
    _unbounded,
    "None where TRL has it (every ratio counts), or reuse='exact' (the weights of whole groups)",
    "TRL weights a completion by its probability under the model over that under vLLM, and gives "
    "those beyond this bound 0 (the *_mask modes, its default) or the bound: the gradient loses "
    "what the policy finds more often than vLLM does",
)

_OF_BOTH: Mapping[str, Rule] = {
    "temperature": Rule(
        _positive,
        "a positive one (TRL differentiates the policy at that temperature)",
        "the likeliest completion isn't a sample",
    ),
    "top_p": Rule(_is(1.0, None), "1.0", _NO_SAMPLES),
    "top_k": Rule(_is(0, -1), "0 (None stands for transformers' own default, 50)", _NO_SAMPLES),
    "min_p": Rule(_is(0.0, None), "None", _NO_SAMPLES),
    "repetition_penalty": Rule(_is(1.0, None), "1.0", _NO_SAMPLES),
    "vllm_structured_outputs_regex": Rule(_is(None), "None", _NO_SAMPLES),
    "cache_implementation": Rule(
        lambda value, config: value != "quantized", "another cache", _NO_SAMPLES
    ),
    "epsilon": Rule(
        _positive,
        "a positive one",
        "clipping at a ratio of 1 drops terms of the gradient of unchanged policies too",
    ),
}

GRPO_RULES: Mapping[str, Rule] = {
    **_OF_BOTH,
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
        _is(1.0), "1.0", "leaving tokens out of the loss leaves terms out of the policy gradient"
    ),
    "off_policy_mask_threshold": Rule(
        _is(None), "None", "completions with negative advantages alone would be dropped"
    ),
    "delta": Rule(
        lambda value, config: value is None or value >= 1,
        "None, or a number above 1",
        "completions with positive advantages alone would be dropped",
    ),
    "vllm_importance_sampling_clip_max": _VLLM_BOUND,
    "vllm_importance_sampling_clip_min": _VLLM_BOUND,
    # TRL before clip_max; deprecated, and None, where that exists.
    "vllm_importance_sampling_cap": _VLLM_BOUND,
}
"""Of GRPOConfig's fields; those that a version of TRL lacks are passed over."""

RLOO_RULES: Mapping[str, Rule] = {
    **_OF_BOTH,
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
        _is(None),
        "None",
        "the best of k of clipped rewards is another objective; clip in the reward function if "
        "it is the one you want",
        acceptable=False,
    ),
}
"""Of RLOOConfig's fields."""

_OTHER_BIASES = {"dropout", "loss"}
"""What `accept_bias` may name besides settings: dropout of the model, and a loss with other
terms than TRL's."""

_HARMLESS = """
    max_new_tokens max_length max_tokens use_cache max_cache_len cache_config prefill_chunk_size
    compile_config disable_compile low_memory continuous_batching_config output_attentions
    output_hidden_states output_scores output_logits renormalize_logits
    pad_token_id bos_token_id eos_token_id decoder_start_token_id
    length_penalty early_stopping num_assistant_tokens num_assistant_tokens_schedule
    assistant_confidence_threshold assistant_lookbehind target_lookbehind
    max_matching_ngram_size speculation_type
    detokenize skip_special_tokens spaces_between_special_tokens stop stop_token_ids
    include_stop_str_in_output transformers_version _from_model_config
"""
"""Settings of generation that change no probability: how long, how fast, with which cache, and
what is returned besides; ends, of which others than TRL's are refused once the tokenizer is
known; what acts on beams, or on an assistant, which TRL never passes; vLLM's of text, which TRL
doesn't read, and of ends, which the completion's tokens contain."""

_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    name: values
    for values, names in (
        ((True,), "do_sample"),
        ((1,), "num_beams num_beam_groups num_return_sequences n best_of"),
        ((1.0,), "top_p typical_p repetition_penalty guidance_scale encoder_repetition_penalty"),
        ((0, -1), "top_k"),
        ((0.0,), "min_p epsilon_cutoff eta_cutoff diversity_penalty"),
        ((0,), "presence_penalty frequency_penalty no_repeat_ngram_size penalty_alpha"),
        ((0,), "encoder_no_repeat_ngram_size min_length min_tokens min_new_tokens"),
        (([],), "suppress_tokens begin_suppress_tokens bad_words"),
        ((False,), "use_mtp is_assistant token_healing ignore_eos remove_invalid_values"),
        ((False,), "return_dict_in_generate"),
    )
    for name in names.split()
}
"""Values of others that change none, the best first. So does None, but for do_sample and top_k,
where transformers' own defaults are no samples either."""


def refuse(problems: Collection[str], cause: Exception | None = None) -> None:
    """
    Raises:
        InvalidInputError: there are problems; it names all of them.
    """
    if problems:
        raise InvalidInputError(
            "settings that would fail or change the objective:\n- " + "\n- ".join(problems)
        ) from cause


def setting_problems(
    config: Any, rules: Mapping[str, Rule], accepted: Collection[str]
) -> Iterator[str]:
    """A line for each setting of `config` that would change the objective.

    Args:
        config: a GRPOConfig or RLOOConfig.
        rules: by field.
        accepted: settings whose bias the user takes on knowingly; a line too for names that
            are no settings which may be accepted.
    """
    may = {name for name, rule in rules.items() if rule.acceptable} | _OTHER_BIASES
    given = config.generation_kwargs
    generation = {*vars(GenerationConfig()), *_NEUTRAL, *(given or {})}
    if unknown := sorted(set(accepted) - may - generation):
        yield (
            f"accept_bias takes some of {', '.join(sorted(may))} and settings of generation, got "
            f"{unknown}"
        )
    for name, rule in rules.items():
        if name in accepted or not hasattr(config, name):
            continue
        value = getattr(config, name)
        if not rule.allowed(value, config):
            hint = f", or accept_bias=[{name!r}]" if rule.acceptable else ""
            yield f"{name}={value!r}: {rule.reason}; use {rule.use}{hint}"
    for name, value in (given if isinstance(given, dict) else {}).items():
        if name in accepted or _is_harmless(name, value, config.temperature):
            continue
        remedy = "leave it out"
        if name == "temperature":
            remedy = "use the config's own temperature, at which TRL takes the gradient"
        elif name in _NEUTRAL:
            remedy = f"use {_NEUTRAL[name][0]!r}"
        yield _refusal(f"generation_kwargs[{name!r}]", name, value, remedy)


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
    return name in _HARMLESS.split() or value in _NEUTRAL.get(name, ())


def _refusal(place: str, name: str, value: object, remedy: str) -> str:
    known = name in _NEUTRAL or name in ("temperature", "cache_implementation")
    reason = _NO_SAMPLES if known else f"unless it is known to be harmless, {_NO_SAMPLES}"
    return f"{place}={value!r}: {reason}; {remedy}, or accept_bias=[{name!r}]"
