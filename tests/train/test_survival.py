"""SIGKILL at any moment, then another start: the same run as without it."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from execution.watching import alive, wait_for
from pkpo.train.config import TrainConfig
from pkpo.train.run_directory import RunDirectory

from .forks import Attempts
from .interference import Moment, first_and_last
from .tiny import assert_same_run, settings

TESTS = Path(__file__).parents[1]
KILLED = -signal.SIGKILL
TIMED = ("metrics.jsonl", "state.pt", "state.previous.pt", "completions.parquet")
"""Files whose bytes may differ between equal runs."""


def job(**changes: Any) -> TrainConfig:
    """Two arms whose objectives depend on what was sampled and measured before."""
    steps = changes.pop("steps", 7)
    plans = ("per_prompt(1, 2, 4, decay=0.5)", "plateau(4, 2, 1, metric=pass@4, patience=1)")
    arms = [{"name": text[:7], "schedule": text, "learning_rate": 0.01} for text in plans]
    return TrainConfig.model_validate(settings(steps=steps) | changes | {"arms": arms})


def make(path: Path, config: TrainConfig) -> Path:
    return RunDirectory.create(path, config, "").path


def assert_same_job(left: Path, right: Path) -> None:
    """The same files with the same content, but for the time it took."""
    config = RunDirectory.open(right).config
    for seed in config.seeds:
        for arm in config.arms:
            mine, theirs = (RunDirectory.open(path).arm(arm, seed) for path in (left, right))
            assert_same_run(mine.path, theirs.path)
            assert pl.read_parquet(mine.completions).equals(pl.read_parquet(theirs.completions))
    assert files_of(left) == files_of(right)
    for name in files_of(right):
        if not name.endswith(TIMED):
            assert (left / name).read_bytes() == (right / name).read_bytes(), name


def files_of(run: Path) -> set[str]:
    """Of the arms and warm starts; the job itself writes more.

    A process killed after its last file can leave its lock, which nobody holds.
    """
    found = [path for name in ("arms", "warm_start") for path in (run / name).rglob("*")]
    return {str(p.relative_to(run)) for p in found if p.is_file() and p.name != "lock"}


# At chosen moments


def _moment(given: list[str]) -> Moment:
    return Moment(*given)


@pytest.mark.slow
def test_killed_at_every_kind_of_moment(attempts: Attempts, tmp_path: Path):
    """In the middle of every file that is written, and around every renaming."""
    config = job(completions_every=3).model_copy(update={"arms": job().arms[:1]})
    whole = make(tmp_path / "whole", config)
    assert attempts.work(whole) == 0
    noted, record = make(tmp_path / "noted", config), tmp_path / "moments.json"
    assert attempts.work(noted, record=record) == 0
    assert_same_job(noted, whole)
    # At a sync the files are what they are at the renaming that follows.
    moments = [m for m in map(_moment, json.loads(record.read_text())) if m.what != "sync"]
    assert {
        Moment("half", "metrics.jsonl"),
        Moment("half", "evaluations.jsonl"),
        Moment("half", "choices.jsonl"),
        Moment("half", ".state.pt.part"),
        Moment("replaced", "state.previous.pt"),
        Moment("replace", "state.pt"),
        Moment("replaced", "state.pt"),
        Moment("half", ".completions.parquet.part"),
        Moment("half", "model.safetensors"),
        Moment("half", "tokenizer.json"),
        Moment("replace", "model"),
        Moment("replaced", "model"),
        Moment("half", ".evaluation.json.part"),
        Moment("replaced", "evaluation.json"),
    } <= set(moments)
    for number, kill in enumerate(first_and_last(moments)):
        run = make(tmp_path / f"killed-{number}", config)
        assert attempts.work(run, kill=kill) == KILLED, kill
        assert attempts.work(run) == 0, kill
        assert_same_job(run, whole)
        shutil.rmtree(run)


# At random moments


@pytest.mark.parametrize("least", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(attempts: Attempts, tmp_path: Path, least: int):
    """Warm starts too, which have a cache of their own here."""
    config = job(steps=24, checkpoint_every=5, completions_every=3)
    whole = make(tmp_path / "whole", config)
    start = time.perf_counter()
    assert attempts.work(whole, cache=tmp_path / "cache") == 0
    seconds = time.perf_counter() - start
    rng = random.Random(20)
    kills = number = 0
    while kills < least:
        number += 1
        run, cache = make(tmp_path / f"run-{number}", config), tmp_path / f"cache-{number}"
        for _ in range(8):
            code = attempts.work(run, cache=cache, kill_after=rng.uniform(0, 0.5 * seconds))
            assert code in (0, KILLED)
            kills += code == KILLED
            if code == 0:
                break
        assert attempts.work(run, cache=cache) == 0
        assert_same_job(run, whole)


# The command


def steps_made(run: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in run.glob("arms/*/*/metrics.jsonl"))


def lock_owners(run: Path) -> list[int]:
    """Processes that say in a lock file that they work on an arm."""
    found = [path.read_text().split() for path in run.glob("arms/*/*/lock")]
    return [int(words[1]) for words in found if len(words) > 1]


@pytest.mark.slow
def test_the_command_killed_again_and_again(attempts: Attempts, tmp_path: Path):
    """All its processes at once, then the first of them alone: its workers must not go on
    and write beside those of the next start."""
    config = job(steps=250, checkpoint_every=7, completions_every=40)
    config = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"every": 50})}
    )
    whole = make(tmp_path / "whole", config)
    assert attempts.work(whole, cache=tmp_path / "cache-whole") == 0
    (tmp_path / "config.json").write_text(config.model_dump_json())
    run, cache, rng = tmp_path / "run", tmp_path / "cache", random.Random(3)
    first = ("train", "--config", tmp_path / "config.json", "--out", run)
    again = ("train", "--resume", run)

    with attempts.started(*first, cache=cache) as process:
        wait_for(lambda: steps_made(run) > 0)
        time.sleep(rng.uniform(0, 0.5))
        process.signal(signal.SIGKILL, group=True)
    made = steps_made(run)

    with attempts.started(*again, cache=cache) as process:
        wait_for(lambda: steps_made(run) > made and len(lock_owners(run)) == 2)
        workers = lock_owners(run)
        time.sleep(rng.uniform(0, 0.5))
        process.signal(signal.SIGKILL)
        wait_for(lambda: not any(map(alive, workers)), seconds=5)
        assert process.pid not in workers
        made = steps_made(run)
        time.sleep(0.3)
        assert steps_made(run) == made

    with attempts.started(*again, cache=cache) as process:
        time.sleep(rng.uniform(0.1, 2))
        process.signal(signal.SIGKILL, group=True)

    done = attempts.command(*again, cache=cache)
    assert (done.code, done.err) == (0, "")
    assert_same_job(run, whole)
    assert (run / "report.html").exists()
