"""SkyRL's registry and trainer, by enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from skyrl.backends.skyrl_train.utils.ppo_utils import (
    AdvantageEstimatorRegistry,
    compute_advantages_and_returns,
)
from skyrl.train.config import SkyRLTrainConfig

import oracles
from pkpo.engines.audit import audit
from pkpo.engines.skyrl import register
from pkpo.engines.skyrl.audit import path, paths
from pkpo.errors import InvalidInputError, UndefinedEstimateError

REWARDS = {"a": [0, 1, 1, 3], "b": [2, 0, 5, 1]}
ORDER = [("a", 0), ("b", 1), ("a", 2), ("b", 0), ("b", 3), ("a", 1), ("b", 2), ("a", 3)]
MASK = [1, 0, 1]


def config(**changes: Any) -> Any:
    """Places of changes have __ for dots."""
    given = {
        "trainer.algorithm.advantage_estimator": "pkpo",
        "trainer.algorithm.loss_reduction": "seq_mean_token_sum_norm",
        "trainer.algorithm.max_seq_len": 10,
        "generator.n_samples_per_prompt": 4,
    }
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return SkyRLTrainConfig.from_cli_overrides(given | changes)


@dataclass
class Trainer:
    """Calls as RayPPOTrainer does: skyrl 0.3.0, skyrl/train/trainer.py, line 1168."""

    cfg: Any
    global_step: int = 1
    padding: int = 0

    def advantages(self, untrained: tuple[int, ...] = ()) -> torch.Tensor:
        mask = torch.tensor([MASK] * (len(ORDER) + self.padding))
        mask[[*untrained], :] = 0
        data = {"loss_mask": mask}  # read in this frame
        assert len(data) == 1
        rewards = torch.zeros(len(ORDER) + self.padding, len(MASK))
        rewards[: len(ORDER), 2] = torch.tensor([float(REWARDS[uid][i]) for uid, i in ORDER])
        found, returns = compute_advantages_and_returns(
            token_level_rewards=rewards,
            response_mask=torch.tensor([MASK] * len(rewards)),
            index=[uid for uid, _ in ORDER] + [f"pad{i}" for i in range(self.padding)],
            adv_estimator=self.cfg.trainer.algorithm.advantage_estimator,
            config=self.cfg.trainer.algorithm,
            values=None,
        )
        assert returns is found
        return found


def expected(kernel: Any, baseline: str = "loo_minus_one") -> torch.Tensor:
    of = {
        uid: oracles.advantages([Fraction(r) for r in rewards], kernel, baseline)
        for uid, rewards in REWARDS.items()
    }
    return torch.tensor([float(4 * of[uid][i]) for uid, i in ORDER])[:, None] * torch.tensor(MASK)


@pytest.mark.parametrize("baseline", oracles.BASELINES)
def test_groups_in_any_order(baseline: Any) -> None:
    register("max@2", config(), baseline=baseline)
    found = Trainer(config()).advantages()
    torch.testing.assert_close(found, expected(oracles.maximum(2), baseline))


def test_schedules_follow_the_trainers_step() -> None:
    register("max@2->mean@5", config())
    for step, kernel in ((5, oracles.maximum(2)), (6, oracles.mean())):
        torch.testing.assert_close(Trainer(config(), step).advantages(), expected(kernel))


def test_padding_counts_for_nothing() -> None:
    register("max@2", config())
    found = Trainer(config(), padding=2).advantages()
    torch.testing.assert_close(found[:-2], expected(oracles.maximum(2)))
    assert not found[-2:].any()


def test_rows_without_a_token_in_the_loss() -> None:
    register("max@2", config())
    with pytest.raises(InvalidInputError, match="group 'b' has completions without a token"):
        Trainer(config()).advantages(untrained=(1,))
    a_alone = [row for row, (uid, _) in enumerate(ORDER) if uid == "b"]
    found = Trainer(config()).advantages(untrained=tuple(a_alone))  # as zero_variance_filter does
    assert not found[a_alone].any()
    rest = [row for row in range(len(ORDER)) if row not in a_alone]
    torch.testing.assert_close(found[rest], expected(oracles.maximum(2))[rest])
    register("max@2", config(), baseline="loo")
    found = Trainer(config()).advantages(untrained=(1,))
    of = oracles.advantages([Fraction(r) for r in (2, 5, 1)], oracles.maximum(2), "loo")
    assert not found[1].any()
    np.testing.assert_allclose(found[[3, 6, 4], 0], [4 * float(a) for a in of], rtol=1e-6)


def test_as_skyrls_registry_takes_it_to_other_processes() -> None:
    register("max@2", config())
    moved = cloudpickle.loads(cloudpickle.dumps(AdvantageEstimatorRegistry.get("pkpo")))
    AdvantageEstimatorRegistry.unregister("pkpo")
    AdvantageEstimatorRegistry.register("pkpo", moved)
    torch.testing.assert_close(Trainer(config()).advantages(), expected(oracles.maximum(2)))


REFUSED = {
    "trainer__algorithm__advantage_batch_normalize": True,
    "trainer__algorithm__loss_reduction": "token_mean",
    "trainer__algorithm__policy_loss_type": "dppo",
    "trainer__algorithm__use_kl_in_reward": True,
    "trainer__algorithm__dynamic_sampling__type": "filter",
    "trainer__fully_async__sample_full_batch": True,
    "trainer__algorithm__use_tis": True,
    "trainer__algorithm__off_policy_correction__tis_ratio_type": "token",
    "trainer__algorithm__off_policy_correction__sequence_mask_metric": "product",
    "trainer__algorithm__off_policy_correction__outlier_token_is_threshold_low": 0.1,
    "trainer__algorithm__off_policy_correction__outlier_token_is_threshold_high": 9.0,
    "trainer__algorithm__off_policy_correction__token_mask_is_threshold_low": 0.1,
    "trainer__algorithm__off_policy_correction__token_mask_is_threshold_high": 9.0,
    "generator__step_wise_trajectories": True,
    "generator__apply_overlong_filtering": True,
    "generator__sampling_params__top_p": 0.9,
    "generator__sampling_params__top_k": 20,
    "generator__sampling_params__min_p": 0.1,
    "generator__sampling_params__repetition_penalty": 1.1,
    "generator__sampling_params__additional_kwargs": {"presence_penalty": 0.5},
    "trainer__algorithm__temperature": 0.7,
    "trainer__policy__model__lora__dropout": 0.1,
}


def test_what_is_refused_is_named_together() -> None:
    with pytest.raises(InvalidInputError) as caught:
        register("max@2", config(**REFUSED), accept_bias=["top_p", "top"])
    text = str(caught.value)
    for name in REFUSED:
        assert (f"- {name.replace('__', '.')}=" in text) == ("top_p" not in name), name
    assert "accept_bias takes some of" in text
    assert "accept_bias=[NAME]" in text
    register("max@2", config(**REFUSED), accept_bias=[name.rpartition("__")[2] for name in REFUSED])


def test_other_refusals() -> None:
    with pytest.raises(InvalidInputError, match="'grpo' is SkyRL's own"):
        register("max@2", config(trainer__algorithm__advantage_estimator="grpo"))
    with pytest.raises(InvalidInputError, match="remembers earlier steps"):
        register("per_prompt(2)", config())
    with pytest.raises(UndefinedEstimateError, match=r"n_samples_per_prompt >= 8, got 4"):
        register("switch(mean, 5, max@8)", config())
    filtered = config(trainer__algorithm__zero_variance_filter=True)
    register("max@2", filtered)
    filtered.trainer.algorithm.zero_variance_filter_tol = 0.5
    with pytest.raises(InvalidInputError, match=r"zero_variance_filter_tol=0.5: leaves out"):
        register("max@2", filtered)
    filtered.trainer.algorithm.zero_variance_filter = False
    register("max@2", filtered)
    filtered.trainer.algorithm.zero_variance_filter = True
    filtered.trainer.algorithm.zero_variance_filter_tol = 1e-6
    with pytest.raises(InvalidInputError, match="aren't 0 with baseline 'none'"):
        register("max@2", filtered, baseline="none")


def test_max_at_2() -> None:
    verdict = audit(path("max@2"), "max@2", sizes=(3, 3)).verdict
    assert verdict == "exact up to a constant factor 0.1"


@pytest.mark.parametrize("name", paths("mean"))
def test_allowed_losses(name: str) -> None:
    verdict = audit(paths("mean")[name], "mean", sizes=(2, 2)).verdict
    assert verdict == "exact up to a constant factor 0.1"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("loss_reduction", "token_mean"),
        ("loss_reduction", "sequence_mean"),
        ("loss_reduction", "prompt_mean"),
        ("advantage_batch_normalize", True),
    ],
)
def test_refused_ones_are_other_objectives(setting: str, value: Any) -> None:
    settings = {f"trainer.algorithm.{setting}": value}
    refused = path("mean", settings=settings, accept_bias=[setting])
    assert not audit(refused, "mean", sizes=(2, 2)).is_constant


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_estimators_of_skyrl(name: str) -> None:
    own = path(None, settings={"trainer.algorithm.advantage_estimator": name})
    assert audit(own, "mean", sizes=(2, 2)).is_constant == (name == "rloo")
    assert np.isfinite(audit(own, "mean", sizes=(2, 2)).angle())
