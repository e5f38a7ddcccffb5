"""The hook of slime by the call that its source makes, on doubles of what it hands over.

slime isn't on PyPI: `make test-slime` has the real one, and its loss. `Manager` does as
`RolloutManager._convert_samples_to_train_data` and `_post_process_rewards` (slime 0.3.1 at 624b824,
slime/ray/rollout.py, lines 610 and 623), `Sample` has the fields of slime/utils/types.py, line 87,
that are looked at.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pkpo.core.transforms import advantages
from pkpo.engines.slime import post_process
from pkpo.errors import InvalidInputError, UndefinedEstimateError

DEFAULTS = {
    "advantage_estimator": "grpo",
    "normalize_advantages": False,
    "calculate_per_token_loss": False,
    "custom_advantage_function_path": None,
    "loss_type": "policy_loss",
    "rollout_batch_size": 2,
    "over_sampling_batch_size": 2,
    "use_tis": False,
    "rollout_top_k": -1,
    "reward_key": None,
}


@dataclass
class Sample:
    group_index: int | None
    reward: Any
    response_length: int = 1
    rollout_id: int | None = None
    loss_mask: list[int] | None = None
    remove_sample: bool = False

    def get_reward_value(self, args: Namespace) -> Any:
        return self.reward if not args.reward_key else self.reward[args.reward_key]


@dataclass
class Manager:
    args: Namespace
    rollout_id: int = 0
    generate_rollout: Any = None
    samples: list[Sample] = field(default_factory=list)

    def convert(self, samples: list[Sample]) -> list[float]:
        raw, rewards = post_process(self.args, samples)
        assert raw == [sample.get_reward_value(self.args) for sample in samples]
        assert len(rewards) == len(samples)
        return rewards


def args(size: int, objective: str = "max@2", **changes: Any) -> Namespace:
    of_pkpo = {"objective": objective, **changes.pop("pkpo", {})}
    return Namespace(**{**DEFAULTS, "global_batch_size": size, "pkpo": of_pkpo, **changes})


REWARDS = {7: [0.0, 1.0, 3.0], 3: [2.0, 0.0, 5.0, 1.0]}
SAMPLES = [
    Sample(group, reward, response_length=1 + i)
    for group, of_group in REWARDS.items()
    for i, reward in enumerate(of_group)
]


def by_sample(objective: str) -> np.ndarray:
    return np.concatenate([advantages(of_group, objective) for of_group in REWARDS.values()])


def test_slimes_divisors_cancel() -> None:
    """By default slime divides by a rollout's tokens and by the rollouts of a step: 7 for 2."""
    found = Manager(args(7)).convert(SAMPLES)
    lengths = [sample.response_length for sample in SAMPLES]
    np.testing.assert_allclose(np.divide(found, lengths) / 7, by_sample("max@2") / 2)


def test_the_divisor_of_a_loss_by_tokens_cancels() -> None:
    found = Manager(args(7, calculate_per_token_loss=True)).convert(SAMPLES)
    tokens = sum(sample.response_length for sample in SAMPLES)
    np.testing.assert_allclose(np.divide(found, tokens), by_sample("max@2") / 2)


def test_schedules_follow_the_rollout() -> None:
    given = args(7, "max@2->mean@5")
    for rollout, objective in ((4, "max@2"), (5, "mean")):
        found = Manager(given, rollout).convert(SAMPLES)
        lengths = [sample.response_length for sample in SAMPLES]
        np.testing.assert_allclose(np.divide(found, lengths) * 2 / 7, by_sample(objective))
    with pytest.raises(InvalidInputError, match="depends on the step"):
        post_process(given, SAMPLES)


def test_a_rollout_of_several_samples_counts_once() -> None:
    twice = [sample for i, s in enumerate(SAMPLES) for sample in _split(s, i)]
    found = Manager(args(7)).convert(twice)
    once = Manager(args(7)).convert(SAMPLES)
    # The rollout's tokens are those of its samples together: each is trained on as before.
    np.testing.assert_allclose(found, np.repeat(once, [len(_split(s, 0)) for s in SAMPLES]))


