"""Which choices are written, and as what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pkpo.plans.choice_log import ChoiceLog
from pkpo.plans.plan import plan


def rows_of(spec: str, steps: int, *, shown: str = "", first: int = 0) -> list[dict[str, Any]]:
    """What a log holds after some steps of a plan whose prompts are always solved and whose
    validation never rises."""
    rows: list[dict[str, Any]] = []
    chosen = plan(spec)
    log = ChoiceLog(chosen, rows.append, shown=shown)
    for step in range(first, first + steps):
        chosen.observe_validation(step, {2: 0.5})
        log.append(step, ("a", "b"), chosen.choose(step, ("a", "b")))
        chosen.observe(step, ("a", "b"), np.ones((2, 4)))
    return rows


def test_a_schedule_is_silent() -> None:
    assert rows_of("8->1@2", 4) == []
    assert not ChoiceLog.keeps(plan("max@8"))


def test_a_plateau_tells_of_its_stages() -> None:
    rows = rows_of("plateau(4, 1, metric=pass@2, patience=2)", 6)
    assert [(row["step"], row["objective"]) for row in rows] == [(0, "max@4"), (2, "mean")]
    assert all(set(row) == {"step", "objective", "reason"} for row in rows)


def test_a_continued_plateau_repeats_nothing() -> None:
    (first,) = rows_of("plateau(4, 1, metric=pass@2, patience=9)", 3)
    assert rows_of("plateau(4, 1, metric=pass@2, patience=9)", 3, shown=first["reason"]) == []


@pytest.mark.parametrize("steps", [1, 3])
def test_other_plans_tell_of_each_step_and_prompt(steps: int) -> None:
    rows = rows_of("per_prompt(4)", steps)
    assert [row["step"] for row in rows] == list(range(steps))
    assert rows[0]["prompts"] == ["a", "b"]
    assert rows[0]["objectives"] == ["max@4", "max@4"]
    assert len(rows[0]["reasons"]) == 2
