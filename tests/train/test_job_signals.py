"""Interrupts and dying workers: real processes, real signals, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from execution.watching import wait_for
from pkpo.execution.pool import ThisProcess
from pkpo.report import write
from pkpo.train.config import TrainConfig
from pkpo.train.job import Job, JobError
from pkpo.train.run_directory import RunDirectory

from .forks import Attempts, Running
from .tiny import assert_same_run, rows, settings

STEPS = 60
ARMS = ("k=1", "k=2", "k=4")


def job_settings(**changes: Any) -> dict[str, Any]:
    """Checkpoints come from interrupts alone."""
    schedules = ("mean", "max@2", "max@4")
    arms = [
        {"name": name, "schedule": text, "learning_rate": 0.01}
        for name, text in zip(ARMS, schedules)
    ]
    base = settings(steps=STEPS) | {"arms": arms, "checkpoint_every": 1000, "completions_every": 20}
    return base | {"evaluation": {"k_values": [1, 2], "num_samples": 4, "every": 10}} | changes


@pytest.fixture(scope="module", autouse=True)
def surroundings(cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        patch.setenv("PKPO_CACHE", str(cache))
        patch.setattr(write, "draw_figures", lambda run: ())
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    run = RunDirectory.create(path, TrainConfig.model_validate(job_settings()), "")
    do(run, report=False)
    return run


def do(run: RunDirectory, **how: Any) -> None:
    console, executor = Console(quiet=True), ThisProcess(lambda: False)
    Job(run, workers=1, console=console, executor=executor, **how).run()


def folder(path: Path, arm: str) -> Path:
    return path / "arms" / arm / "seed_0"


def steps_done(path: Path, arm: str) -> int:
    metrics = folder(path, arm) / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


@pytest.fixture
def started(
    attempts: Attempts, cache: Path, tmp_path: Path
) -> Callable[[dict[str, Any], Path], AbstractContextManager[Running]]:
    def start(config: dict[str, Any], path: Path) -> AbstractContextManager[Running]:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        arguments = ("train", "--config", file, "--out", path, "--workers", 2)
        return attempts.started(*arguments, cache=cache, slow_until=tmp_path / "faster")

    return start


@pytest.mark.parametrize(
    ("number", "group", "code"),
    [
        (signal.SIGINT, True, 130),
        pytest.param(signal.SIGINT, False, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, 143, marks=pytest.mark.slow),
    ],
    ids=["a terminal's", "to the parent", "a scheduler's"],
)
def test_an_interrupt_ends_after_a_step_and_changes_nothing(
    started: Any,
    attempts: Attempts,
    cache: Path,
    uninterrupted: RunDirectory,
    tmp_path: Path,
    number: signal.Signals,
    group: bool,
    code: int,
):
    path = tmp_path / "run"
    with started(job_settings(), path) as process:
        wait_for(lambda: steps_done(path, "k=1") >= 3)
        process.signal(number, group=group)
        assert process.ended() == code
    assert process.err.strip() == (
        f"pkpo: interrupted by {number.name}; all steps made are kept, and "
        f"`pkpo train --resume {path}` goes on"
    )
    assert "ending after the current step" in process.out
    for arm in ARMS[:2]:
        assert 1 <= steps_done(path, arm) < STEPS
        assert (folder(path, arm) / "state.pt").exists()
        assert not (folder(path, arm) / "evaluation.json").exists()
        assert not (folder(path, arm) / "failure.txt").exists()
    assert not folder(path, "k=4").exists()
    assert (
        f"{steps_done(path, 'k=1')} of {STEPS} training steps" in (path / "summary.md").read_text()
    )
    assert (path / "report.html").exists()

    before = {arm: rows(folder(path, arm) / "metrics.jsonl") for arm in ARMS[:2]}
    again = attempts.command("train", "--resume", path, "--workers", 2, cache=cache)
    assert again.code == 0, again.err
    for arm in ARMS:
        assert_same_run(folder(path, arm), folder(uninterrupted.path, arm))
    for arm, kept in before.items():
        assert rows(folder(path, arm) / "metrics.jsonl")[: len(kept)] == kept


SLOW = {
    "policy": {"hidden": 128, "layers": 4, "heads": 4, "intermediate": 512},
    "warm_start": {"steps": 2000, "batch_size": 256, "demonstrations": 100},
}


def test_a_second_interrupt_ends_at_once(started: Any, tmp_path: Path):
    """In the middle of a slow warm start, of which nothing is kept."""
    path = tmp_path / "run"
    with started(job_settings(**SLOW), path) as process:
        wait_for(lambda: (path / "warm_start" / "seed_0" / "progress.json").exists())
        process.signal(signal.SIGINT, group=True)
        time.sleep(0.2)
        start = time.monotonic()
        process.signal(signal.SIGINT, group=True)
        assert process.ended() == 130
        assert time.monotonic() - start < 5
        wait_for(lambda: _group_is_gone(process.pid))
    assert "ended at once" in process.err
    assert f"pkpo train --resume {path}" in process.err
    assert "Traceback" not in process.err
    assert not (path / "report.html").exists()


def _group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_interrupted_warm_start_is_made_again(started: Any, tmp_path: Path):
    path = tmp_path / "run"
    config = job_settings(warm_start={"steps": 2000, "batch_size": 32, "demonstrations": 100})
    with started(config, path) as process:
        wait_for(lambda: (path / "warm_start" / "seed_0" / "progress.json").exists())
        process.signal(signal.SIGINT, group=True)
        assert process.ended() == 130, process.err
    assert list((path / "warm_start" / "seed_0").iterdir()) == []
    assert not (path / "arms").exists()
    assert "k=1, seed 0: not started" in (path / "summary.md").read_text()


def test_a_killed_worker_costs_its_own_arm_only(
    started: Any, attempts: Attempts, cache: Path, uninterrupted: RunDirectory, tmp_path: Path
):
    path = tmp_path / "run"
    with started(job_settings(), path) as process:
        wait_for(lambda: steps_done(path, "k=1") >= 3)
        worker = int((folder(path, "k=1") / "lock").read_text().split()[1])
        os.kill(worker, signal.SIGKILL)
        (tmp_path / "faster").touch()
        assert process.ended() == 1
    assert process.err.startswith("pkpo: 1 arms failed: k=1. ")
    assert "k=1 failed: its worker process was killed (SIGKILL" in process.out
    assert "killed (SIGKILL" in (folder(path, "k=1") / "failure.txt").read_text()
    for arm in ARMS[1:]:
        assert_same_run(folder(path, arm), folder(uninterrupted.path, arm))
    summary = (path / "summary.md").read_text()
    assert "k=1, seed 0: failed: its worker process was killed (SIGKILL" in summary

    again = attempts.command("train", "--resume", path, "--workers", 1, cache=cache)
    assert again.code == 0, again.err
    assert_same_run(folder(path, "k=1"), folder(uninterrupted.path, "k=1"))
    assert not (folder(path, "k=1") / "failure.txt").exists()


def test_a_failing_warm_start_costs_its_own_seed_only(cache: Path, tmp_path: Path):
    config = TrainConfig.model_validate(job_settings(seeds=[0, 1]) | {"training": {"steps": 2}})
    run = RunDirectory.create(tmp_path / "run", config, "")
    # A file where the folder should be.
    run.warm_start(1).parent.mkdir()
    run.warm_start(1).write_text("")
    with pytest.raises(JobError, match="the warm start of seed 1 failed"):
        do(run, report=False)
    assert all(run.arm(arm, 0).finished for arm in config.arms)
    assert not any(run.arm(arm, 1).path.exists() for arm in config.arms)
