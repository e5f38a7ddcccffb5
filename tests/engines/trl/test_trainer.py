"""The advantages that reach TRL's loss, against enumeration."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import oracles

from . import tiny

HALF = Fraction(1, 2)


@pytest.mark.parametrize("face", tiny.FACES)
@pytest.mark.parametrize(
    ("objective", "kernel", "baseline"),
    [
        ("max@3", oracles.maximum(3), "loo_minus_one"),
        ("max@4", oracles.maximum(4), "loo_minus_one"),
        ("mean", oracles.mean(), "loo"),
        (
            "0.5*max@2 + 0.5*mean",
            oracles.mixture((HALF, oracles.maximum(2)), (HALF, oracles.mean())),
            "loo",
        ),
        ("min@2", oracles.minimum(2), "paper_loo"),
    ],
)
def test_every_objective_and_baseline(
    tmp_path: Path, model_folder: Path, face: str, objective: str, kernel: Any, baseline: str
) -> None:
    trainer = tiny.make_trainer(
        tmp_path, model_folder, face, objective=objective, baseline=baseline
    )
    trainer.train()
    for step in (0, 1):
        seen = [part for part in trainer.seen if part.step == step]
        tiny.check_groups(tiny.groups_of(seen), kernel, baseline)


@pytest.mark.parametrize("face", tiny.FACES)
@pytest.mark.parametrize(
    "batches",
    [
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
        {"per_device_train_batch_size": 4, "steps_per_generation": 4},
        {"per_device_train_batch_size": 8, "num_iterations": 2},
        {
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 8,
            "num_iterations": 2,
        },
    ],
    ids=["accumulated", "steps_per_generation", "num_iterations", "all"],
)
def test_batches_in_parts(
    tmp_path: Path, model_folder: Path, face: str, batches: dict[str, int]
) -> None:
    """However a generation batch is cut up and used again, each of its uses has the
    advantages of the whole groups."""
    trainer = tiny.make_trainer(
        tmp_path, model_folder, face, objective="max@3", max_steps=8, **batches
    )
    trainer.train()
    parts = batches.get("steps_per_generation", batches.get("gradient_accumulation_steps", 1))
    assert len(trainer.seen) == 8 * batches.get("gradient_accumulation_steps", 1)
    signals = 0
    for start in range(0, len(trainer.seen), parts):
        groups = tiny.groups_of(trainer.seen[start : start + parts])
        assert {len(rows) for rows in groups.values()} == {4}
        signals += tiny.check_groups(groups, oracles.maximum(3), "loo_minus_one", needed=0)
    assert signals


def test_several_weighted_reward_functions(tmp_path: Path, model_folder: Path) -> None:
    """The weighted sum is transformed, not each function by itself."""

    def length(completions: list[str], **kwargs: Any) -> list[float]:
        return [float(len(completion)) for completion in completions]

    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective="max@2",
        reward_funcs=[tiny.reward, length],
        reward_weights=[2.0, -0.25],
    )
    trainer.train()
    for prompt, rows in tiny.groups_of(trainer.seen[:1]).items():
        rewards = [
            2 * Fraction(tiny.checksum_reward(prompt, text)) - Fraction(len(text), 4)
            for text, _ in rows
        ]
        wanted = oracles.advantages(rewards, oracles.maximum(2), "loo_minus_one")
        np.testing.assert_allclose([a for _, a in rows], [4 * float(a) for a in wanted], atol=2e-6)


@pytest.mark.parametrize("face", tiny.FACES)
def test_rewards_of_none(tmp_path: Path, model_folder: Path, face: str) -> None:
    """Completions without a reward get 0; the others are a smaller group, and groups that
    are too small for the objective get 0 altogether."""

    def sometimes(prompts: list[str], completions: list[str], **kwargs: Any) -> list[Any]:
        rewards = tiny.reward(prompts, completions)
        return [None if "a" in text else value for text, value in zip(completions, rewards)]

    trainer = tiny.make_trainer(
        tmp_path, model_folder, face, objective="max@2", reward_funcs=sometimes, max_steps=4
    )
    trainer.train()
    sizes = set()
    for part in trainer.seen:
        for prompt, rows in tiny.groups_of([part]).items():
            scored = [text for text, _ in rows if "a" not in text]
            assert all(a == 0 for text, a in rows if "a" in text)
            found = [a for text, a in rows if "a" not in text]
            sizes.add(len(scored))
            if len(scored) < 2:
                assert not any(found)
                continue
            rewards = [Fraction(tiny.checksum_reward(prompt, text)) for text in scored]
            wanted = oracles.advantages(rewards, oracles.maximum(2), "loo_minus_one")
            np.testing.assert_allclose(found, [4 * float(a) for a in wanted], atol=2e-6)
    assert len(sizes - {4}) >= 2


def test_no_rewards_at_all(tmp_path: Path, model_folder: Path) -> None:
    def never(completions: list[str], **kwargs: Any) -> list[None]:
        return [None] * len(completions)

    trainer = tiny.make_trainer(tmp_path, model_folder, objective="max@2", reward_funcs=never)
    before = trainer.model.state_dict()["lm_head.weight"].clone()
    with pytest.warns(UserWarning, match="trains on nothing"):
        trainer.train()
    assert not any(part.advantages.any() for part in trainer.seen)
    assert bool((trainer.model.state_dict()["lm_head.weight"] == before).all())


@pytest.mark.parametrize("face", tiny.FACES)
def test_masked_truncated_completions(tmp_path: Path, model_folder: Path, face: str) -> None:
    """Completions without an end are no part of their group."""
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@2",
        baseline="loo",
        mask_truncated_completions=True,
        max_steps=6,
        num_generations=8,
    )
    with pytest.warns(UserWarning, match="trains on nothing: of the 1 groups"):
        trainer.train()
    counts = set()
    for part in trainer.seen:
        ended = part.inputs["completion_mask"].any(dim=1).tolist()
        rows = list(zip(part.completions, part.advantages.tolist(), ended))
        assert all(a == 0 for _, a, is_ended in rows if not is_ended)
        texts = [text for text, _, is_ended in rows if is_ended]
        found = [a for _, a, is_ended in rows if is_ended]
        counts.add(len(texts))
        if len(texts) < 3:
            assert not any(found)
            continue
        rewards = [Fraction(tiny.checksum_reward(part.prompts[0], text)) for text in texts]
        wanted = oracles.advantages(rewards, oracles.maximum(2), "loo")
        np.testing.assert_allclose(found, [8 * float(a) for a in wanted], atol=4e-6)
        assert sum(found) == pytest.approx(0, abs=1e-5)
    assert max(counts) >= 3
    assert min(counts) < 8


@pytest.mark.parametrize("face", tiny.FACES)
def test_evaluation_with_fewer_generations_than_k(
    tmp_path: Path, model_folder: Path, face: str
) -> None:
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@4",
        num_generations_eval=2,
        per_device_eval_batch_size=4,
        eval_strategy="steps",
        eval_steps=1,
    )
    trainer.train()
    logged = [row for row in trainer.state.log_history if "eval_pkpo/max@2" in row]
    assert len(logged) == 2
    assert not any("eval_pkpo/max@4" in row for row in logged)
    rewards = [
        tiny.checksum_reward(prompt, text)
        for part in trainer.seen_eval[:1]
        for prompt, text in zip(part.prompts, part.completions)
    ]
    pairs = np.array(rewards).reshape(-1, 2)
    assert logged[0]["eval_pkpo/max@1"] == pytest.approx(pairs.mean())
    assert logged[0]["eval_pkpo/max@2"] == pytest.approx(pairs.max(axis=1).mean())


@pytest.mark.parametrize("face", tiny.FACES)
def test_the_logged_advantages_are_the_real_ones(
    tmp_path: Path, model_folder: Path, face: str
) -> None:
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        face,
        objective="max@3",
        log_completions=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )
    trainer.train()
    shown = sorted(zip(trainer._logs["completion"], trainer._logs["advantages"]))
    used = sorted(
        row for part in trainer.seen[-4:] for row in zip(part.completions, part.advantages.tolist())
    )
    assert len(shown) == 8
    assert [text for text, _ in shown] == [text for text, _ in used]
    np.testing.assert_allclose([a for _, a in shown], [a for _, a in used], atol=1e-6)
    if face == "grpo":  # the other trainer writes no table
        table = pl.read_parquet(tmp_path / "completions" / "completions_00002.parquet")
        assert sorted(zip(table["completion"], table["advantage"])) == shown


def test_the_log_holds_unbiased_estimates(tmp_path: Path, model_folder: Path) -> None:
    trainer = tiny.make_trainer(tmp_path, model_folder, objective="max@2", num_generations=8)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "pkpo/max@2" in row]
    for part, row in zip(trainer.seen, logged, strict=True):
        rewards = [
            Fraction(tiny.checksum_reward(p, c)) for p, c in zip(part.prompts, part.completions)
        ]
        for k in (1, 2, 4, 8):
            wanted = float(oracles.estimate(rewards, oracles.maximum(k)))
            assert row[f"pkpo/max@{k}"] == pytest.approx(wanted)
    json.dumps(logged, allow_nan=False)


@pytest.mark.parametrize("scored", [0, 2])
def test_a_step_of_too_small_groups_says_so(
    tmp_path: Path, model_folder: Path, scored: int
) -> None:
    """max@3 with loo needs four; the first batch has none or two of four in each group."""
    calls = []

    def sometimes(completions: list[str], **kwargs: Any) -> list[float | None]:
        calls.append(len(completions))
        few = scored if len(calls) == 1 else 4
        return [i / 8 if i % 4 < few else None for i in range(len(completions))]

    trainer = tiny.make_trainer(
        tmp_path, model_folder, objective="max@3", baseline="loo", reward_funcs=sometimes
    )
    said = r"step 0 trains on nothing: of the 2 groups .* none has the 4 .*max@3 needs .*'loo'"
    with pytest.warns(UserWarning, match=said) as caught:
        trainer.train()
    assert sum("trains on nothing" in str(one.message) for one in caught) == 1
    shares = [row["pkpo/small_group_fraction"] for row in trainer.state.log_history[:2]]
    assert shares == [1.0, 0.0]
    assert not trainer.seen[0].advantages.any()
    assert trainer.seen[1].advantages.any()
