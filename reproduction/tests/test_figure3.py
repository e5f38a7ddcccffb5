"""Annealing: claims by their rules, slopes at the switch, and what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pkpo.report.records import Arm
from pkpo.train.config import ArmSettings
from reproduction.comparing import Difference
from reproduction.figure3.claims import claims, no_sacrifice, slope_change
from reproduction.figure3.topic import annealing_figure, gaps_table, make
from reproduction.old_results import Claim, Verdict
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES
from reproduction.tests.made_up_methods import SEEDS, by_method, data_of, method_of
from reproduction.tests.made_up_studies import STEPS, Made, flat

LABELS = ["k_opt=1", "k_opt=2", "k_opt=8", "TZSM25", "8→1"]


def switching(data: StudyData, step: int) -> StudyData:
    """The same study, with an 8→1 that changes its objective at that step."""
    objectives = tuple("max@8" if i < step else "mean" for i in range(STEPS))

    def changed(arm: Arm) -> Arm:
        if not arm.name.startswith("8→1"):
            return arm
        runs = [replace(r, metrics=replace(r.metrics, objectives=objectives)) for r in arm.runs]
        return replace(arm, runs=tuple(runs))

    arms = tuple(map(changed, data.reported.arms))
    return replace(data, reported=replace(data.reported, arms=arms))


def scored(annealed: Sequence[float], plain: float = 0.3) -> StudyData:
    """8→1 with these scores by k, all others at `plain`."""
    scores = {label: flat(plain) for label in LABELS}
    scores["8→1"] = dict(zip(K_VALUES, annealed))
    return data_of(LABELS, by_method(scores))


def claim_on(data: StudyData, words: str) -> Claim:
    [found] = [claim for claim in claims(data)[0] if words in claim.statement]
    return found


@pytest.mark.parametrize(
    ("annealed", "verdict"),
    [
        ((0.30, 0.31, 0.31, 0.31, 0.31, 0.31), Verdict.HOLDS),
        ((0.30, 0.31, 0.31, 0.31, 0.31, 0.30), Verdict.IN_PART),
        ((0.40, 0.29, 0.29, 0.29, 0.29, 0.29), Verdict.NO),
    ],
)
def test_above_pass_at_1_training_is_asked_at_every_k_above_1(annealed, verdict):
    found = claim_on(scored(annealed), "at every k_eval > 1")
    assert found.verdict is verdict
    assert f"{100 * (annealed[-1] - 0.3):+.1f} ± 0.0 at 16" in found.found


def test_above_a_constant_2_is_asked_at_every_k():
    assert claim_on(scored([0.31] * 6), "k = 2").verdict is Verdict.HOLDS
    assert claim_on(scored([0.29] + [0.31] * 5), "k = 2").verdict is Verdict.IN_PART


@pytest.mark.parametrize(
    ("mean", "half_width", "verdict"),
    [
        (0.01, 0.02, Verdict.HOLDS),
        (-0.004, 0.02, Verdict.HOLDS),
        (-0.006, 0.02, Verdict.OPEN),
        (-0.004, 0.003, Verdict.NO),
        (-0.006, 0.003, Verdict.NO),
    ],
)
def test_what_counts_as_no_sacrifice(mean, half_width, verdict):
    assert no_sacrifice(Difference(mean, half_width / 3, half_width)) is verdict


def test_the_verdict_is_that_of_one_policy_a_method():
    """8→1 has one candidate that is good at 1 and one at 16; the first is best over all k."""

    def made(arm: ArmSettings, seed: int) -> Made:
        if method_of(arm) != "8→1":
            return Made(test=flat(0.3))
        first = arm.learning_rate == 1e-3
        return Made(test=flat(0.4) | {16: 0.2} if first else flat(0.1) | {16: 0.5})

    data = data_of(["k_opt=1", "8→1"], made, rates=(1e-3, 1e-4))
    found = claim_on(data, "at every k_eval > 1")
    assert found.verdict is Verdict.IN_PART
    one, own = found.found.split("With each k's own candidates")
    assert "-10.0 ± 0.0 at 16" in one
    assert "+20.0 ± 0.0 at 16" in own
    assert "“holds”" in own
    table = gaps_table(data)
    assert [row[-1] for row in table.rows] == ["-10.0 ± 0.0", "+20.0 ± 0.0"]

    alone = data_of(["k_opt=1", "8→1"], made, rates=(1e-3, 1e-4), each_k=False)
    assert claim_on(alone, "at every k_eval > 1").found.endswith("-10.0 ± 0.0 at 16.")
    assert [row[0] for row in gaps_table(alone).rows] == ["8→1 minus k_opt=1, one policy"]


def test_trading_asks_for_a_loss_and_a_gain():
    scores = {label: flat(0.3) for label in LABELS}
    scores["TZSM25"] = {**flat(0.3), 1: 0.25, 16: 0.36}
    found = claim_on(data_of(LABELS, by_method(scores)), "trades pass@1")
    assert found.verdict is Verdict.HOLDS
    assert found.found == "It loses +5.0 ± 0.0 points of pass@1 and gains +6.0 ± 0.0 of pass@16."
    scores["TZSM25"][16] = 0.25
    assert claim_on(data_of(LABELS, by_method(scores)), "trades").verdict is Verdict.IN_PART


def test_slopes_are_least_squares_on_both_sides():
    rng = np.random.default_rng(0)
    series_AS = rng.normal(size=(3, 100))
    change = slope_change(series_AS, 40)
    for row, found in zip(series_AS, change):
        before = np.polyfit(np.arange(20, 40), row[20:40], 1)[0]
        after = np.polyfit(np.arange(40, 60), row[40:60], 1)[0]
        assert found == pytest.approx(after - before)


def test_the_switch_is_where_the_objective_changes():
    kink = np.maximum(np.arange(STEPS) - 10, 0) * 0.01

    def made(arm: ArmSettings, seed: int) -> Made:
        return Made(test=flat(0.3), columns={"pass@1": kink + 0.001 * seed})

    data = data_of(LABELS, made)
    assert not [c for c in claims(data)[0] if "rises faster" in c.statement]
    at_kink = claim_on(switching(data, 11), "rises faster")
    assert at_kink.verdict is Verdict.HOLDS
    assert at_kink.found == "+100.0 ± 0.0 points per 100 steps."
    assert claim_on(switching(data, 15), "rises faster").verdict is Verdict.NO


def test_what_a_study_lacks_is_named():
    data = data_of(["k_opt=1", "8→1"], by_method({"k_opt=1": flat(0.3), "8→1": flat(0.3)}))
    _, notes = claims(data)
    assert "Left out, as programs lacks k_opt=2: 8→1 against k_opt = 2." in notes


def test_both_studies_are_drawn_with_the_switch():
    def made(arm: ArmSettings, seed: int) -> Made:
        level = 0.2 + 0.1 * (method_of(arm) == "8→1") + 0.001 * seed
        return Made(flat(level), earlier={0: flat(0.1)}, columns={"pass@1": level})

    one = switching(data_of(LABELS, made), 10)
    other = replace(one, study=replace(one.study, name="countdown"))
    figure = annealing_figure([one, other])
    assert len(figure.axes) == 8
    for panel in figure.axes:
        upright = [line for line in panel.lines if np.array_equal(line.get_xdata(), [10, 10])]
        assert len(upright) == 1
    last = figure.axes[3].lines
    ends = {round(float(np.asarray(line.get_ydata())[-1]), 6) for line in last[:-1]}
    middle = 0.001 * float(np.mean(SEEDS))
    assert ends >= {round(0.2 + middle, 6), round(0.3 + middle, 6)}

    result = make(Context(False, Path()), one, other)
    assert [table.name for table in result.tables] == [
        "final-programs",
        "annealing-programs",
        "final-countdown",
        "annealing-countdown",
    ]
    assert len(result.claims) == 10
