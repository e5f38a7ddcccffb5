"""GGUF files in the transformers format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file
from tokenizers import pre_tokenizers

from pkpo.errors import InvalidInputError
from pkpo.train.embedded.from_gguf import convert

gguf = pytest.importorskip("gguf")

HEADS, KEY_HEADS, WIDTH, INNER = 4, 2, 64, 96
TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
]
MERGED = ["ab", "Ġab", "12", "ĠĠ"]
MERGES = ["a b", "Ġ ab", "1 2", "Ġ Ġ"]
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SHAPES = {
    "attn_norm": (WIDTH,),
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // 2, WIDTH),
    "attn_v": (WIDTH // 2, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_norm": (WIDTH,),
    "ffn_gate": (INNER, WIDTH),
    "ffn_up": (INNER, WIDTH),
    "ffn_down": (WIDTH, INNER),
}


def write(path: Path, *, pre: str = "smollm", tied: bool = True) -> dict[str, np.ndarray]:
    """A file as llama.cpp's converter writes it; returns its tensors by their names there."""
    rng = np.random.default_rng(0)
    size = len(TOKENS) + len(MERGED)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*TOKENS, *MERGED])
    writer.add_token_types([3] * 3 + [1] * (size - 3))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    shapes = {f"blk.{n}.{name}": shape for n in range(2) for name, shape in SHAPES.items()}
    shapes |= {"token_embd": (size, WIDTH), "output_norm": (WIDTH,)}
    shapes |= {} if tied else {"output": (size, WIDTH)}
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in made.items():
        writer.add_tensor(f"{name}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return made


def stored_order(weight: np.ndarray, heads: int) -> np.ndarray:
    """As llama.cpp's converter permutes queries and keys of transformers."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("tied", [True, False])
def test_every_tensor_under_its_name_in_transformers(file: Path, tied: bool):
    given = write(file, tied=tied)
    convert(file, file.parent / "out")
    found = load_file(file.parent / "out" / "model.safetensors")
    for layer in range(2):
        place = f"model.layers.{layer}."
        for name, theirs in NAMES.items():
            weight = found.pop(f"{place}{theirs}.weight")
            np.testing.assert_array_equal(weight, given[f"blk.{layer}.{name}"])
        for name, heads in (("q", HEADS), ("k", KEY_HEADS)):
            weight = found.pop(f"{place}self_attn.{name}_proj.weight")
            expected = given[f"blk.{layer}.attn_{name}"]
            np.testing.assert_array_equal(stored_order(weight, heads), expected)
    rest = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    rest |= {} if tied else {"lm_head": "output"}
    assert found.keys() == {f"{name}.weight" for name in rest}
    for theirs, name in rest.items():
        np.testing.assert_array_equal(found[f"{theirs}.weight"], given[name])


def test_config_and_ends(file: Path):
    write(file)
    convert(file, file.parent / "out")

    def read(name: str) -> dict[str, Any]:
        return json.loads((file.parent / "out" / name).read_text())

    config = read("config.json")
    expected = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": WIDTH // HEADS,
        "max_position_embeddings": 128,
        "vocab_size": len(TOKENS) + len(MERGED),
        "tie_word_embeddings": True,
        "rope_theta": 5000.0,
        "rms_norm_eps": pytest.approx(1e-5),
        "eos_token_id": 2,
    }
    assert {name: config[name] for name in expected} == expected
    assert read("tokenizer_config.json")["eos_token"] == "<|im_end|>"
    assert read("generation_config.json")["eos_token_id"] == 2
    template = (file.parent / "out" / "chat_template.jinja").read_text()
    assert template == "{{ messages[0]['content'] }}"


def test_the_tokenizer_takes_digits_apart_and_special_tokens_whole(file: Path):
    write(file)
    convert(file, file.parent / "out")
    tokenizer = tokenizers.Tokenizer.from_file(str(file.parent / "out" / "tokenizer.json"))
    assert tokenizer.encode("ab ab<|im_end|>").tokens == ["ab", "Ġab", "<|im_end|>"]
    assert tokenizer.encode("a  12").tokens == ["a", "ĠĠ", "1", "2"]
    text = "ab 12 λ\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_other_files_are_refused(file: Path):
    file.write_bytes(b"no such thing")
    with pytest.raises(InvalidInputError, match="can't read"):
        convert(file, file.parent / "out")
    write(file, pre="llama-bpe")
    with pytest.raises(InvalidInputError, match="llama-bpe"):
        convert(file, file.parent / "out")
    assert not (file.parent / "out").exists()
