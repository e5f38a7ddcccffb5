"""Checkpoints in the transformers format: config, safetensors weights and tokenizer."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from pkpo.engines.embedded.config import PolicyConfig, RopeScaling
from pkpo.engines.embedded.lora import ADAPTER_CONFIG, has_lora
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError

_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate",
    "max_position_embeddings": "max_positions",
}
"""Field of a transformers config -> field of `PolicyConfig`."""
_CHOICES = {
    "rms_norm_eps": ("norm_eps", 1e-6),
    "tie_word_embeddings": ("tied", False),
    "attention_bias": ("attention_bias", False),
    "mlp_bias": ("mlp_bias", False),
}
"""The same, and the value that a missing field stands for."""
_IMPLEMENTED = {
    "hidden_act": ["silu"],
    "pretraining_tp": [1],
    "quantization_config": [None],
    "attention_dropout": [0.0],
    "partial_rotary_factor": [1.0],
    "rope_interleaved": [False],
    "sliding_window": [None],
    "use_sliding_window": [False],
    "attn_logit_softcapping": [None],
    "final_logit_softcapping": [None],
    "rope_type": ["default", "linear", "llama3"],
}
"""Field of a transformers config -> values that this engine implements, the first of which a
missing field stands for."""
_ROPE_FIELDS = {
    "linear": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
_WEIGHTS = "model.safetensors"
_WRITTEN_HERE = ("config.json", _WEIGHTS, f"{_WEIGHTS}.index.json")
_DAMAGE = (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError)
"""What reading a damaged file may raise."""
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


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
    ends = {"eos_token_id": eos_id, "pad_token_id": pad_id}
    directory.mkdir(parents=True, exist_ok=True)
    _write_json(directory / "generation_config.json", {**ends, "do_sample": True})
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": tokens[eos_id],
            "pad_token": tokens[pad_id],
            "clean_up_tokenization_spaces": False,
            "model_max_length": policy.config.max_positions,
        },
    )
    # Written by Python, whose errors tell a full disk from other ills.
    tokenizer = make_tokenizer(tokens, special).to_str(pretty=True)
    (directory / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    _write_policy(policy, directory, stored_config(policy.config) | ends)


def save_finetuned(policy: Policy, directory: Path, *, source: Path) -> None:
    """Write a checkpoint that transformers loads as it loads `source`, which the policy was
    read from: the fields of its config are kept, and the files of its tokenizer copied.

    Args:
        policy: the policy, without adapters.
        directory: made if missing.
        source: a checkpoint.

    Raises:
        InvalidInputError: `source` is no readable checkpoint of the policy's sizes, or the
            policy has adapters.
    """
    if has_lora(policy):
        raise InvalidInputError("merge the policy's adapters first")
    with _reading(source):
        stored = _read_config(source)
        if _policy_config(stored) != policy.config:
            raise InvalidInputError(f"is of other sizes than {policy.config}")
        copied = [*source.glob("*.json"), *source.glob("*.jinja"), *source.glob("*.txt")]
        copied += [source / "tokenizer.model"] if (source / "tokenizer.model").exists() else []
    directory.mkdir(parents=True, exist_ok=True)
    for path in copied:
        if path.name not in _WRITTEN_HERE:
            shutil.copyfile(path, directory / path.name)
    _write_policy(policy, directory, stored)


def load_pretrained(
    directory: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Policy:
    """Read a checkpoint of a Llama-family model: config.json, and model.safetensors or its
    shards.

    Args:
        dtype: what the weights are converted to.

    Raises:
        InvalidInputError: the directory holds no readable checkpoint, or one of another
            architecture.
    """
    with _reading(directory):
        policy, weights = _mapped(directory, device)
        # Copied, since the files may be mapped and written over.
        copied = {name: value.to(dtype, copy=True) for name, value in weights.items()}
        if broken := [name for name, x in copied.items() if not bool(x.isfinite().all())]:
            raise InvalidInputError(f"weights that aren't finite: {', '.join(broken[:3])}")
        policy.load_state_dict(copied, assign=True)
    return policy


def load_config(directory: Path) -> PolicyConfig:
    """The sizes of a checkpoint; refused as by `load_pretrained`, but for weights that aren't
    finite, since their values aren't read."""
    with _reading(directory):
        return _mapped(directory, "cpu")[0].config


def _mapped(directory: Path, device: str) -> tuple[Policy, dict[str, Tensor]]:
    """A policy without weights, and those that fit it."""
    with torch.device("meta"):
        policy = Policy(_policy_config(_read_config(directory)), seed=None)
    weights = _read_weights(directory, device)
    head = weights.pop("lm_head.weight", None) if policy.config.tied else None
    _check_weights(weights, {name: x.shape for name, x in policy.state_dict().items()})
    if head is not None and not torch.equal(head, weights["model.embed_tokens.weight"]):
        raise InvalidInputError("tie_word_embeddings = True, but lm_head.weight is another")
    return policy, weights


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{directory}: {error}") from error
    except (*_DAMAGE, SafetensorError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise InvalidInputError(f"can't read a checkpoint from {directory}: {reason}") from error


def _read_config(directory: Path) -> Any:
    if (directory / ADAPTER_CONFIG).exists():
        raise InvalidInputError(
            f"there are adapters too ({ADAPTER_CONFIG}), which transformers would add; merge them "
            "into the weights, or move them away"
        )
    text = (directory / "config.json").read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"config.json: {error}") from error


