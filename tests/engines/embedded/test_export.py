"""Checkpoints: written here, read by transformers, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import load_pretrained, make_tokenizer, save_pretrained
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Vocabulary
from pkpo.tasks.grid_programs import GridProgramTask

from .slow_policy import make_policy

GRIDS = GridProgramTask(size=3).vocabulary
CHARACTERS = Vocabulary(
    (*"abcdefghijklmnopqrstuvwxyz0123456789", *"+-*/()[]{}^$.|?\\#&~ ,:=<>\n\"'")
)
VOCABULARIES = {"grids": GRIDS, "characters": CHARACTERS}


def policy_for(vocabulary: Vocabulary) -> Policy:
    return make_policy(vocab_size=len(vocabulary), dtype=torch.float32)


def save(policy: Policy, directory: Path, vocabulary: Vocabulary) -> None:
    save_pretrained(
        policy,
        directory,
        tokens=vocabulary.tokens,
        special=vocabulary.tokens[:3],
        eos_id=vocabulary.eos_id,
        pad_id=vocabulary.pad_id,
    )


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=sorted(VOCABULARIES))
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return VOCABULARIES[request.param]


@pytest.fixture(scope="module")
def checkpoint(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint") / "made" / "model"
    save(policy_for(vocabulary), directory, vocabulary)
    return directory


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint with changes to its config."""

    def make(**changes: Any) -> Path:
        save(policy_for(GRIDS), tmp_path, GRIDS)
        config = json.loads((tmp_path / "config.json").read_text()) | changes
        kept = {name: value for name, value in config.items() if value != "left out"}
        (tmp_path / "config.json").write_text(json.dumps(kept))
        return tmp_path

    return make


def random_ids(vocabulary: Vocabulary, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, len(vocabulary), shape, generator=generator)


def assert_identical(left: Policy, right: Policy) -> None:
    assert left.config == right.config
    mine, theirs = left.state_dict(), right.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_transformers_gives_the_same_logits(
    transformers: Any, checkpoint: Path, vocabulary: Vocabulary
):
    policy = policy_for(vocabulary)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    ids = random_ids(vocabulary, 3, 12)
    with torch.no_grad():
        theirs = model.eval()(input_ids=ids).logits[:, 4:-1]
        mine = policy(ids[:, :5], torch.full((3,), 5), ids[:, 5:], torch.arange(3))
    assert theirs.std() > 0.5
    torch.testing.assert_close(mine, theirs, rtol=0.0, atol=1e-5)


def test_transformers_knows_how_completions_end(
    transformers: Any, checkpoint: Path, vocabulary: Vocabulary
):
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert model.generation_config.eos_token_id == vocabulary.eos_id
    assert model.generation_config.pad_token_id == vocabulary.pad_id
    assert tokenizer.eos_token_id == vocabulary.eos_id
    assert tokenizer.pad_token_id == vocabulary.pad_id


def test_token_ids_survive_the_tokenizer(
    transformers: Any, checkpoint: Path, vocabulary: Vocabulary
):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.convert_ids_to_tokens(list(range(len(vocabulary)))) == list(vocabulary.tokens)
    for ids in random_ids(vocabulary, 40, 30).tolist():
        text = tokenizer.decode(ids)
        assert text == "".join(vocabulary.tokens[i] for i in ids)
        assert tokenizer(text)["input_ids"] == ids


def test_decoding_may_leave_out_special_tokens(
    transformers: Any, checkpoint: Path, vocabulary: Vocabulary
):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ids = [5, 2, 7, 1, 0]
    text = vocabulary.tokens[5] + vocabulary.tokens[7]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_text_is_read_longest_token_first():
    tokens = ("<pad>", "<eos>", "<answer>", "a", "ab", "b", "abc", "c")
    tokenizer = make_tokenizer(tokens, tokens[:3])
    assert tokenizer.encode("abcabacb<eos>ab").ids == [6, 4, 3, 7, 5, 1, 4]


@pytest.mark.parametrize("split", ["train", "test"])
def test_prompts_survive_the_tokenizer(transformers: Any, tmp_path: Path, split: Any):
    task = GridProgramTask(num_train=20, num_validation=20, num_test=20)
    save(policy_for(task.vocabulary), tmp_path, task.vocabulary)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    prompts = task.problems(split).prompts_PT.tolist()
    assert [tokenizer(tokenizer.decode(ids))["input_ids"] for ids in prompts] == prompts


