"""torchtitan's advantages, samples, batches and loss, by enumeration: ours, and its own."""

from __future__ import annotations

from typing import Any

import pytest
from torchtitan.experiments.rl.losses import DAPOLoss, GRPOLoss
from torchtitan.experiments.rl.rollout.advantage import AdvantageEstimator

from pkpo.cli.commands import run
from pkpo.engines.audit import audit
from pkpo.engines.torchtitan import ObjectiveAdvantages, PromptMeanLoss
from pkpo.engines.torchtitan.audit import path

BY_PROMPTS = PromptMeanLoss.Config(num_prompts=2)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "torchtitan", "--objective", "mean"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["PromptMeanLoss", "2", "and", "2", "exact"],
        ["PromptMeanLoss", "2", "and", "3", "exact"],
    ]


@pytest.mark.parametrize("baseline", ["none", "loo", "loo_minus_one", "paper_loo"])
def test_max_at_2(baseline: Any) -> None:
    estimator = ObjectiveAdvantages.Config(objective="max@2", baseline=baseline).build()
    assert audit(path(estimator, BY_PROMPTS.build()), "max@2", sizes=(3, 3)).is_exact


@pytest.mark.parametrize("loss", [DAPOLoss.Config(), GRPOLoss.Config()])
def test_its_own_loss_weights_batches_by_their_tokens(loss: Any) -> None:
    estimator = ObjectiveAdvantages.Config(objective="mean").build()
    assert not audit(path(estimator, loss.build()), "mean", sizes=(2, 2)).is_constant


def test_its_own_advantages() -> None:
    """Less the mean: exact up to a constant, with a loss that is."""
    of_its_own = {
        by_std: AdvantageEstimator.Config(should_std_normalize=by_std).build()
        for by_std in (False, True)
    }
    found = audit(path(of_its_own[False], BY_PROMPTS.build()), "mean", sizes=(3, 3))
    assert found.verdict == "exact up to a constant factor 2"
    found = audit(path(of_its_own[True], BY_PROMPTS.build()), "mean", sizes=(2, 2))
    assert not found.is_constant
