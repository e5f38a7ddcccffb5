"""Joint rewards for trainers as TRL ships them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

import oracles
from pkpo.engines.trl import joint_rewards
from pkpo.errors import InvalidInputError, PkpoError

from . import tiny

FACES = {"grpo": (GRPOTrainer, GRPOConfig), "rloo": (RLOOTrainer, RLOOConfig)}
EXACT = {
    "grpo": {"scale_rewards": "none", "loss_type": "dr_grpo"},
    "rloo": {"beta": 0.0},
}


def make(
    folder: Path, model_folder: Path, face: str, functions: Any, objective: str, **changes: Any
) -> Any:
    trainer_class, config_class = FACES[face]
    args = config_class(**tiny.settings(folder, **EXACT[face], **changes))
    model, tokenizer = tiny.load(model_folder)
    return tiny.recording(trainer_class)(
        model=model,
        args=args,
        reward_funcs=joint_rewards(functions, objective, args=args),
        train_dataset=tiny.dataset(),
        eval_dataset=tiny.dataset(2),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("objective", "kernel"), [("max@3", oracles.maximum(3)), ("mean", oracles.mean())]
)
def test_exact_in_an_unmodified_trainer(
    tmp_path: Path, model_folder: Path, face: str, objective: str, kernel: Any
) -> None:
    trainer = make(tmp_path, model_folder, face, tiny.reward, objective)
    trainer.train()
    for part in trainer.seen:
        tiny.check_groups(tiny.groups_of([part]), kernel, "loo")


@pytest.mark.parametrize("face", FACES)
def test_rewards_of_none(tmp_path: Path, model_folder: Path, face: str) -> None:
    def sometimes(prompts: list[str], completions: list[str], **kwargs: Any) -> list[Any]:
        rewards = tiny.reward(prompts, completions)
        return [None if "a" in text else value for text, value in zip(completions, rewards)]

    trainer = make(tmp_path, model_folder, face, sometimes, "max@2", max_steps=4)
    trainer.train()
    sizes = set()
    for part in trainer.seen:
        for prompt, rows in tiny.groups_of([part]).items():
            scored = [text for text, _ in rows if "a" not in text]
            found = [a for text, a in rows if "a" not in text]
            assert all(abs(a) < 1e-6 for text, a in rows if "a" in text)
            sizes.add(len(scored))
            if len(scored) < 3:
                np.testing.assert_allclose(found, 0, atol=1e-6)
                continue
            rewards = [Fraction(tiny.checksum_reward(prompt, text)) for text in scored]
            wanted = oracles.advantages(rewards, oracles.maximum(2), "loo")
            np.testing.assert_allclose(found, [4 * float(a) for a in wanted], atol=2e-6)
    assert 3 in sizes


def test_original_rewards_can_be_logged_beside(tmp_path: Path, model_folder: Path) -> None:
    args = GRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"], reward_weights=[1.0, 0.0]))
    model, tokenizer = tiny.load(model_folder)
    trainer = tiny.recording(GRPOTrainer)(
        model=model,
        args=args,
        reward_funcs=[joint_rewards(tiny.reward, "max@3", args=args), tiny.reward],
        train_dataset=tiny.dataset(),
        processing_class=tokenizer,
    )
    trainer.train()
    tiny.check_groups(tiny.groups_of(trainer.seen[:1]), oracles.maximum(3), "loo")
    raw = [
        tiny.checksum_reward(p, c)
        for p, c in zip(trainer.seen[0].prompts, trainer.seen[0].completions)
    ]
    assert trainer.state.log_history[0]["rewards/reward/mean"] == pytest.approx(np.mean(raw))


def test_evaluation_with_fewer_generations(tmp_path: Path, model_folder: Path) -> None:
    trainer = make(
        tmp_path,
        model_folder,
        "grpo",
        tiny.reward,
        "max@3",
        num_generations_eval=2,
        per_device_eval_batch_size=4,
        eval_strategy="steps",
        eval_steps=1,
    )
    trainer.train()
    assert len(trainer.seen) == 2
    assert all(not part.advantages.any() for part in trainer.seen_eval)


def test_weights(tmp_path: Path) -> None:
    args = GRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"]))

    def ones(completions: list[str], **kwargs: Any) -> list[Any]:
        return [1.0, 2.0, None, 4.0]

    def twos(completions: list[str], **kwargs: Any) -> list[Any]:
        return [None, 1.0, None, 0.0]

    joint = joint_rewards([ones, twos], 2, args=args, reward_weights=[1.0, 3.0])
    found = joint(prompts=["x"] * 4, completions=["a", "b", "c", "d"])
    wanted = oracles.advantages([1, 5, 4], oracles.maximum(2), "loo")
    np.testing.assert_allclose(
        found, [4 * float(wanted[0]), 4 * float(wanted[1]), 0, 4 * float(wanted[2])]
    )
    assert joint.__name__ == "max@2 of ones, twos"


@pytest.mark.parametrize(
    ("face", "changes", "message"),
    [
        ("grpo", {"scale_rewards": "group"}, "scale_rewards"),
        ("grpo", {"loss_type": "dapo"}, "loss_type"),
        ("grpo", {"mask_truncated_completions": True}, "can't see which completions"),
        ("grpo", {"num_generations": 2}, "needs num_generations >= 3 here, got 2"),
        (
            "grpo",
            {
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 3,
                "num_generations": 3,
            },
            None,
        ),
        ("rloo", {"beta": 0.05}, "beta"),
    ],
)
def test_refused_settings(
    tmp_path: Path, face: str, changes: dict[str, Any], message: str | None
) -> None:
    args = FACES[face][1](**tiny.settings(tmp_path, **EXACT[face] | changes))
    if message is None:
        joint_rewards(tiny.reward, "max@2", args=args)
        return
    with pytest.raises(PkpoError, match=message):
        joint_rewards(tiny.reward, "max@2", args=args)


def test_sampling_that_unsloth_s_config_would_hide(tmp_path: Path) -> None:
    class UnslothGRPOConfig(GRPOConfig):
        vllm_sampling_params = None

    args = UnslothGRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"]))
    joint_rewards(tiny.reward, "max@2", args=args)
    args.vllm_sampling_params = object()
    with pytest.raises(InvalidInputError, match="a top_p, top_k or min_p that nothing here sees"):
        joint_rewards(tiny.reward, "max@2", args=args)


def test_groups_that_would_be_split(tmp_path: Path) -> None:
    args = GRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"]))
    args.per_device_train_batch_size, args.steps_per_generation = 2, 1  # as on two ranks
    with pytest.raises(InvalidInputError, match="split over processes"):
        joint_rewards(tiny.reward, "max@2", args=args)


def test_groups_that_are_split(tmp_path: Path) -> None:
    args = GRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"]))
    joint = joint_rewards(tiny.reward, "max@2", args=args)
    with pytest.raises(InvalidInputError, match="no whole groups of 4"):
        joint(prompts=["x", "x", "y", "y"], completions=["a"] * 4)
    with pytest.raises(InvalidInputError, match="no whole groups of 4"):
        joint(prompts=["x"] * 6, completions=["a"] * 6)


def test_functions_that_can_not_be_wrapped(tmp_path: Path) -> None:
    args = GRPOConfig(**tiny.settings(tmp_path, **EXACT["grpo"]))

    async def later(**kwargs: Any) -> list[float]:
        return []

    for function in (later, torch.nn.Linear(2, 1), "some/reward-model"):
        with pytest.raises(InvalidInputError, match="plain functions"):
            joint_rewards([function], "max@2", args=args)
    with pytest.raises(InvalidInputError, match="is empty"):
        joint_rewards([], "max@2", args=args)
    with pytest.raises(InvalidInputError, match="one number for each of 1"):
        joint_rewards(tiny.reward, "max@2", args=args, reward_weights=[1.0, 2.0])
    short = joint_rewards(lambda **kwargs: [1.0], "max@2", args=args)
    with pytest.raises(InvalidInputError, match="gave 1 rewards for 4 completions"):
        short(prompts=["x"] * 4, completions=["a"] * 4)
