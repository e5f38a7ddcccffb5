"""Means over seeds against values computed by hand, and the choice among a family: by
validation, over common seeds, with nothing hidden."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkpo.report import Run, load_run
from pkpo.report.statistics import (
    BASE_NAME,
    estimate,
    gained_and_lost,
    reach_probability,
    select,
    summarise,
    within_reach,
)

from .made_up_runs import MEMBERS, make_scores, run_by_hand, write_family

MakeRun = Callable[..., Path]


@pytest.fixture
def run() -> Run:
    return run_by_hand()


def test_within_reach_is_half_of_all_groups() -> None:
    evaluation = make_scores([0.0, 0.29, 0.3, 1.0], {2: 0.5})
    assert within_reach(evaluation, 2).tolist() == [False, False, True, True]
    assert reach_probability(2) == pytest.approx(1.0 - np.sqrt(0.5))


def test_gained_and_lost_count_crossings() -> None:
    before = make_scores([0.0, 0.3, 0.3, 0.9], {2: 0.5})
    after = make_scores([0.4, 0.1, 0.3, 0.2], {2: 0.5})
    assert gained_and_lost(before, after, 2) == (1, 2)
    assert gained_and_lost(before, after, 16) == (1, 0)


def test_estimate_by_hand() -> None:
    found = estimate([0.5, 0.6, 0.7])
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    assert found.standard_error == pytest.approx(0.1 / np.sqrt(3.0))
    single = estimate([0.5, None])
    assert single is not None
    assert (single.mean, single.standard_error, single.values) == (0.5, None, (0.5,))
    assert estimate([None]) is None


def test_rows_by_hand(run: Run) -> None:
    summary = summarise(run)
    base, first, second = summary.rows
    assert (base.name, summary.ks, summary.reach_k) == (BASE_NAME, (1, 2), 2)
    assert base.values["pass@1"].mean == pytest.approx(0.2)
    assert "problems_gained" not in base.values
    assert first.values["pass@1"].mean == pytest.approx(0.6)
    assert first.values["change_pass@1"].mean == pytest.approx(0.4)
    assert first.values["change_pass@1"].standard_error == pytest.approx(
        np.std([3, 3, 6], ddof=1) / 17.3205
    )
    assert first.values["entropy"].mean == pytest.approx(2.0)
    assert first.values["problems_gained"].mean == pytest.approx(1 / 3)
    assert first.values["problems_lost"].mean == pytest.approx((2 + 1 + 1) / 3)
    assert first.values["cumulative_solve_rate"].mean == pytest.approx(0.6)
    assert second.seeds == (0,)
    assert second.values["pass@2"].standard_error is None
    assert second.values["cumulative_solve_rate"].mean == pytest.approx(0.9)


# Families


@pytest.mark.parametrize(
    ("k", "chosen", "score"),
    [(None, "e=0.2", (0.21 + 0.66) / 2), (1, "e=0.1", 0.30), (8, "e=0.3", 0.71)],
)
def test_the_highest_mean_validation_score_is_chosen(
    make_run: MakeRun, k: int | None, chosen: str, score: float
):
    (selection,) = select(load_run(write_family(make_run, select_k=k)))
    assert (selection.family, selection.members) == ("entropy", MEMBERS)
    assert selection.chosen == chosen
    assert selection.scores[chosen] == pytest.approx(score)
    assert selection.seeds == (0, 1)
    assert selection.ks == ((1, 8) if k is None else (k,))


def test_test_results_play_no_part(make_run: MakeRun):
    path = write_family(make_run)
    best = path / "arms" / "e-0.3"
    for file in best.glob("seed_*/evaluation.json"):
        found = json.loads(file.read_text())
        found["pass_at_k"] = dict.fromkeys(found["pass_at_k"], 1.0)
        file.write_text(json.dumps(found))
    summary = summarise(load_run(path))
    assert summary.selections[0].chosen == "e=0.2"


def test_only_seeds_that_all_members_finished_count(make_run: MakeRun):
    path = write_family(make_run, unfinished=(("e=0.1", 0),))
    (selection,) = select(load_run(path))
    assert selection.seeds == (1,)
    assert selection.scores["e=0.3"] == pytest.approx(0.40)
    assert selection.chosen == "e=0.2"
