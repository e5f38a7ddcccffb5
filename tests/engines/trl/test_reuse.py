"""Exact importance weights for samples that serve several optimizer steps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import offpolicy_oracles
import oracles
from pkpo.errors import InvalidInputError

from . import tiny


def completion_logps(model: Any, inputs: dict[str, Any]) -> list[float]:
    """log pi of each whole completion, by a plain forward pass of its own."""
    found = []
    for row in range(len(inputs["completion_ids"])):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
        completion = inputs["completion_ids"][row][inputs["completion_mask"][row].bool()]
        with torch.no_grad():
            logits = model(torch.cat([prompt, completion])[None]).logits[0].double()
        logs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        found.append(float(logs.gather(1, completion[:, None]).sum()))
    return found


class Watching:
    """Keeps the log-probabilities of every micro-batch, under the policy of its moment."""

    def __init__(self, trainer: Any) -> None:
        self.logps: list[list[float]] = []
        inner = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if model.training:
                self.logps.append(completion_logps(trainer.model, inputs))
            return inner(model, inputs, *args, **kwargs)

        trainer.compute_loss = compute_loss


@pytest.mark.parametrize("face", tiny.FACES)
@pytest.mark.parametrize("baseline", ["loo_minus_one", "loo", "none"])
def test_against_enumeration(tmp_path: Path, model_folder: Path, face: str, baseline: str) -> None:
    """One micro-batch a step, used three times: the second and third use have the
    advantages of enumeration, with ratios measured by another forward pass."""
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@3",
        baseline=baseline,
        reuse="exact",
        num_iterations=3,
        max_steps=6,
        optim="sgd",
        learning_rate=2.0,
        max_grad_norm=0.0,
    )
    watch = Watching(trainer)
    trainer.train()
    spread = 0.0
    for start in (0, 3):
        first = watch.logps[start]
        for use in range(3):
            part, logps = trainer.seen[start + use], watch.logps[start + use]
            rows: dict[str, list[tuple[float, float, float]]] = {}
            for prompt, text, advantage, now, then in zip(
                part.prompts, part.completions, part.advantages.tolist(), logps, first
            ):
                value = tiny.checksum_reward(prompt, text)
                rows.setdefault(prompt, []).append((value, np.exp(now - then), advantage))
            for group in rows.values():
                rewards, ratios, found = zip(*group)
                wanted = offpolicy_oracles.advantages(
                    [Fraction(value) for value in rewards],
                    [Fraction(ratio) for ratio in ratios],
                    oracles.maximum(3),
                    baseline,
                )
                np.testing.assert_allclose(
                    found, [4 * float(a) for a in wanted], rtol=2e-3, atol=2e-5
                )
                if use:
                    spread = max(spread, float(np.std(np.log(ratios))))
    assert spread > 0.05
    assert any("pkpo/effective_sample_size" in row for row in trainer.state.log_history)


@pytest.mark.parametrize("face", tiny.FACES)
def test_a_batch_in_parts(tmp_path: Path, model_folder: Path, face: str) -> None:
    """Groups spread over micro-batches and optimizer steps are weighted as wholes, for the
    policy at each step; and the loss adds no ratio of its own."""
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@2",
        reuse="exact",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        steps_per_generation=4,
        num_iterations=2,
        max_steps=8,
    )
    losses = []
    inner = trainer._compute_loss

    def watched(model: Any, inputs: Any) -> Any:
        loss = inner(model, inputs)
        losses.append(float(loss.detach()))
        return loss

    trainer._compute_loss = watched
    trainer.train()
    losses = losses[3:]  # the first are of the check of the loss
    assert len(trainer.seen) == len(losses) == 16
    for part, loss in zip(trainer.seen, losses):
        lengths = part.inputs["completion_mask"].sum(1)
        if face == "grpo":
            assert part.inputs.get("old_per_token_logps") is None
            wanted = -float((part.advantages * lengths).sum()) / (2 * tiny.MAX_TOKENS) / 2
        else:
            wanted = -float(part.advantages.mean())
        assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    weighted = [row for row in trainer.state.log_history if "pkpo/log_ratio_std" in row]
    assert len(weighted) == 6


def test_without_reuse_nothing_changes(tmp_path: Path, model_folder: Path) -> None:
    plain = tiny.make_trainer(tmp_path / "a", model_folder, objective="max@2")
    plain.train()
    exact = tiny.make_trainer(tmp_path / "b", model_folder, objective="max@2", reuse="exact")
    exact.train()
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(exact.model.state_dict()[name], value, rtol=0, atol=0)


def test_missing_rewards_are_refused(tmp_path: Path, model_folder: Path) -> None:
    def sometimes(completions: list[str], **kwargs: Any) -> list[Any]:
        return [None, *[0.5] * (len(completions) - 1)]

    trainer = tiny.make_trainer(
        tmp_path, model_folder, objective="max@2", reuse="exact", reward_funcs=sometimes
    )
    with pytest.raises(InvalidInputError, match="needs a reward for every completion; 1 of 8"):
        trainer.train()


class Sampler:
    """Stands in for vLLM: draws from a copy of the model whose logits are divided by 0.3, and
    says with which probability."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def sync_weights(self) -> None:
        pass

    @torch.no_grad()
    def generate(self, prompts: Any, **kwargs: Any) -> Any:
        as_text = isinstance(prompts[0], str)  # as TRL 0.29 has it
        if as_text:
            prompts = self.trainer.processing_class(prompts)["input_ids"]
        drawn, logps = [], []
        for prompt in prompts:
            ids, own = list(prompt), []
            while len(own) < tiny.MAX_TOKENS and ids[-1] != tiny.LETTERS.eos_id:
                logits = self.trainer.model(torch.tensor([ids])).logits[0, -1] / 0.3
                token = int(torch.multinomial(logits.softmax(-1), 1))
                own.append([float(logits.log_softmax(-1)[token])])
                ids.append(token)
            drawn.append(ids[len(prompt) :])
            logps.append(own)
        return (prompts, drawn, logps, None, {}) if as_text else (prompts, drawn, logps, None)


