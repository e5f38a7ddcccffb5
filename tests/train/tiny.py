"""A job small enough to run many times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkpo.engines.embedded.model import Policy
from pkpo.tasks.base import Task
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.train.config import TrainConfig
from pkpo.train.embedded.arm_trainer import ArmTrainer
from pkpo.train.embedded.warm_start import warm_start
from pkpo.train.run_directory import ArmDirectory

OPTIONS: dict[str, Any] = {
    "num_train": 50,
    "num_validation": 10,
    "num_test": 20,
    "size": 2,
    "num_examples": 1,
    "max_ops": 2,
    "lengths": [1.0, 2.0],
}
STEPS = 7
TIMING = ("elapsed", "samples_per_second")


class Killed(Exception):
    """Stands for the end of the process."""


class Doomed:
    """A task whose process dies when it verifies training samples for the nth time."""

    def __init__(self, task: Task, dies_at: int) -> None:
        self._task, self._left = task, dies_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def verify(self, split: Any, problems_P: np.ndarray, completions_PGT: np.ndarray) -> np.ndarray:
        if split == "train":
            self._left -= 1
            if self._left <= 0:
                raise Killed
        return self._task.verify(split, problems_P, completions_PGT)


def settings(schedule: str = "max@2", **training: Any) -> dict[str, Any]:
    return {
        "task": {"name": "grid-programs", "options": OPTIONS},
        "policy": {"hidden": 16, "layers": 1, "heads": 2, "intermediate": 16},
        "warm_start": {"steps": 40, "batch_size": 32, "learning_rate": 0.01},
        "training": {"steps": STEPS, "prompts_per_step": 8, "num_generations": 4} | training,
        "evaluation": {"k_values": [1, 2, 4], "num_samples": 8, "every": 3},
        "arms": [{"name": "arm", "schedule": schedule, "learning_rate": 0.01}],
        "checkpoint_every": 2,
        "completions_every": 1,
    }


def make_config(schedule: str = "max@2", **training: Any) -> TrainConfig:
    return TrainConfig.model_validate(settings(schedule, **training))


def make_task(**options: Any) -> GridProgramTask:
    given = OPTIONS | {"lengths": tuple(OPTIONS["lengths"])} | options
    return GridProgramTask(**given)


def make_policy(config: TrainConfig, cache: Path, task: Task | None = None) -> Policy:
    """The warm start, which tests may train on."""
    return warm_start(task or make_task(), config, 0, cache=cache, progress=lambda step, loss: None)


def trainer(
    config: TrainConfig, path: Path, cache: Path, *, task: Any = None, seed: int = 0
) -> ArmTrainer:
    task = task or make_task()
    policy = make_policy(config, cache)
    return ArmTrainer(task, config, config.arms[0], seed, policy, ArmDirectory(path))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def untimed(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in row.items() if k not in TIMING and not k.endswith("_share")}
        for row in metrics
    ]


def assert_same_run(left: Path, right: Path) -> None:
    """Bit-identical but for the time it took."""
    a, b = ArmDirectory(left), ArmDirectory(right)
    assert untimed(rows(a.metrics)) == untimed(rows(b.metrics))
    for name in ("evaluations.jsonl", "evaluation.json", "model/model.safetensors"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
    mine, theirs = (torch.load(d.checkpoints.last, weights_only=True) for d in (a, b))
    assert mine["step"] == theirs["step"]
    assert torch.equal(mine["solved"], theirs["solved"])
    for name, value in mine["policy"].items():
        assert torch.equal(value, theirs["policy"][name]), name
    moments, others = mine["optimizer"]["state"], theirs["optimizer"]["state"]
    for number, state in moments.items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(others[number][name]))
