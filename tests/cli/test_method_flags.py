"""--methods, --objectives, --reuse and their learning rates, as settings."""

from __future__ import annotations

from typing import Any

import pytest

from pkpo.cli.train import Train
from pkpo.errors import InvalidInputError
from pkpo.train.config import TrainConfig


def settings(**flags: Any) -> TrainConfig:
    return Train(**flags).settings()


def test_methods_come_after_objectives_each_with_its_rate():
    config = settings(
        objectives=("8",), methods=("grpo", "entropy(0.1, 0.2)"), learning_rates=(0.1, 0.2, 0.3)
    )
    assert [(arm.name, arm.learning_rate) for arm in config.arms] == [
        ("k=8", 0.1),
        ("grpo", 0.2),
        ("entropy(0.1)", 0.3),
        ("entropy(0.2)", 0.3),
    ]


def test_methods_alone_take_the_place_of_the_preset():
    config = settings(methods=("mixed(4)", "tzsm25"), steps=100, num_generations=6)
    assert [(arm.schedule, arm.learning_rate) for arm in config.arms] == [
        ("mix(max@4, mean, 0, 100)", 3e-4),
        ("max@6", 3e-4),
    ]


def test_without_either_the_preset_is_trained():
    assert [arm.name for arm in settings().arms] == ["k=1", "k=2", "k=8", "8→1"]
    rates = {arm.learning_rate for arm in settings(learning_rates=(0.5,)).arms}
    assert rates == {0.5}


def test_plans_are_objectives():
    config = settings(objectives=("plateau(8, 1)", "per_prompt(8)"))
    assert [arm.name for arm in config.arms] == ["8→1 on plateau", "k per prompt"]


def test_how_batches_are_used_again():
    training = settings(passes=2, reuse="exact", truncate=1.5).training
    assert (training.passes, training.reuse, training.truncate) == (2, "exact", 1.5)
    assert settings().training.reuse == "clip"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"methods": ("ppo",)}, "no method 'ppo'"),
        ({"methods": ("grpo", "grpo")}, "distinct names"),
        ({"methods": ("grpo", "mixed"), "learning_rates": (1.0, 2.0, 3.0)}, "each of the 2"),
        ({"methods": ("mixed(32)",)}, "num_generations >= 32"),
        ({"truncate": 2.0}, "reuse 'exact'"),
    ],
)
def test_refusals(flags: dict[str, Any], message: str):
    with pytest.raises((InvalidInputError, ValueError), match=message):
        settings(**flags)
