"""One step of TRL and one of the embedded engine: the same gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pkpo.engines.embedded.export import load_pretrained
from pkpo.engines.embedded.learning import policy_gradient_loss
from pkpo.engines.embedded.sampling import token_logprobs

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