def test_loading_what_was_saved_gives_the_same_policy(checkpoint: Path, vocabulary: Vocabulary):
    assert_identical(load_pretrained(checkpoint), policy_for(vocabulary))


def test_loading_what_transformers_saved_again_gives_the_same_policy(
    transformers: Any, checkpoint: Path, vocabulary: Vocabulary, tmp_path: Path
):
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    model.save_pretrained(tmp_path)
    assert_identical(load_pretrained(tmp_path), policy_for(vocabulary))


def test_every_setting_survives(tmp_path: Path):
    config = PolicyConfig(
        9,
        hidden=24,
        layers=3,
        heads=3,
        intermediate=20,
        rope_theta=777.0,
        norm_eps=1e-3,
        max_positions=55,
    )
    save(Policy(config), tmp_path, Vocabulary(tuple("abcdef")))
    assert_identical(load_pretrained(tmp_path), Policy(config))


def test_a_stored_copy_of_the_tied_embeddings_is_ignored(tmp_path: Path):
    policy = policy_for(GRIDS)
    save(policy, tmp_path, GRIDS)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert_identical(load_pretrained(tmp_path), policy)


def test_older_configs_name_the_rotary_base_alone(broken: Callable[..., Path]):
    directory = broken(rope_parameters="left out", rope_theta=500.0)
    assert load_pretrained(directory).config.rope_theta == 500.0


def test_greedy_generation_agrees(transformers: Any, checkpoint: Path, vocabulary: Vocabulary):
    policy = load_pretrained(checkpoint)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    prompt = random_ids(vocabulary, 1, 6)
    out = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=8,
    )[0, 6:].tolist()
    mine: list[int] = []
    with torch.no_grad():
        for _ in out:
            shown = torch.tensor([[*mine, 0]])
            logits = policy(prompt, torch.tensor([6]), shown, torch.tensor([0]))
            mine.append(int(logits[0, -1].argmax()))
    assert mine == out


# Errors


def test_missing_directory(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="nowhere"):
        load_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file(broken: Callable[..., Path], missing: str):
    directory = broken()
    (directory / missing).unlink()
    with pytest.raises(InvalidInputError, match="can't read a checkpoint"):
        load_pretrained(directory)


@pytest.mark.parametrize("text", ["{", "", "[]", "{}"])
def test_config_that_is_none(broken: Callable[..., Path], text: str):
    directory = broken()
    (directory / "config.json").write_text(text)
    with pytest.raises(InvalidInputError):
        load_pretrained(directory)


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_weights_cut_short(broken: Callable[..., Path], size: int):
    directory = broken()
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(InvalidInputError):
        load_pretrained(directory)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "gpt2"},
        {"model_type": "left out"},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 1},
        {"vocab_size": 12},
        {"num_hidden_layers": 3},
        {"intermediate_size": 20},
        {"hidden_size": "left out"},
    ],
    ids=str,
)
def test_other_architectures(broken: Callable[..., Path], changes: dict[str, Any]):
    directory = broken(**changes)
    with pytest.raises(InvalidInputError):
        load_pretrained(directory)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}},
        {
            "rope_parameters": "left out",
            "rope_theta": 1e4,
            "rope_scaling": {"type": "yarn", "factor": 4.0},
        },
    ],
    ids=str,
)
def test_llamas_that_would_compute_something_else(
    broken: Callable[..., Path], changes: dict[str, Any]
):
    directory = broken(**changes)
    with pytest.raises(InvalidInputError):
        load_pretrained(directory)


def test_other_weights(broken: Callable[..., Path]):
    directory = broken()
    other = make_policy(vocab_size=len(GRIDS), hidden=24, dtype=torch.float32)
    config = (directory / "config.json").read_text()
    save(other, directory, GRIDS)
    (directory / "config.json").write_text(config)
    with pytest.raises(InvalidInputError, match="weights"):
        load_pretrained(directory)


def test_saving_changes_nothing(tmp_path: Path):
    policy = policy_for(GRIDS)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    save(policy, tmp_path, GRIDS)
    after = policy.state_dict()
    assert all(np.array_equal(value, after[name]) for name, value in before.items())
