"""Training one arm: what it records, and that stopping it changes nothing."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import pkpo
from pkpo.engines.embedded.export import load_pretrained
from pkpo.errors import DivergenceError, RunDirectoryError
from pkpo.report.completions import COLUMNS
from pkpo.train.run_directory import ArmDirectory

from ..tiny import (
    STEPS,
    Doomed,
    Killed,
    assert_same_run,
    make_config,
    make_policy,
    make_task,
    rows,
    trainer,
    untimed,
)

SWITCH = "switch(max@4, 3, mean)"


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "arm"
    trainer(make_config(SWITCH), path, cache).run()
    return path


@pytest.fixture(scope="module")
def finished_twice_used(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each batch used twice."""
    path = tmp_path_factory.mktemp("finished") / "arm"
    trainer(make_config(SWITCH, passes=2), path, cache).run()
    return path


def completions_of(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path / "completions.parquet")


# What is recorded


def test_files_of_a_finished_arm(finished: Path):
    assert sorted(p.name for p in finished.iterdir()) == [
        "arm.json",
        "completions.parquet",
        "evaluation.json",
        "evaluations.jsonl",
        "metrics.jsonl",
        "model",
        "state.previous.pt",
        "state.pt",
    ]
    assert ArmDirectory(finished).finished


def test_arm_header(finished: Path):
    header = json.loads((finished / "arm.json").read_text())
    decided_by = header.pop("settings")
    assert decided_by["training.steps"] == STEPS
    assert {place.partition(".")[0] for place in decided_by} == {
        *("task", "policy", "warm_start", "training", "evaluation")
    }
    assert header == {
        "name": "arm",
        "schedule": SWITCH,
        "seed": 0,
        "learning_rate": 0.01,
        "baseline": None,
        "scale": "none",
        "entropy_coef": 0.0,
        "family": None,
    }


def test_one_row_of_metrics_a_step(finished: Path):
    metrics = rows(finished / "metrics.jsonl")
    assert [row["step"] for row in metrics] == list(range(STEPS))
    for row in metrics:
        assert 0 <= row["pass@1"] <= row["pass@4"] <= 1
        assert row["reward_mean"] == pytest.approx(row["pass@1"])
        assert 0 <= row["signal_fraction"] <= 1
        assert row["entropy"] > 0
        assert row["samples_per_second"] > 0
        shares = [row[f"{part}_share"] for part in ("sample", "verify", "transform", "update")]
        assert min(shares) > 0
        assert sum(shares) == pytest.approx(1.0)
    assert all(b["elapsed"] > a["elapsed"] for a, b in pairwise(metrics))


def test_metrics_agree_with_the_completions(finished: Path):
    frame, metrics = completions_of(finished), rows(finished / "metrics.jsonl")
    solved: set[str] = set()
    for row in metrics:
        step = frame.filter(pl.col("step") == row["step"])
        rewards = step["reward"].to_numpy().reshape(8, 4)
        advantages = step["advantage"].to_numpy().reshape(8, 4)
        assert row["pass@1"] == pytest.approx(rewards.mean())
        assert row["pass@4"] == pytest.approx(rewards.max(axis=1).mean())
        assert row["signal_fraction"] == pytest.approx((advantages != 0).any(axis=1).mean())
        solved |= set(step.filter(pl.col("reward") == 1.0)["problem"])
        assert row["cumulative_solve_rate"] == pytest.approx(len(solved) / 50)


def test_cumulative_solve_rate_never_decreases(finished: Path):
    rates = [row["cumulative_solve_rate"] for row in rows(finished / "metrics.jsonl")]
    assert all(a <= b for a, b in pairwise(rates))
    assert rates[-1] > rates[0]


def test_completions_have_the_documented_columns(finished: Path):
    frame = completions_of(finished)
    assert dict(frame.schema) == COLUMNS
    assert len(frame) == STEPS * 8 * 4
    assert frame.null_count().sum_horizontal()[0] == 0


def test_rewards_of_completions_are_those_of_the_verifier(finished: Path):
    task, frame = make_task(), completions_of(finished)
    ids = task.problems("train").ids
    vocabulary = task.vocabulary
    assert frame["reward"].max() == 1.0
    for row in frame.iter_rows(named=True):
        problem = ids.index(row["problem"])
        assert row["prompt"] == task.describe_prompt("train", problem)
        words = row["completion"].split()
        tokens = [*vocabulary.encode(words), vocabulary.eos_id][: task.max_new_tokens]
        reward = task.verify("train", np.array([problem]), np.array([[tokens]]))[0, 0]
        # A PAD or ANSWER token that was drawn isn't shown, and makes a completion wrong.
        assert row["reward"] == reward or (row["reward"] == 0.0 and len(words) < len(tokens))


