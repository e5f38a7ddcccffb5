"""tinker-cookbook's rollouts, advantages and training data, by enumeration: ours, and its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tinker_cookbook.rl.types import EnvGroupBuilder

from pkpo.cli.commands import run
from pkpo.core.parsing import as_objective
from pkpo.core.transforms import advantages
from pkpo.engines.audit import audit
from pkpo.engines.tinker import ObjectiveGroup
from pkpo.engines.tinker.audit import path


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "tinker", "--objective", "mean"]) == 0
    lines = capsys.readouterr().out.splitlines()
    verdict = ["exact", "up", "to", "a", "constant", "factor", "2"]
    assert [line.split() for line in lines[2:]] == [
        ["importance_sampling", "2", "and", "2", *verdict],
        ["importance_sampling", "2", "and", "3", *verdict],
    ]


def test_max_at_2() -> None:
    """The sum over its two groups, where the objective is the mean."""
    found = audit(path(lambda group: ObjectiveGroup(group, as_objective(2))), 2, sizes=(3, 3))
    assert found.verdict == "exact up to a constant factor 2"


def test_its_own_is_the_mean() -> None:
    assert audit(path(lambda group: group), "mean", sizes=(2, 2)).is_constant


@dataclass(frozen=True)
class LooMinusOne(ObjectiveGroup):
    async def compute_group_rewards(self, trajectory_group: Any, env_group: Any) -> Any:
        rewards = [trajectory.transitions[0].reward for trajectory in trajectory_group]
        found = advantages(rewards, self.objective, baseline="loo_minus_one")
        return [(a - r, {}) for a, r in zip(found.tolist(), rewards)]


def test_another_baseline_does_not_survive_centring() -> None:
    def wrapped(group: EnvGroupBuilder) -> EnvGroupBuilder:
        return LooMinusOne(group, as_objective(2))

    assert not audit(path(wrapped), "max@2", sizes=(2, 2)).is_constant
