"""Completions must be samples of the policy that is differentiated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from trl import GRPOConfig

from pkpo.engines.trl import joint_rewards
from pkpo.errors import PkpoError

from . import tiny

REFUSED: list[dict[str, Any]] = [
    {"temperature": 0.3},
    {"temperature": 0.0},
    {"do_sample": False},
    {"do_sample": None},
    {"top_k": None},
    {"top_p": 0.99},
    {"min_p": 0.01},
    {"typical_p": 0.9},
    {"epsilon_cutoff": 1e-3},
    {"eta_cutoff": 1e-3},
    {"top_h": 0.4},
    {"num_beams": 2},
    {"num_return_sequences": 2},
    {"n": 2},
    {"no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.1},
    {"encoder_repetition_penalty": 1.1},
    {"presence_penalty": 0.5},
    {"frequency_penalty": 0.5},
    {"suppress_tokens": [3]},
    {"begin_suppress_tokens": [3]},
    {"bad_words_ids": [[3]]},
    {"sequence_bias": [[[3], 1.0]]},
    {"logit_bias": {3: 1.0}},
    {"allowed_token_ids": [3, 4]},
    {"min_new_tokens": 2},
    {"min_length": 5},
    {"min_tokens": 2},
    {"forced_eos_token_id": 1},
    {"exponential_decay_length_penalty": [1, 1.5]},
    {"guidance_scale": 1.5},
    {"watermarking_config": {"bias": 2.0}},
    {"guided_decoding": {"regex": "a*"}},
    {"structured_outputs": {"regex": "a*"}},
    {"penalty_alpha": 0.6},
    {"ignore_eos": True},
    {"seed": 3},
    {"max_time": 1.0},
    {"stop_strings": ["a"]},
    {"cache_implementation": "quantized"},
    {"truncate_prompt_tokens": 4},
    {"a_setting_of_next_year": True},
]

HARMLESS = {
    "max_new_tokens": 3,
    "use_cache": False,
    "do_sample": True,
    "temperature": 0.5,
    "top_p": 1.0,
    "top_k": 0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "min_length": 0,
    "suppress_tokens": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


@pytest.mark.parametrize("given", REFUSED, ids=str)
@pytest.mark.parametrize("face", tiny.FACES)
def test_what_alters_the_samples(tmp_path: Path, face: str, given: dict[str, Any]) -> None:
    config_class = tiny.FACES[face][1]
    name = next(iter(given))
    fields = tiny.settings(tmp_path, objective="max@2", generation_kwargs=given)
    with pytest.raises(PkpoError, match=rf"generation_kwargs\['{name}'\]=.*samples of the policy"):
        config_class(**fields)
    assert config_class(**fields, accept_bias=[name]).generation_kwargs == given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", None),
        ("temperature", 0.0),
        ("vllm_structured_outputs_regex", "a*"),
        ("cache_implementation", "quantized"),
        ("epsilon", 0.0),
    ],
)
@pytest.mark.parametrize("face", tiny.FACES)
def test_fields_of_the_config(tmp_path: Path, face: str, name: str, value: Any) -> None:
    with pytest.raises(PkpoError, match=rf"- {name}={value!r}: ".replace("*", r"\*")):
        tiny.FACES[face][1](**tiny.settings(tmp_path, objective="max@2", **{name: value}))


def weights_after(tmp_path: Path, model_folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    fields = {"objective": "max@2", "temperature": 0.5} | changes
    trainer = tiny.make_trainer(tmp_path, model_folder, **fields)
    trainer.train()
    return trainer.model.state_dict()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> dict[str, torch.Tensor]:
    """The weights after a training without settings of generation."""
    return weights_after(tmp_path_factory.mktemp("plain"), model_folder)


def assert_same(found: dict[str, torch.Tensor], plain: dict[str, torch.Tensor]) -> None:
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_what_is_harmless(tmp_path: Path, model_folder: Path, plain: Any) -> None:
    found = weights_after(tmp_path, model_folder, generation_kwargs=HARMLESS)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)


def model_with(folder: Path, model_folder: Path, **settings: Any) -> Path:
    """The checkpoint with a generation_config.json of its own."""
    model, tokenizer = tiny.load(model_folder)
    model.generation_config = GenerationConfig(
        do_sample=True, eos_token_id=1, pad_token_id=0, **settings
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_trl_overrides_these_of_the_checkpoint(
    tmp_path: Path, model_folder: Path, plain: Any
) -> None:
    narrow = {"temperature": 0.1, "top_p": 0.1, "top_k": 1, "repetition_penalty": 2.0}
    folder = model_with(tmp_path / "m", model_folder, **narrow)
    assert_same(weights_after(tmp_path / "b", folder), plain)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"min_p": 0.2}, {"min_p": 0.0}),
        ({"typical_p": 0.5}, {"typical_p": 1.0}),
        ({"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 0}),
        ({"suppress_tokens": [3, 4]}, {"suppress_tokens": []}),
        ({"bad_words_ids": [[3]]}, None),
        ({"min_new_tokens": 3}, {"min_new_tokens": 0}),
    ],
    ids=str,
)
def test_what_trl_leaves_of_the_checkpoint(
    tmp_path: Path,
    model_folder: Path,
    plain: Any,
    settings: dict[str, Any],
    remedy: dict[str, Any] | None,
) -> None:
    folder, (name,) = model_with(tmp_path / "m", model_folder, **settings), settings
    with pytest.raises(
        PkpoError, match=rf"the model's generation_config\.{name}=.*samples of"
    ) as e:
        weights_after(tmp_path / "a", folder)
    if remedy is None:
        assert f"set model.generation_config.{name} = None" in str(e.value)
        return
    assert f"generation_kwargs={remedy!r}" in str(e.value)
    assert_same(weights_after(tmp_path / "c", folder, generation_kwargs=remedy), plain)


def test_a_none_of_the_config_is_filled_by_the_checkpoint(
    tmp_path: Path, model_folder: Path
) -> None:
    folder = model_with(tmp_path / "m", model_folder, top_p=0.5)
    with pytest.raises(PkpoError, match=r"the model's generation_config\.top_p=0\.5"):
        weights_after(tmp_path / "a", folder, top_p=None)
    weights_after(tmp_path / "b", model_folder, top_p=None)


def test_ends_that_trl_does_not_know(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(
        PkpoError, match=r"eos_token_id'\]=5: TRL takes completions to end at \[1\]"
    ):
        weights_after(tmp_path, model_folder, generation_kwargs={"eos_token_id": 5})


def test_names_that_can_be_accepted(tmp_path: Path) -> None:
    config_class = tiny.FACES["grpo"][1]
    with pytest.raises(PkpoError, match=r"accept_bias takes some of .*got .'typical_q'"):
        config_class(**tiny.settings(tmp_path, objective="max@2", accept_bias=["typical_q"]))


def test_the_wrapper_refuses_them_too(tmp_path: Path) -> None:
    args = GRPOConfig(
        **tiny.settings(
            tmp_path,
            scale_rewards="none",
            loss_type="dr_grpo",
            generation_kwargs={"typical_p": 0.5},
        )
    )
    with pytest.raises(PkpoError, match="typical_p"):
        joint_rewards(tiny.reward, "max@2", args=args)
    joint_rewards(tiny.reward, "max@2", args=args, accept_bias=["typical_p"])


@pytest.mark.parametrize("face", tiny.FACES)
def test_the_gradient_is_that_of_the_tempered_policy(
    tmp_path: Path, model_folder: Path, face: str
) -> None:
    """d/d theta of the log-probabilities of logits / temperature, by a plain forward pass."""
    temperature = 0.5
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@3",
        temperature=temperature,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0.0,
        max_steps=1,
    )
    model, _ = tiny.load(model_folder)
    trainer.train()
    (part,) = trainer.seen
    inputs, total = part.inputs, torch.zeros(())
    for row, advantage in enumerate(part.advantages):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
        completion = inputs["completion_ids"][row][inputs["completion_mask"][row].bool()]
        logits = model(torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
        logps = (logits / temperature).log_softmax(-1).gather(1, completion[:, None])
        total = total - advantage * logps.sum() / len(part.advantages)
    (total / (tiny.MAX_TOKENS if face == "grpo" else 1)).backward()
    after = dict(trainer.model.named_parameters())
    for name, value in model.named_parameters():
        moved = value.detach() - after[name].detach()
        torch.testing.assert_close(moved, value.grad, atol=2e-6, rtol=1e-4)
