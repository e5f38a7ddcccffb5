"""Checkpoints in the transformers format: config, safetensors weights and tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import tokenizers
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import decoders, models, pre_tokenizers

from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.errors import InvalidInputError

_TIED = "lm_head.weight"


def _llama_config(config: PolicyConfig, *, eos_id: int, pad_id: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "max_position_embeddings": config.max_positions,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "torch_dtype": "float32",
    }


def make_tokenizer(tokens: tuple[str, ...], special: tuple[str, ...]) -> tokenizers.Tokenizer:
    """A tokenizer that reads text as the concatenation of `tokens`, longest match first."""
    tokenizer = tokenizers.Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}))
    alternatives = "|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(alternatives), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def save_pretrained(
    policy: Policy,
    directory: Path,
    *,
    tokens: tuple[str, ...],
    special: tuple[str, ...],
    eos_id: int,
    pad_id: int,
) -> None:
    """Write a checkpoint that `AutoModelForCausalLM` and `AutoTokenizer` load.

    Args:
        policy: the policy; its logits are those of the loaded model.
        directory: made if missing.
        tokens: the vocabulary in id order.
        special: those of `tokens` that are no text (padding, end, ...).
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = _llama_config(policy.config, eos_id=eos_id, pad_id=pad_id)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    generation = {"eos_token_id": eos_id, "pad_token_id": pad_id, "do_sample": True}
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2))
    # Written by Python, whose errors tell a full disk from other ills.
    tokenizer = make_tokenizer(tokens, special).to_str(pretty=True)
    (directory / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokens[eos_id],
        "pad_token": tokens[pad_id],
        "clean_up_tokenization_spaces": False,
        "model_max_length": policy.config.max_positions,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    weights = {
        name: value.detach().cpu().contiguous() for name, value in policy.state_dict().items()
    }
    (directory / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))


def load_pretrained(directory: Path, *, device: str = "cpu") -> Policy:
    """Read back a checkpoint that `save_pretrained` or transformers wrote.

    Raises:
        InvalidInputError: the directory holds no readable checkpoint, or one of another
            architecture.
    """
    try:
        stored = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        weights = load_file(directory / "model.safetensors", device=device)
        config = _policy_config(stored)
        policy = Policy(config).to(device)
        weights.pop(_TIED, None)
        policy.load_state_dict(weights)
    except InvalidInputError as error:
        raise InvalidInputError(f"{directory}: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise InvalidInputError(f"can't read a checkpoint from {directory}: {reason}") from error
    return policy


def _policy_config(stored: Any) -> PolicyConfig:
    """The sizes in a transformers config, if it is one of this architecture."""
    if not isinstance(stored, dict):
        raise InvalidInputError("config.json holds no object")
    rope = stored.get("rope_parameters") or stored.get("rope_scaling") or {}
    unlike = {
        "model_type": stored.get("model_type") != "llama",
        "tie_word_embeddings": not stored.get("tie_word_embeddings"),
        "num_key_value_heads": stored["num_key_value_heads"] != stored["num_attention_heads"],
        "hidden_act": stored.get("hidden_act", "silu") != "silu",
        "rope_parameters": rope.get("rope_type", "default") != "default",
        "attention_bias": bool(stored.get("attention_bias")),
        "mlp_bias": bool(stored.get("mlp_bias")),
    }
    if any(unlike.values()):
        names = ", ".join(f"{n} = {stored.get(n)!r}" for n, differs in unlike.items() if differs)
        raise InvalidInputError(
            f"this engine reads llama checkpoints with tied embeddings and plain attention, "
            f"such as its own; not {names}"
        )
    return PolicyConfig(
        vocab_size=stored["vocab_size"],
        hidden=stored["hidden_size"],
        layers=stored["num_hidden_layers"],
        heads=stored["num_attention_heads"],
        intermediate=stored["intermediate_size"],
        rope_theta=float(rope.get("rope_theta") or stored["rope_theta"]),
        norm_eps=stored["rms_norm_eps"],
        max_positions=stored["max_position_embeddings"],
    )