def _read_weights(directory: Path, device: str) -> dict[str, Tensor]:
    index, names = directory / f"{_WEIGHTS}.index.json", [_WEIGHTS]
    if not (directory / _WEIGHTS).exists():
        if not index.exists():
            raise FileNotFoundError(
                f"there is no {_WEIGHTS}; of weights in another form transformers makes one: "
                "AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
            )
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    found: dict[str, Tensor] = {}
    for name in names:
        found |= load_file(directory / name, device=device)
    # Old checkpoints keep what follows from the config.
    return {name: x for name, x in found.items() if not name.endswith("rotary_emb.inv_freq")}


def _check_weights(weights: dict[str, Tensor], shapes: dict[str, torch.Size]) -> None:
    wrong = [f"{name} is missing" for name in shapes if name not in weights]
    for name, value in weights.items():
        if name not in shapes:
            wrong.append(f"{name} is of no use")
        elif value.shape != shapes[name]:
            wrong.append(f"{name} is {tuple(value.shape)}, not {tuple(shapes[name])}")
        elif value.dtype not in _DTYPES:
            wrong.append(f"{name} is {value.dtype}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InvalidInputError(f"weights don't fit the config: {', '.join(wrong[:3])}{more}")


def _write_policy(policy: Policy, directory: Path, config: dict[str, Any]) -> None:
    weights = {
        name: value.detach().cpu().contiguous() for name, value in policy.state_dict().items()
    }
    dtype = str(policy.model.norm.weight.dtype).removeprefix("torch.")
    kept = {name: value for name, value in config.items() if name != "dtype"}
    _write_json(directory / "config.json", {**kept, "torch_dtype": dtype})
    (directory / _WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def stored_config(config: PolicyConfig) -> dict[str, Any]:
    """A transformers config of these sizes."""
    scaling = {"rope_type": "default"} if not config.rope_scaling else asdict(config.rope_scaling)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        **{theirs: getattr(config, ours) for theirs, ours in _SIZES.items()},
        **{theirs: getattr(config, ours) for theirs, (ours, _) in _CHOICES.items()},
        "num_key_value_heads": config.key_heads,
        "head_dim": config.head_size,
        "rope_theta": config.rope_theta,
        "rope_parameters": {**scaling, "rope_theta": config.rope_theta},
        "bos_token_id": None,
    }


def _policy_config(stored: Any) -> PolicyConfig:
    """The sizes in a transformers config, if it is one of this architecture."""
    if not isinstance(stored, dict):
        raise InvalidInputError("config.json holds no object")
    # Of older and newer configs; where there are both, transformers reads the former alone.
    field = "rope_scaling" if stored.get("rope_scaling") else "rope_parameters"
    rope = stored.get(field) or {}
    if not isinstance(rope, dict):
        raise InvalidInputError(f"{field} = {rope!r} must be an object")
    if "type" in rope:
        rope = {"rope_type": rope["type"]} | rope
    every = stored | rope
    unlike = [] if stored.get("model_type") == "llama" else ["model_type"]
    unlike += [
        name for name, known in _IMPLEMENTED.items() if every.get(name, known[0]) not in known
    ]
    if set(stored.get("layer_types") or ()) - {"full_attention"}:
        unlike.append("layer_types")
    if unlike:
        raise InvalidInputError(
            "this engine reads llama checkpoints with silu, full attention and default, linear or "
            f"llama3 rotary positions; not {', '.join(f'{n} = {every.get(n)!r}' for n in unlike)}"
        )
    kind, scaling = every.get("rope_type", "default"), None
    if kind != "default":
        # The config's own original_max_position_embeddings takes precedence there.
        scaling = RopeScaling(kind, **{name: (rope | stored)[name] for name in _ROPE_FIELDS[kind]})
    heads, hidden = stored["num_attention_heads"], stored["hidden_size"]
    key_heads, head_dim = stored.get("num_key_value_heads"), stored.get("head_dim")
    return PolicyConfig(
        **{ours: stored[theirs] for theirs, ours in _SIZES.items()},
        **{ours: stored.get(theirs, usual) for theirs, (ours, usual) in _CHOICES.items()},
        kv_heads=None if key_heads == heads else key_heads,
        head_dim=None if head_dim and head_dim * heads == hidden else head_dim,
        rope_theta=float(every.get("rope_theta", 10_000.0)),
        rope_scaling=scaling,
    )
