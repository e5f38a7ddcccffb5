"""One step of TRL and one of the embedded engine: the same gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback

from pkpo.engines.embedded.export import load_pretrained
from pkpo.engines.embedded.learning import Learner, policy_gradient_loss
from pkpo.engines.embedded.lora import add_lora, save_adapter
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, token_logprobs

from . import tiny

SGD = {"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "max_steps": 1}


def step_of_trl(folder: Path, model_folder: Path, face: str, **changes: Any) -> tuple[Any, dict]:
    """The trainer after one step of SGD, and how far that moved each parameter."""
    trainer = tiny.make_trainer(folder, model_folder, face, objective="max@3", **SGD, **changes)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    return trainer, {name: before[name] - after[name].detach() for name in before}


def step_of_embedded(model_folder: Path, seen: list[tiny.Seen]) -> dict[str, torch.Tensor]:
    """The embedded engine's gradient for the same completions and advantages."""
    policy = load_pretrained(model_folder)
    parts = [part.inputs for part in seen]
    width = max(part["completion_ids"].shape[1] for part in parts)
    pad = tiny.LETTERS.pad_id
    tokens = torch.cat(
        [
            torch.nn.functional.pad(
                part["completion_ids"], (0, width - part["completion_ids"].shape[1]), value=pad
            )
            for part in parts
        ]
    )
    prompts = torch.cat([part["prompt_ids"] for part in parts])
    advantages = torch.cat([part["advantages"] for part in parts])
    logprobs = token_logprobs(
        policy,
        prompts,
        torch.full((len(prompts),), prompts.shape[1]),
        tokens,
        torch.arange(len(prompts)),
        eos_id=tiny.LETTERS.eos_id,
    )
    loss = policy_gradient_loss(logprobs, advantages, num_prompts=len(prompts))
    loss.backward()
    return {name: value.grad for name, value in policy.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("face", tiny.FACES)
def test_the_gradients_agree(tmp_path: Path, model_folder: Path, face: str) -> None:
    trainer, moved = step_of_trl(tmp_path, model_folder, face)
    wanted = step_of_embedded(model_folder, trainer.seen)
    # dr_grpo divides by max_completion_length, a constant.
    scale = tiny.MAX_TOKENS if face == "grpo" else 1
    names = {name for name in wanted if name in moved}
    assert len(names) >= 10
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name in names:
        found, expected = moved[name] * scale, wanted[name]
        if name == "model.embed_tokens.weight":
            # transformers gives no gradient to the padding token as an input, ours does.
            found, expected = found[1:], expected[1:]
        torch.testing.assert_close(found, expected, atol=1e-5 * largest, rtol=1e-5)


@pytest.mark.parametrize("face", tiny.FACES)
def test_micro_batches_do_not_move_the_gradient(
    tmp_path: Path, model_folder: Path, face: str
) -> None:
    whole, moved = step_of_trl(tmp_path / "whole", model_folder, face)
    parts, moved_in_parts = step_of_trl(
        tmp_path / "parts",
        model_folder,
        face,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )
    assert sorted(whole.seen[0].completions) == sorted(
        text for part in parts.seen for text in part.completions
    )
    for name, change in moved.items():
        np.testing.assert_allclose(moved_in_parts[name], change, atol=2e-7)


# A wide policy of grouped queries, whose learner shares what prompts begin with, leaves out
# completions without an advantage and takes the others in parts.

WIDE = {"hidden": 256, "layers": 2, "heads": 4, "kv_heads": 2, "max_positions": 64}
QUESTIONS = ["ab", "cdba", "fe", "cacfd"]


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model(tmp_path_factory.mktemp("wide"), **WIDE)


class KeepGradient(TrainerCallback):
    def __init__(self) -> None:
        self.found: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                plain = name.removeprefix("base_model.model.").replace(".default.weight", "")
                self.found[plain] = parameter.grad.clone()


def gradient_of_trl(folder: Path, model_folder: Path, **changes: Any) -> tuple[Any, dict]:
    """The trainer after one step, and the policy gradient that it took."""
    keep = KeepGradient()
    prompts = [{"prompt": "abcdef" * 5 + question + "<answer>"} for question in QUESTIONS]
    sizes = {"num_generations": 8, "per_device_train_batch_size": 16}
    trainer = tiny.make_trainer(
        folder,
        model_folder,
        train_dataset=Dataset.from_list(prompts),
        callbacks=[keep],
        gradient_accumulation_steps=2,
        **SGD,
        **sizes,
        **changes,
    )
    trainer.train()
    return trainer, {name: x * tiny.MAX_TOKENS for name, x in keep.found.items()}


def learn(learner: Learner, seen: list[tiny.Seen], *, size: int) -> None:
    """A step of the embedded engine on what TRL sampled, in groups of `size`."""
    groups: dict[tuple[int, ...], list[tuple[list[int], float]]] = {}
    pad = tiny.LETTERS.pad_id
    for part in seen:
        given = part.inputs
        short = tiny.MAX_TOKENS - given["completion_ids"].shape[1]
        tokens = torch.nn.functional.pad(given["completion_ids"], (0, short), value=pad)
        for row, prompt in enumerate(given["prompt_ids"]):
            ids = tuple(prompt[given["prompt_mask"][row] == 1].tolist())
            one = (tokens[row].tolist(), float(given["advantages"][row]))
            groups.setdefault(ids, []).append(one)
    assert {len(rows) for rows in groups.values()} == {size}
    lengths = torch.tensor([len(ids) for ids in groups])
    prompts = torch.tensor([[*ids, *[pad] * (int(lengths.max()) - len(ids))] for ids in groups])
    tokens = torch.tensor([[ids for ids, _ in rows] for rows in groups.values()])
    advantages = torch.tensor([[value for _, value in rows] for rows in groups.values()]) / size
    samples = Completions(tokens, torch.zeros(tokens.shape), torch.zeros(tokens.shape))
    learner.step(prompts, lengths, samples, advantages, eos_id=tiny.LETTERS.eos_id)


def gradient_of_learner(policy: Policy, seen: list[tiny.Seen]) -> dict[str, torch.Tensor]:
    """The gradient of the embedded engine's step for what TRL sampled."""
    prompts = torch.cat([part.inputs["prompt_ids"] for part in seen])
    assert len(prompts.unique(dim=0)) == len(QUESTIONS)
    learner = Learner(policy, learning_rate=0.0, max_grad_norm=1e9, tokens_at_once=40)
    learn(learner, seen, size=8)
    return {name: x.grad for name, x in policy.named_parameters() if x.grad is not None}


def check_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """To 1e-4 of each parameter's gradient, but for the padding token's embedding."""
    assert found.keys() == wanted.keys()
    for name, expected in wanted.items():
        first = 1 if name == "model.embed_tokens.weight" else 0
        apart = (found[name] - expected)[first:].norm()
        assert 0 < expected[first:].norm() < torch.inf
        assert apart < 1e-4 * expected[first:].norm(), name


@pytest.mark.parametrize(("objective", "baseline"), [("max@6", "loo_minus_one"), ("mean", "loo")])
def test_the_learner_follows_the_gradient_of_trl(
    tmp_path: Path, wide_folder: Path, objective: str, baseline: str
) -> None:
    trainer, theirs = gradient_of_trl(tmp_path, wide_folder, objective=objective, baseline=baseline)
    without = sum(int((part.advantages == 0).sum()) for part in trainer.seen)
    assert objective == "mean" or without > 8
    check_equal(gradient_of_learner(load_pretrained(wide_folder), trainer.seen), theirs)


def test_adapters_of_peft_have_the_same_gradient(tmp_path: Path, wide_folder: Path) -> None:
    peft = pytest.importorskip("peft")
    policy, generator = load_pretrained(wide_folder), torch.Generator().manual_seed(0)
    add_lora(policy, rank=3, alpha=6.0, generator=generator)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.3, generator=generator)
    save_adapter(policy, tmp_path / "adapter", base=str(wide_folder))
    model = peft.PeftModel.from_pretrained(
        tiny.load(wide_folder)[0], tmp_path / "adapter", is_trainable=True
    )
    trainer, theirs = gradient_of_trl(tmp_path, wide_folder, objective="max@6", model=model)
    assert {name.rpartition(".")[2] for name in theirs} == {"lora_A", "lora_B"}
    check_equal(gradient_of_learner(policy, trainer.seen), theirs)


