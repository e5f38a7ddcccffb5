"""Checkpoints in the transformers format: config, safetensors weights and tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import decoders, models, pre_tokenizers

from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.errors import InvalidInputError

_ARCHITECTURE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "torch_dtype": "float32",
}
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate",
    "rms_norm_eps": "norm_eps",
    "max_position_embeddings": "max_positions",
}
"""Field of a transformers config -> field of `PolicyConfig`."""


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
    config, ends = policy.config, {"eos_token_id": eos_id, "pad_token_id": pad_id}
    written = {
        "config.json": {
            **_ARCHITECTURE,
            **{theirs: getattr(config, ours) for theirs, ours in _SIZES.items()},
            "num_key_value_heads": config.heads,
            "head_dim": config.head_size,
            "rope_theta": config.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
            **ends,
        },
        "generation_config.json": {**ends, "do_sample": True},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": tokens[eos_id],
            "pad_token": tokens[pad_id],
            "clean_up_tokenization_spaces": False,
            "model_max_length": config.max_positions,
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in written.items():
        (directory / name).write_text(json.dumps(content, indent=2))
    # Written by Python, whose errors tell a full disk from other ills.
    tokenizer = make_tokenizer(tokens, special).to_str(pretty=True)
    (directory / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
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
    with _reading(directory):
        weights = load_file(directory / "model.safetensors", device=device)
        policy = Policy(load_config(directory)).to(device)
        weights.pop("lm_head.weight", None)  # a copy of the embeddings
        policy.load_state_dict(weights)
    return policy


def load_config(directory: Path) -> PolicyConfig:
    """The sizes of a checkpoint.

    Raises:
        InvalidInputError: as `load_pretrained`.
    """
    with _reading(directory):
        stored = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        try:
            return _policy_config(stored)
        except InvalidInputError as error:
            raise InvalidInputError(f"{directory}: {error}") from error


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise InvalidInputError(f"can't read a checkpoint from {directory}: {reason}") from error


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
    sizes = {ours: stored[theirs] for theirs, ours in _SIZES.items()}
    return PolicyConfig(**sizes, rope_theta=float(rope.get("rope_theta") or stored["rope_theta"]))
