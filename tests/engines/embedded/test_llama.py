"""Random Llama models: what transformers computes, this engine computes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pkpo.engines.embedded import model, sampling
from pkpo.engines.embedded.attention import Attention
from pkpo.engines.embedded.export import load_config, load_pretrained, save_finetuned
from pkpo.engines.embedded.sampling import score, token_logprobs
from pkpo.errors import InvalidInputError

transformers = pytest.importorskip("transformers")

EOS = 1
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "factor": 4.0}
MODELS: dict[str, dict[str, Any]] = {
    "grouped, tied": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "one key head, untied": {"num_key_value_heads": 1, "tie_word_embeddings": False},
    "all heads, biases": {"attention_bias": True, "mlp_bias": True},
    "wider heads": {"head_dim": 24, "num_key_value_heads": 2},
    "linear": {"rope_parameters": {**LINEAR, "rope_theta": 500.0}},
    "llama3": {"rope_parameters": {**LLAMA3, "rope_theta": 5e3}, "num_key_value_heads": 2},
    "wide": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2},
}
LENGTHS = [30, 34, 27, 41]
COMMON = 25


def make_model(seed: int = 0, **changes: Any) -> Any:
    sizes: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "eos_token_id": EOS,
        "initializer_range": 0.15,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(sizes | changes)))
        for name, parameter in found.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, 0.0, 0.3)
    return found.eval()


@pytest.fixture(scope="module", params=MODELS)
def theirs(request: pytest.FixtureRequest) -> Any:
    return make_model(**MODELS[request.param])


@pytest.fixture
def stored(theirs: Any, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path)
    return tmp_path


def make_batch(
    common: int, more: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts, right-padded, that begin alike, and completions of some of them."""
    generator = torch.Generator().manual_seed(common)
    lengths = torch.tensor(LENGTHS) + more
    prompts = torch.randint(2, 40, (len(LENGTHS), int(lengths.max())), generator=generator)
    prompts[:, :common] = prompts[0, :common]
    completions = torch.randint(2, 40, (6, 5), generator=generator)
    completions[1, 2:] = torch.tensor([EOS, 0, 0])
    return prompts, lengths, completions, torch.tensor([0, 0, 1, 3, 3, 3])


def one_by_one(theirs: Any, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    prompts, lengths, completions, prompt_R = batch
    logits = []
    for owner, ids in zip(prompt_R.tolist(), completions):
        length = int(lengths[owner])
        whole = torch.cat([prompts[owner, :length], ids[:-1]])[None]
        logits.append(theirs(input_ids=whole).logits[0, length - 1 :])
    return torch.stack(logits)


@pytest.mark.parametrize("common", [0, COMMON])
def test_logits_are_those_of_transformers(theirs: Any, stored: Path, common: int):
    batch, policy = make_batch(common), load_pretrained(stored)
    with torch.no_grad():
        expected = one_by_one(theirs, batch)
        found = policy(*batch)
        logprobs = token_logprobs(policy, *batch, eos_id=EOS)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)
    logs = expected.log_softmax(-1).gather(-1, batch[2][..., None])[..., 0]
    logs[1, 3:] = 0.0
    torch.testing.assert_close(logprobs, logs, rtol=0.0, atol=1e-4)


def test_what_is_saved_transformers_loads(theirs: Any, stored: Path, tmp_path: Path):
    policy, again = load_pretrained(stored), tmp_path / "again"
    (stored / "tokenizer.json").write_text("{}")
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter *= 1.01
    save_finetuned(policy, again, source=stored)
    assert (again / "tokenizer.json").read_text() == "{}"
    before, after = (json.loads((d / "config.json").read_text()) for d in (stored, again))
    assert {**before, "dtype": 0, "torch_dtype": 0} == {**after, "dtype": 0, "torch_dtype": 0}
    read = transformers.AutoModelForCausalLM.from_pretrained(again, dtype=torch.float32)
    batch = make_batch(0)
    with torch.no_grad():
        torch.testing.assert_close(policy(*batch), one_by_one(read, batch), rtol=0.0, atol=1e-4)


def gradients(policy: model.Policy, *values: torch.Tensor) -> list[torch.Tensor]:
    total = sum((value.sin().sum() for value in values), torch.zeros(()))
    return list(torch.autograd.grad(total, list(policy.parameters())))