@pytest.mark.parametrize(("objective", "baseline"), [("max@2", "loo_minus_one"), ("mean", "loo")])
def test_thirty_steps_on_the_same_samples_lead_to_the_same_policy(
    tmp_path: Path, model_folder: Path, objective: str, baseline: str
) -> None:
    """AdamW and clipping as they are trained with, in units of each engine's own loss."""
    steps, rate = 30, 3e-3
    model, _ = tiny.load(model_folder)
    # transformers gives no gradient to a padding token that was sampled, the embedded engine does.
    model.get_input_embeddings().padding_idx = None
    begin = {name: x.detach().clone() for name, x in model.named_parameters()}
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        model=model,
        objective=objective,
        baseline=baseline,
        learning_rate=rate,
        max_steps=steps,
        adam_beta2=0.99,
        adam_epsilon=1e-8 / tiny.MAX_TOKENS,
        max_grad_norm=1.0 / tiny.MAX_TOKENS,
        weight_decay=0.0,
    )
    trainer.train()
    policy = load_pretrained(model_folder)
    learner = Learner(policy, learning_rate=rate, max_grad_norm=1.0)
    for step in range(steps):
        learn(learner, [part for part in trainer.seen if part.step == step], size=4)
    found = dict(policy.named_parameters())
    with torch.no_grad():
        ends = dict(trainer.model.named_parameters())
        moved = sum(float((ends[name] - x).square().sum()) for name, x in begin.items())
        apart = sum(float((ends[name] - found[name]).square().sum()) for name in begin)
    assert moved > 0.1
    assert apart < 1e-6 * moved