@pytest.mark.parametrize("step", range(STEPS))
def test_the_schedule_chooses_the_objective_of_each_step(finished: Path, step: int):
    objective = "max@4" if step < 3 else "mean"
    assert rows(finished / "metrics.jsonl")[step]["objective"] == objective
    frame = completions_of(finished).filter(pl.col("step") == step)
    rewards = frame["reward"].to_numpy().reshape(8, 4)
    expected = pkpo.advantages(rewards, objective, baseline="loo_minus_one")
    np.testing.assert_allclose(frame["advantage"].to_numpy().reshape(8, 4), expected)


def test_every_problem_is_drawn_once_an_epoch(finished: Path):
    drawn = completions_of(finished)["problem"].to_list()[::4]
    assert len(drawn) == 56
    assert len(set(drawn[:50])) == 50
    assert len(set(drawn[50:])) == 6


def test_validation_rows_come_every_so_often_and_at_the_end(finished: Path):
    found = rows(finished / "evaluations.jsonl")
    assert [row["step"] for row in found] == [0, 3, 6, STEPS]
    for row in found:
        assert row["split"] == "validation"
        values = [row["pass_at_k"][k] for k in ("1", "2", "4")]
        assert 0 < values[0] < values[1] < values[2] < 1


def test_final_evaluation_is_of_the_exported_model(finished: Path):
    found = json.loads((finished / "evaluation.json").read_text())
    assert (found["split"], found["step"], found["num_problems"]) == ("test", STEPS, 20)
    policy = load_pretrained(finished / "model")
    state = torch.load(finished / "state.pt", weights_only=True)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, state["policy"][name])


def test_completions_are_kept_at_the_chosen_steps(cache: Path, tmp_path: Path):
    config = make_config().model_copy(update={"completions_every": 3})
    trainer(config, tmp_path, cache).run()
    assert completions_of(tmp_path)["step"].unique().sort().to_list() == [2, 5, 6]


def test_training_moves_the_policy(finished: Path, cache: Path):
    before = make_policy(make_config(), cache).state_dict()
    after = load_pretrained(finished / "model").state_dict()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    metrics = rows(finished / "metrics.jsonl")
    assert sum(row["signal_fraction"] > 0 for row in metrics) >= 5
    assert all((row["grad_norm"] > 0) == (row["signal_fraction"] > 0) for row in metrics)


# Determinism


def test_same_seed_same_run(finished: Path, cache: Path, tmp_path: Path):
    trainer(make_config(SWITCH), tmp_path, cache).run()
    assert_same_run(tmp_path, finished)
    assert completions_of(tmp_path).equals(completions_of(finished))


def test_the_global_generators_play_no_part(finished: Path, cache: Path, tmp_path: Path):
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    trainer(make_config(SWITCH), tmp_path, cache).run()
    assert_same_run(tmp_path, finished)


def test_another_seed_gives_another_run(finished: Path, cache: Path, tmp_path: Path):
    trainer(make_config(SWITCH), tmp_path, cache, seed=1).run()
    first, second = (completions_of(p)["problem"].to_list() for p in (finished, tmp_path))
    assert first != second
    assert set(first[: 50 * 4]) == set(second[: 50 * 4])


def test_arms_see_the_same_problems(finished: Path, cache: Path, tmp_path: Path):
    trainer(make_config("mean"), tmp_path, cache).run()
    assert completions_of(tmp_path)["problem"].equals(completions_of(finished)["problem"])
    first, second = (completions_of(p).filter(pl.col("step") == 0) for p in (finished, tmp_path))
    assert first["completion"].equals(second["completion"])


def test_two_passes_differ_from_one(finished: Path, finished_twice_used: Path):
    once, twice = (rows(p / "metrics.jsonl") for p in (finished, finished_twice_used))
    assert once[0]["pass@1"] == twice[0]["pass@1"]
    assert untimed(once)[1:] != untimed(twice)[1:]
    assert all(np.isfinite(row["loss"]) for row in twice)


# Interruption


def interrupt(path: Path, cache: Path, dies_at: int, **training: Any) -> None:
    """Leave the folder of an arm whose process died in its step number `dies_at`, from 1."""
    task = Doomed(make_task(), dies_at)
    with pytest.raises(Killed):
        trainer(make_config(SWITCH, **training), path, cache, task=task).run()