@pytest.mark.parametrize("at_once", [2**25, 40 * 4])
def test_many_logits_are_made_in_parts(
    theirs: Any, stored: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    """Log-probabilities, entropies and gradients are those of all logits at once."""
    policy, batch = load_pretrained(stored, dtype=torch.float64), make_batch(0)
    expected = score(policy, policy.read(*batch[:2]), *batch[2:], eos_id=EOS, entropies=True)
    monkeypatch.setattr(sampling, "_LOGITS_KEPT", 0)
    monkeypatch.setattr(sampling, "_LOGITS_AT_ONCE", at_once)
    found = score(policy, policy.read(*batch[:2]), *batch[2:], eos_id=EOS, entropies=True)
    alone = token_logprobs(policy, *batch, eos_id=EOS)
    for mine, whole in zip((*found, alone), (*expected, expected[0])):
        torch.testing.assert_close(mine, whole, rtol=0.0, atol=1e-12)
    for mine, whole in zip(gradients(policy, *found), gradients(policy, *expected)):
        torch.testing.assert_close(mine, whole, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("more", [0, 260])
def test_a_beginning_that_prompts_share_is_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: int, checkpointing: bool
):
    """With the same log-probabilities and gradients as by reading each prompt alone, whether the
    beginning's keys are copied for each of them or not."""
    make_model(**MODELS["wide"], max_position_embeddings=320).save_pretrained(tmp_path)
    policy, batch = load_pretrained(tmp_path, dtype=torch.float64), make_batch(COMMON, more)
    copied: list[bool] = []

    def spy(*arguments: Any) -> bool:
        copied.append(outweigh(*arguments))
        return copied[-1]

    outweigh = Attention._scores_outweigh
    monkeypatch.setattr(Attention, "_scores_outweigh", spy)
    shared = policy.read(*batch[:2])
    assert shared.parent is not None
    assert shared.parent.keys_PHTD[0].shape == (1, 2, COMMON, 64)
    assert shared.keys_PHTD[0].shape == (4, 2, max(LENGTHS) + more - COMMON, 64)
    assert any(copied) == bool(more)
    policy.checkpointing = checkpointing
    found = token_logprobs(policy, *batch, eos_id=EOS)
    policy.checkpointing = False
    monkeypatch.setattr(model, "_SHARED_FROM", 1000)
    assert policy.read(*batch[:2]).parent is None
    expected = token_logprobs(policy, *batch, eos_id=EOS)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-10)
    for mine, whole in zip(gradients(policy, found), gradients(policy, expected)):
        torch.testing.assert_close(mine, whole, rtol=1e-7, atol=1e-9)


def test_prompts_that_are_all_alike_keep_a_token_of_their_own(tmp_path: Path):
    make_model(**MODELS["wide"]).save_pretrained(tmp_path)
    policy, prompts = load_pretrained(tmp_path), make_batch(0)[0][:1].expand(3, -1)
    lengths = torch.tensor([40, 30, 35])
    found = policy.read(prompts, lengths)
    assert found.parent is not None
    assert found.parent.lengths_P.tolist() == [29]
    with torch.no_grad():
        for row, length in enumerate(lengths):
            alone = policy.head(policy.read(prompts[:1, :length], lengths[row : row + 1]).last_PE)
            torch.testing.assert_close(policy.head(found.last_PE)[row], alone[0], rtol=0, atol=1e-5)


# Reading


