"""The job as two processes of a launch, which share the prompts' completions out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pkpo

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


@pytest.fixture(scope="module")
def run(warm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    # 18 completions for each process, 6 at a time: the fifth group of 4 is split.
    config = make_config(
        warm_model, "max@3", prompts_per_step=9, per_device_batch_size=6, baseline="loo"
    )
    (folder / "config.json").write_text(config.model_dump_json())
    done = subprocess.run(
        [
            sys.executable,
            *_MODULE,
            "-m",
            "pkpo",
            "train",
            "--config",
            "config.json",
            "--out",
            "run",
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Run directory: ") == 1
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
