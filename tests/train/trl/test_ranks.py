"""The job as two processes of a launch, which share the prompts' completions out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import pkpo
from pkpo.train.trl.arm import last_checkpoint

from ..tiny import rows
from .small import (
    EVALUATION,
    arm_of,
    column,
    groups,
    make_config,
    reward_of,
    start,
)

STEPS = 30
"""So many that a signal in the second arm comes before its end."""

CHANGES = {"prompts_per_step": 9, "per_device_batch_size": 6, "baseline": "loo"}
"""18 completions for each process, 6 at a time: the fifth group of 4 is split."""

_MODULE = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


class Launched(NamedTuple):
    """A launch that was interrupted in its second arm, and what it said."""

    path: Path
    said: str
    complaints: str


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def launched(warm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    folder = tmp_path_factory.mktemp("launch")
    arms = [{"name": n, "schedule": "max@3", "learning_rate": 0.003} for n in ("arm", "other")]
    often = {"checkpoint_every": 1000, "evaluation": EVALUATION | {"every": 1000}}
    config = make_config(warm_model, "max@3", steps=STEPS, arms=arms, **CHANGES, **often)
    (folder / "config.json").write_text(config.model_dump_json())
    flags = ("-m", "pkpo", "train", "--config", "config.json", "--out", "run")
    launch = subprocess.Popen(
        [sys.executable, *_MODULE, *flags],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    other = arm_of(folder / "run", "other")
    try:
        deadline = time.monotonic() + 300
        while not (other.metrics.exists() and len(rows(other.metrics)) >= 2):
            assert launch.poll() is None, launch.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        launch.send_signal(signal.SIGINT)
        said, complaints = launch.communicate(timeout=120)
    finally:
        launch.kill()
        launch.communicate()
    return Launched(folder / "run", said, complaints)


def test_one_process_speaks(launched: Launched) -> None:
    assert launched.said.count("Run directory: ") == 1


def test_both_sides_of_a_group_count(launched: Launched) -> None:
    arm = arm_of(launched.path)
    metrics = rows(arm.metrics)
    assert [row["step"] for row in metrics] == list(range(STEPS))
    for step, row in enumerate(metrics[:6]):
        names, frame = groups(arm, step)
        assert len(set(names)) == 9
        rewards = column(frame, "reward")
        again = [reward_of(*pair) for pair in frame.select("problem", "completion").iter_rows()]
        assert rewards.reshape(-1).tolist() == again
        expected = pkpo.advantages(rewards, "max@3", baseline="loo")
        np.testing.assert_allclose(column(frame, "advantage"), expected, atol=1e-6)
        assert row["pass@1"] == pytest.approx(rewards.mean())


def test_an_arm_is_finished_by_all_processes_together(launched: Launched) -> None:
    arm = arm_of(launched.path)
    assert json.loads(arm.evaluation.read_text())["step"] == STEPS
    assert (arm.model / "model.safetensors").exists()
    assert [row["step"] for row in rows(arm.evaluations)] == [0, STEPS]


def test_the_measurement_doesn_t_depend_on_the_number_of_processes(
    launched: Launched, warm_model: Path, tmp_path: Path
) -> None:
    start(make_config(warm_model, "max@3", steps=1, **CHANGES), tmp_path / "run")
    alone, shared = (
        json.loads((folder / "warm_start/seed_0/evaluation.json").read_text())
        for folder in (tmp_path / "run", launched.path)
    )
    assert alone.pop("entropy") == pytest.approx(shared.pop("entropy"), rel=1e-6)
    assert alone == shared


def test_a_signal_to_the_launcher_ends_all_processes_after_the_same_step(
    launched: Launched,
) -> None:
    assert launched.complaints.count("-m pkpo train --resume run` goes on") == 2
    assert "Report: run/report.html" in launched.said
    arm = arm_of(launched.path, "other")
    assert not arm.finished
    steps = len(rows(arm.metrics))
    assert steps < STEPS
    assert last_checkpoint(arm.path / "checkpoints")[0] == steps
    assert {path.name for path in (arm.path / f"checkpoints/checkpoint-{steps}").glob("rng*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
