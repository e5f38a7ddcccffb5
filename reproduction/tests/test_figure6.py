"""Solve rate and entropy: epochs and their slopes, the order of k_opt, one learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pkpo.train.config import ArmSettings
from reproduction.figure6 import claims as figure6_claims
from reproduction.figure6.claims import claims
from reproduction.figure6.numbers import (
    common_rates,
    epoch_ends,
    ordered_share,
    slopes_around,
    train_problems,
)
from reproduction.figure6.topic import (
    final_table,
    make,
    rates_figure,
    rates_table,
    solve_rate_figure,
)
from reproduction.old_results import Claim, Verdict
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import STUDIES
from reproduction.tests.made_up_methods import data_of, method_of
from reproduction.tests.made_up_studies import STEPS, Made, flat

ROWS = ["k_opt=1", "k_opt=2", "k_opt=4", "k_opt=8"]
RAMP = np.linspace(0.0, 1.0, STEPS)


def curves(ends: Mapping[str, float], bend: Mapping[str, np.ndarray] | None = None, **settings):
    """Solve rates that rise to these ends, entropies that are their tenfold."""

    def made(arm: ArmSettings, seed: int) -> Made:
        method = method_of(arm)
        solved = ends[method] * RAMP + 0.001 * seed
        if bend and method in bend:
            solved = solved + bend[method]
        columns = {"cumulative_solve_rate": solved, "entropy": 10 * solved}
        return Made(flat(0.3 if arm.learning_rate == 1e-3 else 0.2), columns=columns)

    return data_of(list(ends), made, **settings)


def claim_on(data: StudyData, words: str) -> Claim:
    [found] = [claim for claim in claims(data)[0] if words in claim.statement]
    return found


RISING = dict(zip(ROWS, (0.1, 0.2, 0.3, 0.4)))


def test_epochs_end_where_all_problems_have_been_seen():
    assert epoch_ends(12_000, 64, 300) == (187.5,)
    assert epoch_ends(12_000, 64, 800) == (187.5, 375.0, 562.5, 750.0)
    assert epoch_ends(12_000, 64, 24) == ()
    assert epoch_ends(12_000, 64, 197) == ()
    assert epoch_ends(12_000, 64, 198) == (187.5,)
    assert epoch_ends(100, 10, 30) == (20.0,), "before step 10 there are nine rises"
    assert epoch_ends(110, 10, 30) == (11.0,)


def test_the_study_has_its_tasks_problems():
    data = curves(RISING)
    assert train_problems(data) == 12_000
    few = replace(data, study=replace(STUDIES["programs"], options={"num_train": 40}))
    assert train_problems(few) == 40


@pytest.mark.parametrize("problems", [12_000, 12_032])
def test_slopes_are_of_whole_steps_of_one_epoch(problems):
    """A problem adds 3 where it is seen first and 1 where it is seen again."""
    per_step, steps = 64, 300
    [end] = epoch_ends(problems, per_step, steps)
    seen = np.arange(per_step * steps) // problems
    adds = np.where(seen == 0, 3.0, 1.0).reshape(steps, per_step).sum(axis=1)
    solved_AS = np.cumsum(adds)[None] * np.array([[1.0], [2.0]])
    before, after = slopes_around(solved_AS, end)
    np.testing.assert_allclose(before, [192.0, 384.0])
    np.testing.assert_allclose(after, [64.0, 128.0])


def test_a_higher_k_solves_more_throughout():
    data = curves(RISING)
    for words in ("solve rate throughout training; chosen", "entropy throughout training; chosen"):
        found = claim_on(data, words)
        assert found.verdict is Verdict.HOLDS
        assert "in order at 100 % of the steps" in found.found
    assert "40.20 with k_opt=8" in claim_on(data, "solve rate throughout training; chosen").found


def test_a_dip_on_the_way_leaves_part():
    dip = np.zeros(STEPS)
    dip[8:12] = -0.5
    found = claim_on(curves(RISING, {"k_opt=8": dip}), "solve rate throughout training; chosen")
    assert found.verdict is Verdict.IN_PART
    assert "in order at 75 % of the steps" in found.found


def test_a_dip_in_the_first_fifth_does_not_count():
    dip = np.zeros(STEPS)
    dip[:4] = -0.5
    data = curves(RISING, {"k_opt=8": dip})
    assert claim_on(data, "solve rate throughout training; chosen").verdict is Verdict.HOLDS


def test_the_ends_must_rise_over_all_four():
    data = curves({**RISING, "k_opt=2": 0.05})
    assert claim_on(data, "solve rate throughout training; chosen").verdict is Verdict.IN_PART
    data = curves({**RISING, "k_opt=8": 0.05})
    assert claim_on(data, "solve rate throughout training; chosen").verdict is Verdict.NO


def test_equal_means_are_in_order():
    data = curves({**RISING, "k_opt=4": 0.1})
    arms = [data.chosen(method) for method in ("k_opt=1", "k_opt=4", "k_opt=8")]
    assert ordered_share(arms, "cumulative_solve_rate") == 1.0
    assert ordered_share(arms[::-1], "cumulative_solve_rate") == 0.0


def test_a_common_learning_rate_is_judged_where_every_k_has_one():
    def made(arm: ArmSettings, seed: int) -> Made:
        """k_opt = 1 is best over all k with 0.001, the others with 0.0001; every one also has a
        k at which the other is chosen, but for k_opt = 8."""
        first = arm.learning_rate == 1e-3
        liked = first == (method_of(arm) == "k_opt=1")
        scores = flat(0.4 if liked else 0.2)
        if not liked and method_of(arm) != "k_opt=8":
            scores[2] = 0.5
        solved = 0.1 * ROWS.index(method_of(arm)) * RAMP + (0.35 if first else 0.0)
        return Made(scores, columns={"cumulative_solve_rate": solved, "entropy": solved})

    data = data_of(ROWS, made, rates=(1e-3, 1e-4))
    assert list(common_rates(data, ROWS)) == [1e-4]
    assert list(common_rates(data, ROWS[:3])) == [1e-3, 1e-4]
    tuned = claim_on(data, "solve rate throughout training; chosen")
    same = claim_on(data, "solve rate throughout training; all with learning rate 0.0001")
    assert tuned.verdict is Verdict.NO, "k_opt = 1 leads by its learning rate"
    assert same.verdict is Verdict.HOLDS
    assert "30.00 with k_opt=8" in same.found


def test_the_slope_is_judged_where_an_epoch_ends(monkeypatch):
    """Solve rates that rise by 1 point a step in the first 10 and by half of it then."""
    solved = np.cumsum([0.0] + [0.01] * 11 + [0.005] * (STEPS - 12))
    columns = {"cumulative_solve_rate": solved, "entropy": 1.0}
    data = data_of(["k_opt=1"], lambda arm, seed: Made(flat(0.3), columns=columns))
    _, notes = claims(data)
    assert any("training ends before one" in note for note in notes)
    monkeypatch.setattr(figure6_claims, "epoch_ends", lambda *_: (12.0,))
    monkeypatch.setattr("reproduction.figure6.numbers.AROUND", 6)
    found = claim_on(data, "where an epoch ends")
    assert found.verdict is Verdict.HOLDS
    assert "k_opt=1 from 100.0 to 50.0 (fall +50.0 ± 0.0)" in found.found


def test_tables_and_figures_of_a_study():
    data = curves({**RISING, "TZSM25": 0.5}, rates=(1e-3, 1e-4))
    final = final_table(data)
    assert final.rows[3] == ("k_opt=8", "40.2 ± 0.1", "3.9 ± 0.0", "lr 0.001")
    rates = rates_table(data)
    assert [row[0] for row in rates.rows][:2] == ["lr 0.001, k_opt=1", "lr 0.001, k_opt=2"]
    assert len(rates.rows) == 10
    panels = rates_figure(data).axes
    assert len(panels) == 4
    over_plain = solve_rate_figure(data, 12_000).axes[2].lines
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in over_plain]
    np.testing.assert_allclose(drawn[0], np.zeros(STEPS), atol=1e-12)
    np.testing.assert_allclose(drawn[3], 0.3 * RAMP, atol=1e-12)
    result = make(Context(False, Path()), data)
    assert len(result.drawings) == 2
    assert len(result.claims) == 2, "the chosen ones have one learning rate"
    assert result.settings["train_problems"] == 12_000
