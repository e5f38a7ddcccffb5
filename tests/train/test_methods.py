"""Methods by name: what each trains, in full."""

from __future__ import annotations

from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.methods import ENTROPY_COEFFICIENTS, method_arms

PLAIN = {"baseline": "loo_minus_one", "scale": "none", "entropy_coef": 0.0, "family": None}
LOO = PLAIN | {"baseline": "loo"}


def arms_of(text: str, steps: int = 800, num_generations: int = 16) -> tuple[ArmSettings, ...]:
    return method_arms(text, steps=steps, num_generations=num_generations, learning_rate=3e-4)


@pytest.mark.parametrize(
    ("text", "name", "schedule", "rest"),
    [
        ("pass@1", "pass@1", "mean", LOO),
        ("tzsm25", "tzsm25", "max@16", PLAIN),
        ("maxrl", "maxrl", "log_pass(16)", PLAIN),
        ("maxrl(4)", "maxrl(4)", "log_pass(4)", PLAIN),
        ("mixed", "mixed(8)", "mix(max@8, mean, 0, 800)", PLAIN),
        ("mixed(4)", "mixed(4)", "mix(max@4, mean, 0, 800)", PLAIN),
        ("grpo", "grpo", "mean", LOO | {"scale": "group_std"}),
        ("entropy(.01)", "entropy(0.01)", "mean", LOO | {"entropy_coef": 0.01}),
        ("pkpo@4", "pkpo@4", "max@4", PLAIN),
        ("pkpo(4)", "pkpo@4", "max@4", PLAIN),
        (" annealed ", "annealed(8)", "switch(max@8, 400, mean)", PLAIN),
        ("annealed( 2 )", "annealed(2)", "switch(max@2, 400, mean)", PLAIN),
    ],
)
def test_what_a_method_trains(text: str, name: str, schedule: str, rest: dict[str, Any]):
    (arm,) = arms_of(text)
    common = {"name": name, "schedule": schedule, "learning_rate": 3e-4}
    assert arm.model_dump() == common | rest


def test_entropy_is_a_family_of_five():
    arms = arms_of("entropy")
    assert [arm.entropy_coef for arm in arms] == [0.001, 0.005, 0.01, 0.05, 0.1]
    assert tuple(arm.entropy_coef for arm in arms) == ENTROPY_COEFFICIENTS
    assert {arm.family for arm in arms} == {"entropy"}
    assert len(arms_of("entropy(.1, .2)")) == 2


def test_all_methods_fit_into_one_job():
    texts = ["pass@1", "tzsm25", "maxrl", "mixed", "grpo", "entropy", "pkpo@8", "annealed"]
    arms = [arm.model_dump() for text in texts for arm in arms_of(text)]
    assert len(TrainConfig.model_validate({"arms": arms}).arms) == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ppo",
        "pass@2",
        "pass@1(3)",
        "pkpo",
        "pkpo@",
        "pkpo@0",
        "pkpo@x",
        "grpo(1)",
        "grpo@8",
        "tzsm25(8)",
        "maxrl(1, 2)",
        "maxrl(x)",
        "mixed(0)",
        "entropy(-1)",
        "entropy(x)",
        "annealed(8",
    ],
)
def test_other_text_raises_and_lists_the_methods(text: str):
    with pytest.raises(InvalidInputError, match=r"tzsm25, maxrl or maxrl\(TERMS\)"):
        arms_of(text)


def test_one_step_has_no_half():
    with pytest.raises(InvalidInputError, match="no half"):
        arms_of("annealed", steps=1)
