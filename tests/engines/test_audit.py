"""Paths whose objective is known, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pkpo.core.transforms import advantages
from pkpo.engines import groups
from pkpo.engines.audit import BINARY, audit, of_advantages
from pkpo.errors import InvalidInputError


@pytest.mark.parametrize("baseline", ["none", "loo", "loo_minus_one", "paper_loo"])
@pytest.mark.parametrize("objective", ["mean", "0.5*max@2 + min@2"])
def test_advantages_are_exact(objective: str, baseline: Any) -> None:
    found = audit(
        of_advantages(lambda rewards: advantages(rewards, objective, baseline=baseline)), objective
    )
    assert found.verdict == "exact"
    np.testing.assert_allclose(found.ratios, 1.0)


def test_binary_rewards_and_group_ids() -> None:
    path = of_advantages(lambda rewards, ids: groups.advantages(rewards, ids, "max@2"))
    assert audit(path, "max@2", rewards=BINARY).is_exact


def centred(rewards: np.ndarray) -> np.ndarray:
    return rewards - rewards.mean()


def test_a_constant_factor_is_one_for_all_groups() -> None:
    equal = audit(of_advantages(centred), "mean", sizes=(3, 3))
    assert equal.verdict == "exact up to a constant factor 2"
    unequal = audit(of_advantages(centred), "mean", sizes=(2, 3))
    assert not unequal.is_constant
    assert unequal.verdict.startswith("another objective: 13.69° from the gradient of mean, 1 to 2")


def test_a_trainer_that_centres() -> None:
    """What it leaves of advantages is what `centred_by_trainer` says."""

    def trainer(baseline: Any) -> Any:
        return of_advantages(lambda rewards: centred(advantages(rewards, 2, baseline=baseline)))

    assert audit(trainer("loo"), "max@2").is_exact
    for baseline in ("none", "loo_minus_one", "paper_loo"):
        assert not audit(trainer(baseline), "max@2").is_constant


def test_other_objectives_are_named() -> None:
    mean = audit(of_advantages(lambda rewards: advantages(rewards, "mean")), "max@2")
    assert mean.verdict.endswith("times its coordinates; that of mean")
    assert mean.angle() == pytest.approx(8.92, abs=0.01)
    std = audit(of_advantages(lambda r: centred(r) / (r.std() + 1e-6)), "mean", sizes=(3, 3))
    assert "another objective" in std.verdict
    opposite = audit(of_advantages(lambda rewards: -advantages(rewards, "mean")), "mean")
    assert "180.00° from the gradient of mean" in opposite.verdict
    nothing = audit(of_advantages(np.zeros_like), "mean")
    assert nothing.verdict == "another objective: the expected gradient is zero"


def test_paths_that_tell_samples_apart() -> None:
    def first_alone(rewards: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(rewards)) == 0, rewards - rewards[1:].mean(), 0.0)

    def middle_alone(rewards: np.ndarray) -> np.ndarray:
        own = np.arange(len(rewards)) == len(rewards) // 2
        return np.where(own, rewards - rewards[~own].mean(), 0.0)

    for path in (first_alone, middle_alone):
        assert audit(of_advantages(path), "mean").is_exact
        # Groups of odd size, whose middle stays where it is if they are reversed.
        for sizes in ((3, 3), (3, 5)):
            assert audit(of_advantages(path), "mean", sizes=sizes).is_exact
    with pytest.raises(InvalidInputError, match="too many to go through"):
        audit(of_advantages(first_alone), "max@4")


def test_wrong_shapes() -> None:
    with pytest.raises(InvalidInputError, match=r"shape \(1,\) for"):
        audit(of_advantages(lambda rewards, ids: rewards[:1]), "mean")
    with pytest.raises(InvalidInputError, match=r"shape \(2,\) for 5 rewards"):
        audit(of_advantages(np.mean), "mean")


def test_advantages_that_are_not_finite() -> None:
    def divided(rewards: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return centred(rewards) / rewards.std()

    with pytest.raises(InvalidInputError, match=r"groups \[0, 0, 1, 1, 1\] of rewards \[0.0, 0.0,"):
        audit(of_advantages(divided), "mean")