def _split(sample: Sample, rollout: int) -> list[Sample]:
    if sample.response_length < 2:
        return [sample]
    rest = sample.response_length - 1
    return [Sample(sample.group_index, sample.reward, k, 100 + rollout) for k in (1, rest)]


def test_rollouts_that_fill_no_step_are_left_out() -> None:
    found = Manager(args(3)).convert(SAMPLES)
    alone = Manager(args(3)).convert(SAMPLES[:6])
    np.testing.assert_allclose(found, [*alone, 0.0])
    with pytest.raises(InvalidInputError, match="7 rollouts don't fill an optimizer step"):
        Manager(args(8)).convert(SAMPLES)


def test_samples_that_are_removed() -> None:
    gone = Sample(7, 9.0, 4, remove_sample=True)
    with pytest.raises(
        InvalidInputError, match=r"group 7 has .* pkpo: {baseline: loo} in the file"
    ):
        Manager(args(8)).convert([*SAMPLES, gone])
    given = args(8, pkpo={"baseline": "loo"})
    found = Manager(given).convert([*SAMPLES, gone])
    of_group = advantages(REWARDS[7], "max@2", baseline="loo")
    np.testing.assert_allclose(found[:3], of_group * [1, 2, 3] * 8 / 2)
    assert found[-1] == 0.0


def test_groups_too_small() -> None:
    with pytest.raises(UndefinedEstimateError, match="group 7 has 3 samples"):
        Manager(args(7, "max@4")).convert(SAMPLES)
    found = Manager(args(7, "max@4", pkpo={"small_groups": "zero"})).convert(SAMPLES)
    assert not any(found[:3])
    assert any(found[3:])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(None, 1.0), "sample 7 of slime's has no group_index"),
        (Sample(7, None), "sample 7 of slime's has no reward"),
        (Sample(7, {"a": 1.0}), r"sample 7 has rewards \['a'\]: say --reward-key"),
    ],
)
def test_samples_that_lack_something(sample: Sample, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Manager(args(7)).convert([*SAMPLES, sample])


def test_one_rollout_with_two_rewards() -> None:
    two = [Sample(7, 0.0, rollout_id=1), Sample(7, 1.0, rollout_id=1)]
    with pytest.raises(InvalidInputError, match="are outputs of one session"):
        Manager(args(2)).convert([*SAMPLES, *two])


def test_one_error_names_all_that_is_refused() -> None:
    changes: dict[str, Any] = {
        "advantage_estimator": "ppo",
        "normalize_advantages": True,
        "over_sampling_batch_size": 3,
        "dynamic_sampling_filter_path": "slime.rollout.filter_hub.check",
        "use_tis": True,
        "rollout_top_k": 20,
        "attention_dropout": 0.1,
        "hidden_dropout": 0.1,
    }
    with pytest.raises(InvalidInputError) as caught:
        Manager(args(7, pkpo={"accept_bias": ["use_tis", "top"]}, **changes)).convert(SAMPLES)
    text = str(caught.value)
    assert all((f"- {name}=" in text) == (name != "use_tis") for name in changes)
    assert "accept_bias takes some of" in text
    assert "pkpo: {accept_bias: [NAME]} in the file of --custom-config-path" in text
    Manager(args(7, pkpo={"accept_bias": [*changes]}, **changes)).convert(SAMPLES)
    Manager(args(7, pkpo={"accept_bias": "use_tis"}, use_tis=True)).convert(SAMPLES)
    Manager(args(7, pkpo={"accept_bias": None})).convert(SAMPLES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"has no objective: say pkpo: {objective: max@8} in the file of --custom-config"),
        ("max@8", r"has no objective: say pkpo: {objective: max@8} in the file of --custom-confi"),
        ({"objektive": 8}, "doesn't know objektive"),
        ({"objective": "per_prompt(8)"}, "remembers earlier steps, for which slime"),
    ],
)
def test_settings_of_its_own(given: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        post_process(Namespace(**{**DEFAULTS, "global_batch_size": 7, "pkpo": given}), SAMPLES)
