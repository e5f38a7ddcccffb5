"""A Llama model in a GGUF file, as a folder in the transformers format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from safetensors.numpy import save
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import stored_config
from pkpo.errors import InvalidInputError, needing

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Tensors by their names in GGUF and in transformers, both without the layer."""

_SPECIAL = 3
"""Token type of control tokens."""


def convert(file: Path, folder: Path) -> None:
    """Write the weights in float32, the config, the tokenizer and the chat template of `file`.

    Raises:
        MissingExtraError: the package gguf isn't installed.
        InvalidInputError: no Llama model with a byte-level tokenizer of SmolLM's kind.
    """
    with needing("a GGUF checkpoint", "smollm2"):
        import gguf
    try:
        reader = gguf.GGUFReader(file)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"can't read {file}: {error}") from error
    found = {key: value.contents() for key, value in reader.fields.items()}
    kinds = tuple(
        found.get(key)
        for key in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre")
    )
    if kinds != ("llama", "gpt2", "smollm"):
        raise InvalidInputError(f"{file}: can't convert a model and tokenizer of kind {kinds}")
    weights = {}
    for tensor in reader.tensors:
        name = _name(tensor.name)
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        for part, heads in (("q_proj", "head_count"), ("k_proj", "head_count_kv")):
            if part in name:
                values = _rotary_halves(values, found[f"llama.attention.{heads}"])
        weights[name] = np.ascontiguousarray(values)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _json_files(found, tied="lm_head.weight" not in weights).items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(found["tokenizer.chat_template"], encoding="utf-8")
    (folder / "tokenizer.json").write_text(_tokenizer(found).to_str(), encoding="utf-8")
    # Written by Python, whose errors tell a full disk from other ills.
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))


def _name(name: str) -> str:
    """
    >>> _name("blk.7.attn_q.weight"), _name("output_norm.weight")
    ('model.layers.7.self_attn.q_proj.weight', 'model.norm.weight')
    """
    *layer, part, kind = name.removeprefix("blk.").split(".")
    return ".".join([*(["model.layers", *layer] if layer else []), _NAMES[part], kind])


def _rotary_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection from GGUF's order, in which the two numbers that are turned together
    are neighbours, to that of transformers, in which they are half a head apart."""
    pairs = weight.reshape(heads, -1, 2, weight.shape[-1])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def _json_files(found: dict[str, Any], *, tied: bool) -> dict[str, dict[str, Any]]:
    ends = {f"{end}_token_id": found[f"tokenizer.ggml.{end}_token_id"] for end in ("bos", "eos")}
    ends["pad_token_id"] = found.get("tokenizer.ggml.padding_token_id", ends["eos_token_id"])
    tokens, heads = found["tokenizer.ggml.tokens"], found["llama.attention.head_count"]
    key_heads = found["llama.attention.head_count_kv"]
    config = PolicyConfig(
        vocab_size=len(tokens),
        hidden=found["llama.embedding_length"],
        layers=found["llama.block_count"],
        heads=heads,
        kv_heads=None if key_heads == heads else key_heads,
        intermediate=found["llama.feed_forward_length"],
        rope_theta=found["llama.rope.freq_base"],
        norm_eps=found["llama.attention.layer_norm_rms_epsilon"],
        max_positions=found["llama.context_length"],
        tied=tied,
    )
    names = {name.removesuffix("_id"): tokens[token] for name, token in ends.items()}
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_positions,
    }
    return {
        "config.json": stored_config(config) | {"torch_dtype": "float32", **ends},
        "generation_config.json": ends | {"do_sample": True},
        "tokenizer_config.json": tokenizer,
    }


def _tokenizer(found: dict[str, Any]) -> tokenizers.Tokenizer:
    """Byte pairs of bytes, digits apart: text of the kind "smollm" is split at each number
    character (\\p{N}) before GPT-2's pattern (llama-vocab.cpp of llama.cpp)."""
    tokens = found["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in found["tokenizer.ggml.merges"]]
    ids = {token: number for number, token in enumerate(tokens)}
    made = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    made.decoder = decoders.ByteLevel()
    kinds = zip(tokens, found["tokenizer.ggml.token_type"])
    special = [token for token, kind in kinds if kind == _SPECIAL]
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return made