@pytest.mark.parametrize("dies_at", range(1, STEPS + 1))
def test_a_continued_run_is_the_uninterrupted_one(
    finished: Path, cache: Path, tmp_path: Path, dies_at: int
):
    interrupt(tmp_path, cache, dies_at)
    left = rows(tmp_path / "metrics.jsonl")
    assert len(left) == dies_at - 1
    assert (tmp_path / "state.pt").exists() == (dies_at > 2)
    continued = trainer(make_config(SWITCH), tmp_path, cache)
    assert continued.step == (dies_at - 1) // 2 * 2
    continued.run()
    assert_same_run(tmp_path, finished)
    assert completions_of(tmp_path).equals(completions_of(finished))


def test_a_run_may_be_continued_more_than_once(finished: Path, cache: Path, tmp_path: Path):
    interrupt(tmp_path, cache, 4)
    interrupt(tmp_path, cache, 2)
    interrupt(tmp_path, cache, 3)
    trainer(make_config(SWITCH), tmp_path, cache).run()
    assert_same_run(tmp_path, finished)


def test_continuing_with_two_passes(finished_twice_used: Path, cache: Path, tmp_path: Path):
    interrupt(tmp_path, cache, 6, passes=2)
    trainer(make_config(SWITCH, passes=2), tmp_path, cache).run()
    assert_same_run(tmp_path, finished_twice_used)


def test_a_last_line_cut_short_is_dropped(finished: Path, cache: Path, tmp_path: Path):
    interrupt(tmp_path, cache, 6)
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"step": 5, "pass')
    trainer(make_config(SWITCH), tmp_path, cache).run()
    assert_same_run(tmp_path, finished)


def test_time_goes_on_where_it_stopped(cache: Path, tmp_path: Path):
    interrupt(tmp_path, cache, 5)
    before = rows(tmp_path / "metrics.jsonl")[3]["elapsed"]
    trainer(make_config(SWITCH), tmp_path, cache).run()
    elapsed = [row["elapsed"] for row in rows(tmp_path / "metrics.jsonl")]
    assert elapsed[3] == before
    assert all(a < b for a, b in pairwise(elapsed))


@pytest.mark.parametrize(
    "lost",
    [["evaluation.json"], ["evaluation.json", "model"]],
    ids=["evaluation", "evaluation and model"],
)
def test_a_run_that_died_after_its_last_step(
    finished: Path, cache: Path, tmp_path: Path, lost: list[str]
):
    path = tmp_path / "arm"
    shutil.copytree(finished, path)
    for name in lost:
        target = path / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    trainer(make_config(SWITCH), path, cache).run()
    assert_same_run(path, finished)
    assert completions_of(path).equals(completions_of(finished))


@pytest.mark.parametrize("passes", [1, 2])
def test_divergence_ends_the_arm_with_its_step(cache: Path, tmp_path: Path, passes: int):
    """Also at the last step, after which nothing else would look at the weights."""
    for steps in (1, STEPS):
        config = make_config(passes=passes, steps=steps, baseline="none")
        arm = config.arms[0].model_copy(update={"learning_rate": 1e38})
        config = config.model_copy(update={"arms": (arm,)})
        path = tmp_path / f"{steps}"
        with pytest.raises(DivergenceError, match=r"step \d+: .*diverged.*lower learning"):
            trainer(config, path, cache).run()
        assert not (path / "evaluation.json").exists()
        assert not (path / "model").exists()
        assert all(math.isfinite(row["loss"]) for row in rows(path / "metrics.jsonl"))


def test_a_policy_that_is_not_finite_is_not_measured(cache: Path, tmp_path: Path):
    arm = trainer(make_config(), tmp_path, cache)
    with torch.no_grad():
        arm.policy.model.norm.weight.fill_(math.nan)
    with pytest.raises(DivergenceError, match=r"step 0: .*diverged: probabilities"):
        arm.run()


def test_files_are_closed_when_training_fails(cache: Path, tmp_path: Path):
    """An open file warns when it is collected, and every warning is an error here."""
    interrupt(tmp_path, cache, 2)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_an_unreadable_checkpoint_is_named(cache: Path, tmp_path: Path, content: bytes):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"state\.pt"):
        trainer(make_config(SWITCH), tmp_path, cache)
    assert (tmp_path / "state.pt").read_bytes() == content