def with_sampler(trainer: Any) -> Any:
    trainer.use_vllm, trainer._last_loaded_step = True, -1
    trainer.vllm_generation = Sampler(trainer)
    return trainer


@pytest.mark.parametrize("changes", [{}, {"num_iterations": 2}], ids=str)
def test_what_vllm_drew(tmp_path: Path, model_folder: Path, changes: dict[str, Any]) -> None:
    """The weights of whole groups for what another policy drew, at the first use too, with
    no bound, and no ratio beside them."""
    trainer = with_sampler(
        tiny.make_trainer(
            tmp_path, model_folder, objective="max@3", reuse="exact", max_steps=2, **changes
        )
    )
    watch = Watching(trainer)
    trainer.train()
    spread = 0.0
    for part, logps in zip(trainer.seen, watch.logps):
        assert part.inputs.get("old_per_token_logps") is None
        assert bool((part.inputs["importance_sampling_ratio"] == 1).all())
        drawn = part.inputs["sampling_per_token_logps"] * part.inputs["completion_mask"]
        log_ratios = np.array(logps) - drawn.sum(dim=1).double().numpy()
        groups: dict[str, list[tuple[float, float, float]]] = {}
        for prompt, text, log_ratio, advantage in zip(
            part.prompts, part.completions, log_ratios, part.advantages.tolist()
        ):
            row = (tiny.checksum_reward(prompt, text), float(np.exp(log_ratio)), advantage)
            groups.setdefault(prompt, []).append(row)
        for rewards, ratios, found in (zip(*group) for group in groups.values()):
            wanted = offpolicy_oracles.advantages(
                [Fraction(value) for value in rewards],
                [Fraction(ratio) for ratio in ratios],
                oracles.maximum(3),
                "loo_minus_one",
            )
            np.testing.assert_allclose(found, [4 * float(a) for a in wanted], rtol=2e-3, atol=2e-5)
        spread = max(spread, float(np.std(log_ratios)))
    assert spread > 0.1
