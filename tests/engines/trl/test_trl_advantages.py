"""The advantages that reach TRL's loss, against enumeration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oracles
from pkpo.engines.trl import PKPOConfig, PKPORLOOConfig, PKPORLOOTrainer, PKPOTrainer

from . import tiny

FACES = {"grpo": (PKPOTrainer, PKPOConfig), "rloo": (PKPORLOOTrainer, PKPORLOOConfig)}


def train(folder: Path, model_folder: Path, face: str = "grpo", **changes: Any) -> Any:
    trainer_class, config_class = FACES[face]
    rewards = changes.pop("reward_funcs", tiny.reward)
    model, tokenizer = tiny.load(model_folder)
    trainer = tiny.recording(trainer_class)(
        model=model,
        args=config_class(**tiny.settings(folder, **changes)),
        reward_funcs=rewards,
        train_dataset=tiny.dataset(),
        eval_dataset=tiny.dataset(2),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


def check(groups: dict[str, list[tuple[str, float]]], kernel: Any, baseline: str) -> None:
    signals = 0
    for prompt, rows in groups.items():
        completions, found = [list(column) for column in zip(*rows)]
        wanted = tiny.expected_advantages(prompt, completions, kernel, baseline)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        signals += any(wanted)
    assert signals


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("objective", "kernel", "baseline"),
    [
        ("max@3", oracles.maximum(3), "loo_minus_one"),
        ("max@4", oracles.maximum(4), "loo_minus_one"),
        ("mean", oracles.mean(), "loo"),
        (
            "0.5*max@2 + 0.5*mean",
            oracles.mixture((0.5, oracles.maximum(2)), (0.5, oracles.mean())),
            "loo",
        ),
        ("min@2", oracles.minimum(2), "paper_loo"),
    ],
)
def test_every_objective_and_baseline(
    tmp_path: Path, model_folder: Path, face: str, objective: str, kernel: Any, baseline: str
) -> None:
    trainer = train(tmp_path, model_folder, face, objective=objective, baseline=baseline)
    for step in (0, 1):
        seen = [part for part in trainer.seen if part.step == step]
        check(tiny.groups_of(seen), kernel, baseline)