def test_old_configs_and_shards(tmp_path: Path):
    theirs = make_model(**MODELS["llama3"])
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    for name in ("head_dim", "attention_bias", "mlp_bias", "tie_word_embeddings", "pretraining_tp"):
        config.pop(name, None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    batch = make_batch(0)
    with torch.no_grad():
        found = load_pretrained(tmp_path)(*batch)
        torch.testing.assert_close(found, one_by_one(theirs, batch), rtol=0.0, atol=1e-4)


BOTH = {"rope_scaling": LINEAR, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
ABOVE = {
    "rope_parameters": LLAMA3 | {"rope_theta": 5e3},
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize("fields", [BOTH, BOTH | {"rope_theta": 300.0}, ABOVE], ids=str)
def test_rotary_positions_said_twice_are_read_as_transformers_reads_them(
    tmp_path: Path, fields: dict[str, Any]
):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | fields))
    read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    batch = make_batch(0)
    with torch.no_grad():
        found = load_pretrained(tmp_path)(*batch)
        torch.testing.assert_close(found, one_by_one(read, batch), rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("kept", [torch.bfloat16, torch.float16])
def test_half_precision(tmp_path: Path, kept: torch.dtype):
    theirs = make_model(**MODELS["grouped, tied"]).to(kept)
    theirs.save_pretrained(tmp_path)
    batch = make_batch(0)
    with torch.no_grad():
        single = load_pretrained(tmp_path)
        read = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        exact = one_by_one(read, batch)
        torch.testing.assert_close(single(*batch), exact, rtol=0.0, atol=1e-4)
        half = load_pretrained(tmp_path, dtype=kept)
        assert {parameter.dtype for parameter in half.parameters()} == {kept}
        logprobs = token_logprobs(half, *batch, eos_id=EOS)
    assert logprobs.dtype == torch.float32
    expected = exact.log_softmax(-1).gather(-1, batch[2][..., None])[..., 0]
    expected[1, 3:] = 0.0
    assert (logprobs - expected).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "qwen2"),
        ("hidden_act", "gelu"),
        ("sliding_window", 4096),
        ("pretraining_tp", 2),
        ("partial_rotary_factor", 0.5),
        ("quantization_config", {"quant_method": "gptq"}),
        ("rope_interleaved", True),
        ("attention_dropout", 0.1),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("rope_parameters", {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_scaling", "yarn"),
    ],
)
def test_what_is_not_implemented_is_named(tmp_path: Path, field: str, value: Any):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {field: value}
    if field == "rope_scaling":
        del config["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    if field.startswith("rope_") and isinstance(value, dict):
        field, value = "rope_type", value.get("rope_type", value.get("type"))
    with pytest.raises(InvalidInputError) as caught:
        load_pretrained(tmp_path)
    assert f"{field} = {value!r}" in str(caught.value)


def test_wrong_tensors_are_named(tmp_path: Path):
    make_model(tie_word_embeddings=False).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    for change, message in (
        ({"lm_head.weight": None}, "lm_head.weight is missing"),
        ({"model.layers.0.extra": torch.ones(2)}, "model.layers.0.extra is of no use"),
        ({"model.norm.weight": torch.ones(2)}, r"model.norm.weight is \(2,\), not \(32,\)"),
        (
            {"model.norm.weight": torch.ones(32, dtype=torch.int8)},
            "model.norm.weight is torch.int8",
        ),
    ):
        save_file({n: x for n, x in (weights | change).items() if x is not None}, path)
        with pytest.raises(InvalidInputError, match=message):
            load_pretrained(tmp_path)


def test_a_head_of_its_own_beside_tied_embeddings_is_refused(tmp_path: Path):
    """transformers doesn't tie what differs."""
    make_model(tie_word_embeddings=True).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] + 1.0
    save_file(weights, path)
    with pytest.raises(InvalidInputError, match=r"tie_word_embeddings = True, but lm_head\.weight"):
        load_pretrained(tmp_path)


def test_adapters_beside_the_weights_are_refused(tmp_path: Path):
    make_model().save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    for read in (load_config, load_pretrained):
        with pytest.raises(InvalidInputError, match=r"adapters too \(adapter_config\.json\)"):
            read(tmp_path)


def test_another_source_is_refused(tmp_path: Path):
    make_model().save_pretrained(tmp_path / "a")
    make_model(num_hidden_layers=3).save_pretrained(tmp_path / "b")
    with pytest.raises(InvalidInputError, match="sizes"):
        save_finetuned(load_pretrained(tmp_path / "a"), tmp_path / "c", source=tmp_path / "b")


def test_weights_in_another_form_are_told_of(tmp_path: Path):
    theirs = make_model()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(
        InvalidInputError, match=r"there is no model\.safetensors; .*save_pretrained"
    ):
        load_pretrained(tmp_path)


def test_damaged_shards_are_named(tmp_path: Path):
    make_model().save_pretrained(tmp_path, max_shard_size="10KB")
    index = tmp_path / "model.safetensors.index.json"
    whole, first = index.read_text(), sorted(tmp_path.glob("*.safetensors"))[0]
    for text in ("[]", "{}", '{"weight_map": []}', whole.replace(first.name, "away")):
        index.write_text(text)
        with pytest.raises(InvalidInputError, match=f"can't read a checkpoint from {tmp_path}"):
            load_pretrained(tmp_path)
    index.write_text(whole)
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(InvalidInputError, match=f"can't read a checkpoint from {tmp_path}"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float):
    theirs = make_model()
    with torch.no_grad():
        theirs.model.norm.weight[3] = value
    theirs.save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match=r"aren't finite: model\.norm\.weight"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("vocab_size", [None, 0, -1, "8", 1.5, True]),
        ("max_position_embeddings", [None, 0, "8"]),
        ("num_attention_heads", [0]),
        ("num_key_value_heads", [0, -4]),
        ("head_dim", [-2, "8"]),
        ("rms_norm_eps", [None, -1e-5, math.nan, "1e-5"]),
        ("rope_theta", [0, -1.0, math.inf, None]),
        ("rope_scaling", [LLAMA3 | {"high_freq_factor": 1.0}, LINEAR | {"factor": 0}, "linear"]),
    ],
)
def test_sizes_that_are_none_are_refused(tmp_path: Path, field: str, values: list[Any]):
    make_model().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config |= {"rope_theta": config.pop("rope_parameters")["rope_theta"]}
    for value in values:
        file.write_text(json.dumps(config | {field: value}))
        with pytest.raises(InvalidInputError, match=str(tmp_path)):
            load_config(tmp_path)
