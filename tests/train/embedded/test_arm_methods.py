"""Arms that are more than a schedule: plans with a memory, reused batches, baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import pkpo
from pkpo.errors import RunDirectoryError
from pkpo.train.config import TrainConfig

from ..tiny import (
    STEPS,
    Doomed,
    Killed,
    assert_same_run,
    make_config,
    make_task,
    rows,
    settings,
    trainer,
    untimed,
)

PLATEAU = "plateau(max@4, mean, metric=pass@4, patience=1, min_delta=1.0)"
"""No rise exceeds 1, so the stage ends with the second validation, at step 3."""
PER_PROMPT = "per_prompt(1, 2, 4, decay=0.5)"
EPOCH = {"prompts_per_step": 25}
"""Every prompt comes back after two steps."""
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plateau": (PLATEAU, {}),
    "per_prompt": (PER_PROMPT, EPOCH),
    "exact reuse": ("max@2", {"passes": 3, "reuse": "exact"}),
    "per_prompt, exact reuse": (PER_PROMPT, EPOCH | {"passes": 2, "reuse": "exact"}),
}


def config_of(case: str) -> TrainConfig:
    schedule, training = CASES[case]
    return make_config(schedule, **training)


def config_with(**arm: Any) -> TrainConfig:
    given = settings(arm.pop("schedule", "mean"))
    given["arms"][0] |= arm
    return TrainConfig.model_validate(given)


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {}
    for case in CASES:
        paths[case] = tmp_path_factory.mktemp("finished") / "arm"
        trainer(config_of(case), paths[case], cache).run()
    return paths


def groups_of(path: Path, step: int, name: str, num_generations: int = 4) -> np.ndarray:
    frame = pl.read_parquet(path / "completions.parquet").filter(pl.col("step") == step)
    return frame[name].to_numpy().reshape(-1, num_generations)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dies_at", [2, 4, 6, 7])
def test_a_continued_run_is_the_uninterrupted_one(
    finished: dict[str, Path], cache: Path, tmp_path: Path, case: str, dies_at: int
):
    with pytest.raises(Killed):
        trainer(config_of(case), tmp_path, cache, task=Doomed(make_task(), dies_at)).run()
    trainer(config_of(case), tmp_path, cache).run()
    assert_same_run(tmp_path, finished[case])
    choices = tmp_path / "choices.jsonl"
    assert choices.exists() == (case != "exact reuse")
    if choices.exists():
        assert choices.read_bytes() == (finished[case] / "choices.jsonl").read_bytes()
    plans = [
        torch.load(p / "state.pt", weights_only=True)["plan"] for p in (tmp_path, finished[case])
    ]
    assert plans[0] == plans[1]


# Plans


def test_a_plateau_changes_the_objective_and_says_why(finished: dict[str, Path]):
    path = finished["plateau"]
    objectives = [row["objective"] for row in rows(path / "metrics.jsonl")]
    assert objectives == ["max@4"] * 3 + ["mean"] * (STEPS - 3)
    best = rows(path / "evaluations.jsonl")[0]["pass_at_k"]["4"]
    assert rows(path / "choices.jsonl") == [
        {"step": 0, "objective": "max@4", "reason": "stage 1 of 2"},
        {
            "step": 3,
            "objective": "mean",
            "reason": f"validation pass@4 best {best:.3f} at step 0, not beaten for 1 evaluation: "
            "stage 2 of 2",
        },
    ]


def test_a_plateau_is_not_continued_with_other_evaluations(cache: Path, tmp_path: Path):
    with pytest.raises(Killed):
        trainer(config_of("plateau"), tmp_path, cache, task=Doomed(make_task(), 4)).run()
    given = settings(PLATEAU)
    given["evaluation"]["every"] = 2
    with pytest.raises(RunDirectoryError, match=r"evaluation\.every was 3 and is 2"):
        trainer(TrainConfig.model_validate(given), tmp_path, cache)


def test_prompts_get_a_k_from_their_earlier_samples_alone(cache: Path, tmp_path: Path):
    """Every choice again, from the completions of the steps before."""
    path, seen = tmp_path / "arm", {}
    trainer(config_of("per_prompt"), path, cache, seed=1).run()  # meets every choice
    lines = rows(path / "choices.jsonl")
    assert [line["step"] for line in lines] == list(range(STEPS))
    chosen = set()
    for step, line in enumerate(lines):
        names = groups_of(path, step, "problem")[:, 0].tolist()
        assert line["prompts"] == names
        expected = []
        for name in names:
            weight, solved = seen.get(name, (0.0, 0.0))
            p = (solved + 0.5) / (weight + 1)
            slopes = {k: k * (1 - p) ** (k - 1) for k in (1, 2, 4)}
            k = max(slopes, key=lambda k: slopes[k]) if name in seen else 4
            expected.append(str(pkpo.max_at(k)))
        assert line["objectives"] == expected
        chosen |= set(expected)
        rewards = groups_of(path, step, "reward")
        for name, group in zip(names, rewards):
            weight, solved = seen.get(name, (0.0, 0.0))
            seen[name] = (0.5 * weight + 4, 0.5 * solved + float(group.sum()))
        for group, own, found in zip(rewards, expected, groups_of(path, step, "advantage")):
            np.testing.assert_allclose(found, pkpo.advantages(group, own), rtol=1e-12)
    assert chosen == {"mean", "max@2", "max@4"}
    assert lines[0]["reasons"] == ["no earlier samples: k = 4"] * 25
    objectives = [row["objective"] for row in rows(path / "metrics.jsonl")]
    assert objectives[0] == "max@4"
    assert objectives[-1].startswith("per_prompt: ")


# Reuse


def test_reuse_says_nothing_with_one_pass(cache: Path, tmp_path: Path):
    for reuse in ("clip", "exact"):
        trainer(make_config("max@2", reuse=reuse), tmp_path / reuse, cache).run()
    assert untimed(rows(tmp_path / "clip" / "metrics.jsonl")) == untimed(
        rows(tmp_path / "exact" / "metrics.jsonl")
    )
    models = [tmp_path / reuse / "model" / "model.safetensors" for reuse in ("clip", "exact")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_the_effective_sample_size_is_recorded(finished: dict[str, Path]):
    for case in ("exact reuse", "per_prompt, exact reuse"):
        metrics = rows(finished[case] / "metrics.jsonl")
        found = [r["effective_sample_size"] for r in metrics if r["signal_fraction"] > 0]
        assert len(found) >= 4
        # At k = n there is only one subset, so the size is n whatever the ratios.
        assert all(0 < size <= 4 + 1e-9 for size in found)
        assert case != "exact reuse" or max(found) < 4
    assert "effective_sample_size" not in rows(finished["plateau"] / "metrics.jsonl")[0]


def test_truncation_changes_later_passes_only(
    finished: dict[str, Path], cache: Path, tmp_path: Path
):
    config = make_config("max@2", passes=3, reuse="exact", truncate=1.01)
    trainer(config, tmp_path, cache).run()
    whole, bounded = (rows(p / "metrics.jsonl") for p in (finished["exact reuse"], tmp_path))
    assert whole[0]["pass@1"] == bounded[0]["pass@1"]
    assert whole[-1]["loss"] != bounded[-1]["loss"]


# Baselines


def test_group_std_reaches_the_advantages(cache: Path, tmp_path: Path):
    trainer(config_with(scale="group_std", baseline="loo"), tmp_path, cache).run()
    for step in range(STEPS):
        rewards = groups_of(tmp_path, step, "reward")
        centred = rewards - rewards.mean(axis=1, keepdims=True)
        expected = centred / (rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4) / 4
        np.testing.assert_allclose(groups_of(tmp_path, step, "advantage"), expected, atol=1e-12)


def test_an_arm_has_its_own_baseline(cache: Path, tmp_path: Path):
    trainer(config_with(schedule="max@2", baseline="none"), tmp_path, cache).run()
    for step in range(STEPS):
        expected = pkpo.advantages(groups_of(tmp_path, step, "reward"), 2, baseline="none")
        np.testing.assert_allclose(groups_of(tmp_path, step, "advantage"), expected, rtol=1e-12)


def test_the_entropy_term_keeps_the_entropy_up(cache: Path, tmp_path: Path):
    last = []
    for coefficient in (0.0, 1.0):
        path = tmp_path / str(coefficient)
        trainer(config_with(entropy_coef=coefficient), path, cache).run()
        last.append(rows(path / "metrics.jsonl")[-1]["entropy"])
    assert last[1] > last[0] + 0.1
