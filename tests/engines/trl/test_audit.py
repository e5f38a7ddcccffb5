"""The expected gradient of our trainers' advantages and TRL's loss, by enumeration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkpo.engines.audit import BINARY, CONTINUOUS, audit
from pkpo.engines.trl.audit import path, paths

from . import tiny


def verdict(folder: Path, model_folder: Path, face: str, objective: str, **changes: Any) -> str:
    n = changes.setdefault("num_generations", 3)
    changes["per_device_train_batch_size"] = 2 * n
    rewards = changes.pop("rewards", CONTINUOUS)
    trainer = tiny.make_trainer(folder, model_folder, face, objective=objective, **changes)
    return audit(path(trainer), objective, sizes=(n, n), rewards=rewards).verdict


def test_grpo_s_face(tmp_path: Path, model_folder: Path) -> None:
    # dr_grpo divides by max_completion_length.
    found = verdict(tmp_path, model_folder, "grpo", "max@2")
    assert found == "exact up to a constant factor 0.333333"


def test_rloo_s_face(tmp_path: Path, model_folder: Path) -> None:
    given = {"baseline": "loo", "rewards": BINARY}
    assert verdict(tmp_path, model_folder, "rloo", "min@2", **given) == "exact"


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_refused_losses_are_other_objectives(
    tmp_path: Path, model_folder: Path, loss_type: str
) -> None:
    given = {"loss_type": loss_type, "accept_bias": ["loss_type"], "num_generations": 2}
    found = verdict(tmp_path, model_folder, "grpo", "mean", **given)
    assert found.startswith("another objective")


def test_what_the_command_goes_through() -> None:
    assert [*paths("max@2")] == ["PKPOTrainer", "PKPORLOOTrainer"]
