"""Schedules and plans in TRL, and continuing them from a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

import oracles
from pkpo.engines.trl.batches import prompt_number
from pkpo.errors import InvalidInputError

from . import tiny


def test_a_schedule_by_optimizer_step(tmp_path: Path, model_folder: Path) -> None:
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective_schedule="staged(max@4, 1, max@2, 3, mean)",
        max_steps=4,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
    )
    trainer.train()
    for step, k in enumerate((4, 2, 2, 1)):
        seen = [part for part in trainer.seen if part.step == step]
        assert len(seen) == 2
        tiny.check_groups(tiny.groups_of(seen), oracles.maximum(k), "loo_minus_one")


def test_a_plateau_of_the_evaluation(tmp_path: Path, model_folder: Path) -> None:
    """With a learning rate of 0 the metric can't rise for long: the next stage comes."""
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective_schedule="plateau(max@4, mean, metric=pass@2, patience=2, min_delta=10)",
        max_steps=6,
        eval_strategy="steps",
        eval_steps=1,
    )
    trainer.train()
    ks = []
    for part in trainer.seen:
        for k in (4, 1):
            try:
                tiny.check_groups(tiny.groups_of([part]), oracles.maximum(k), "loo_minus_one")
            except AssertionError:
                continue
            ks.append(k)
            break
    assert ks == sorted(ks, reverse=True)
    assert set(ks) == {4, 1}
    lines = (tmp_path / "pkpo_choices.jsonl").read_text().splitlines()
    first, second = map(json.loads, lines)
    assert (first["step"], first["objective"]) == (0, "max@4")
    assert second["objective"] == "mean"
    assert "not beaten for 2 evaluations: stage 2 of 2" in second["reason"]


def test_several_evaluation_sets_are_one_evaluation(tmp_path: Path, model_folder: Path) -> None:
    """What a plateau sees is the mean over all their prompts, once."""
    sets = {"easy": tiny.dataset(2), "hard": tiny.dataset(6)}
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective_schedule="plateau(max@4, mean, metric=pass@2, patience=2, min_delta=10)",
        eval_dataset=sets,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=1,
    )
    observed: list[tuple[int, dict[int, float]]] = []
    observe = trainer.plan.observe_validation
    trainer.plan.observe_validation = lambda step, values: (
        observed.append((step, values)) or observe(step, values)
    )
    trainer.train()
    assert [step for step, _ in observed] == [1, 2, 3]
    for step, values in observed:
        rows = [row for row in trainer.state.log_history if row["step"] == step]
        easy, hard = (row["eval_pkpo/max@2"] for row in rows if "eval_pkpo/max@2" in row)
        assert values[2] == pytest.approx((2 * easy + 6 * hard) / 8)


def test_prompts_of_equal_text(tmp_path: Path, model_folder: Path) -> None:
    """A plan for each prompt tells rows apart that differ in another column alone."""
    rows = [{"prompt": "ab<answer>", "solvable": bool(i % 2)} for i in range(2)]

    def solved(solvable: list[bool], **kwargs: Any) -> list[float]:
        return list(map(float, solvable))

    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective_schedule="per_prompt(4)",
        reward_funcs=solved,
        train_dataset=Dataset.from_list(rows),
        max_steps=6,
    )
    trainer.train()
    numbers = [prompt_number(row) for row in rows]
    hard, easy = (trainer.plan.choose(6, [number]).objectives[0].k for number in numbers)
    assert (easy, hard) == (1, 4)


def solved_by_first_letter(
    prompts: list[str], completions: list[str], **kwargs: Any
) -> list[float]:
    """Prompts that start with a are always solved, the others never."""
    return [float(prompt.startswith("a")) for prompt in prompts]


def test_an_objective_for_each_prompt(tmp_path: Path, model_folder: Path) -> None:
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective_schedule="per_prompt(4)",
        reward_funcs=solved_by_first_letter,
        max_steps=8,
        log_completions=False,
    )
    trainer.train()
    easy, hard = (
        trainer.plan.choose(8, [prompt_number({"prompt": prompt + "<answer>"})]).objectives[0]
        for prompt in ("ab", "ba")
    )
    assert (easy.k, hard.k) == (1, 4)
    mean_ks = [row["pkpo/mean_k"] for row in trainer.state.log_history if "pkpo/mean_k" in row]
    assert mean_ks[0] == 4


CHECKPOINTS = {
    "max_steps": 6,
    "save_strategy": "steps",
    "save_steps": 3,
    "objective_schedule": "per_prompt(4)",
}


def test_a_continued_run_remembers_its_plan(tmp_path: Path, model_folder: Path) -> None:
    first = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    first.train()
    stored = json.loads((tmp_path / "checkpoint-3" / "pkpo_plan.json").read_text())
    assert stored != json.loads((tmp_path / "checkpoint-6" / "pkpo_plan.json").read_text())
    shutil.rmtree(tmp_path / "checkpoint-6")
    again = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    seen = []
    choose = again.plan.choose
    again.plan.choose = lambda step, prompts: seen.append(step) or choose(step, prompts)
    restored: list[Any] = []
    restore = again.plan.restore
    again.plan.restore = lambda state: restored.append(state) or restore(state)
    again.train(resume_from_checkpoint=True)
    assert restored == [stored]
    assert seen == [3, 4, 5]
    assert again.plan.state() == first.plan.state()
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value)


def test_choices_and_their_reasons_are_kept(tmp_path: Path, model_folder: Path) -> None:
    """As if the continued run had never stopped; and nothing for a schedule."""
    first = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    first.train()
    path = tmp_path / "pkpo_choices.jsonl"
    whole = path.read_text()
    rows = [json.loads(line) for line in whole.splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    known = {prompt_number({"prompt": prompt + "<answer>"}) for prompt in tiny.PROMPTS}
    assert all(set(row["prompts"]) <= known for row in rows)
    assert set(rows[0]["objectives"]) == {"max@4"}
    assert set(rows[0]["reasons"]) == {"no earlier samples: k = 4"}
    assert any("4 earlier samples" in reason for reason in rows[5]["reasons"])
    with path.open("a") as file:
        file.write('{"step": 6, "half a line')
    again = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert path.read_text() == whole
    plain = tiny.make_trainer(tmp_path / "plain", model_folder, objective_schedule="4->1@1")
    plain.train()
    assert not (tmp_path / "plain" / "pkpo_choices.jsonl").exists()


def test_a_checkpoint_without_its_plan(tmp_path: Path, model_folder: Path) -> None:
    first = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    first.train()
    (tmp_path / "checkpoint-3" / "pkpo_plan.json").unlink()
    again = tiny.make_trainer(tmp_path, model_folder, **CHECKPOINTS)
    with pytest.raises(InvalidInputError, match=r"pkpo_plan.json is missing"):
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
