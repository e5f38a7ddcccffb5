"""The job as two processes of a launch, which share the prompts' completions out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pkpo
from pkpo.train.trl.arm import last_checkpoint

from ..tiny import rows
from .small import (
    STEPS,
    arm_of,
    column,
    groups,
    make_config,
    reward_of,
    start,
)

_MODULE = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def _launch(folder: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *_MODULE, "-m", "pkpo", "train", *flags],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def run(warm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    # 18 completions for each process, 6 at a time: the fifth group of 4 is split.
    config = make_config(
        warm_model, "max@3", prompts_per_step=9, per_device_batch_size=6, baseline="loo"
    )
    (folder / "config.json").write_text(config.model_dump_json())
    launch = _launch(folder, "--config", "config.json", "--out", "run")
    said, complaints = launch.communicate(timeout=120)
    assert launch.returncode == 0, complaints
    assert said.count("Run directory: ") == 1
    return folder / "run"


def test_both_sides_of_a_group_count(run: Path) -> None:
    arm = arm_of(run)
    metrics = rows(arm.metrics)
    assert [row["step"] for row in metrics] == list(range(STEPS))
    for step, row in enumerate(metrics):
        names, frame = groups(arm, step)
        assert len(set(names)) == 9
        rewards = column(frame, "reward")
        again = [reward_of(*pair) for pair in frame.select("problem", "completion").iter_rows()]
        assert rewards.reshape(-1).tolist() == again
        expected = pkpo.advantages(rewards, "max@3", baseline="loo")
        np.testing.assert_allclose(column(frame, "advantage"), expected, atol=1e-6)
        assert row["pass@1"] == pytest.approx(rewards.mean())


def test_the_measurement_doesn_t_depend_on_the_number_of_processes(
    run: Path, warm_model: Path, tmp_path: Path
) -> None:
    config = make_config(
        warm_model, "max@3", steps=1, prompts_per_step=9, per_device_batch_size=6, baseline="loo"
    )
    start(config, tmp_path / "run")
    alone, launched = (
        json.loads((folder / "warm_start/seed_0/evaluation.json").read_text())
        for folder in (tmp_path / "run", run)
    )
    assert alone.pop("entropy") == pytest.approx(launched.pop("entropy"), rel=1e-6)
    assert alone == launched


def test_a_signal_to_the_launcher_ends_all_processes_after_the_same_step(
    warm_model: Path, tmp_path: Path
) -> None:
    config = make_config(warm_model, steps=100_000, checkpoint_every=100_000)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    launch = _launch(tmp_path, "--config", "config.json", "--out", "run")
    arm = arm_of(tmp_path / "run")
    deadline = time.monotonic() + 60
    while not (arm.metrics.exists() and len(rows(arm.metrics)) >= 2):
        assert launch.poll() is None, launch.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    launch.send_signal(signal.SIGINT)
    said, complaints = launch.communicate(timeout=60)
    assert complaints.count("-m pkpo train --resume run` goes on") == 2
    assert "Report: run/report.html" in said
    steps = len(rows(arm.metrics))
    assert last_checkpoint(arm.path / "checkpoints")[0] == steps
    assert {path.name for path in (arm.path / f"checkpoints/checkpoint-{steps}").glob("rng*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
