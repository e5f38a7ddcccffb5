"""The gap along a run: its numbers against SciPy, and the verdicts on made-up studies."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from pkpo.train.config import ArmSettings
from reproduction.collapse import topic as collapse
from reproduction.collapse.claims import claims
from reproduction.collapse.drawings import along_figure, phase_figure
from reproduction.collapse.numbers import (
    METHODS,
    base_gap,
    correlations,
    end_gap,
    first_mean,
    gap_checkpoints,
    gap_curve,
    rank_correlation,
    widest_gap,
)
from reproduction.collapse.topic import along_table, runs_table
from reproduction.old_results import Claim, Verdict
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import BEYOND_METHODS, PAPER_METHODS
from reproduction.tests.made_up_studies import STEPS, Made, Maker, flat, study, study_data

MIXTURE = "½ max@8 + ½ mean"
FALLING = np.linspace(1.0, 0.5, STEPS)
BASE = {**flat(0.3), 1: 0.2, 16: 0.7}
"""A gap of 0.5."""

# By method: pass@1 and the gap at the end.
LEVELS = {
    "k_opt=1": (0.5, 0.1),
    "k_opt=2": (0.5, 0.15),
    "k_opt=4": (0.5, 0.2),
    "k_opt=8": (0.4, 0.3),
    "TZSM25": (0.3, 0.35),
    "EntropyReg": (0.5, 0.1),
    "8→1": (0.5, 0.12),
    MIXTURE: (0.5, 0.25),
    "MaxRL": (0.5, 0.2),
}


def method_of(arm: ArmSettings) -> str:
    return arm.name.rsplit(" lr=", 1)[0].split(" 0.")[0]


def made(first: float, gap: float, seed: int, signal: float = 0.5) -> Made:
    """Gap and entropy fall together on the training batches; seeds differ by 0.001."""
    gap, first = gap + 0.001 * (seed % 7), first - 0.002 * (seed % 7) ** 2
    return Made(
        test={**flat(first), 16: first + gap},
        earlier={5: {**flat(0.1), 16: 0.1 + gap}},
        columns={
            "pass@1": 0.2,
            "pass@16": 0.2 + gap * FALLING,
            "entropy": FALLING**2,
            "signal_fraction": np.where(np.arange(STEPS) < 2, signal, 0.25),
        },
        entropy=0.5,
        distinct=1.5,
    )


def make(arm: ArmSettings, seed: int) -> Made:
    return made(*LEVELS[method_of(arm)], seed)


def with_levels(**changes: tuple[float, float]) -> Maker:
    levels = LEVELS | changes
    return lambda arm, seed: made(*levels[method_of(arm)], seed)


EVERY = study(*PAPER_METHODS, *BEYOND_METHODS[2:4])


@pytest.fixture(scope="module")
def data() -> StudyData:
    return study_data(EVERY, make, BASE)


def verdict(found: StudyData, words: str) -> Verdict:
    return claim(found, words).verdict


def claim(found: StudyData, words: str) -> Claim:
    (one,) = [one for one in claims(found)[0] if words in one.statement]
    return one


# Numbers


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlations_are_scipys(seed: int, levels: int) -> None:
    """With few levels many values are equal."""
    x, y = np.random.default_rng(seed).integers(0, levels, (2, 30)).astype(float)
    assert rank_correlation(x, y + x) == pytest.approx(stats.spearmanr(x, y + x).statistic)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_rank_correlation_at_its_ends() -> None:
    x = np.arange(8.0)
    assert rank_correlation(x, x**3) == pytest.approx(1.0)
    assert rank_correlation(x, -np.exp(x)) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation(x, np.ones(8)))


def test_the_widest_gap() -> None:
    p, most = widest_gap()
    found = optimize.minimize_scalar(
        lambda p: -(1 - (1 - p) ** 16 - p), bounds=(0, 1), method="bounded"
    )
    assert p == pytest.approx(found.x, abs=1e-5)
    assert most == pytest.approx(-found.fun)


def test_gaps(data: StudyData) -> None:
    assert base_gap(data).tolist() == pytest.approx([0.5] * 3)
    assert end_gap(data, "k_opt=8").tolist() == pytest.approx([0.3, 0.301, 0.302])
    arm = data.chosen("k_opt=8")
    assert gap_curve(arm)[1] == pytest.approx(0.301 * FALLING)
    steps, gaps_AC = gap_checkpoints(arm)
    assert steps.tolist() == [5, STEPS]
    assert gaps_AC[1].tolist() == pytest.approx([0.301, 0.301])


def test_correlations_leave_out_the_first_fifth_of_the_steps() -> None:
    """There entropy rises and the gap falls; afterwards both fall. Moving averages over three
    steps reach one step into what is left out."""
    entropy = np.where(np.arange(STEPS) < 3, np.arange(STEPS), FALLING)

    def turning(arm: ArmSettings, seed: int) -> Made:
        one = make(arm, seed)
        return replace(one, columns={**one.columns, "entropy": entropy})

    arm = study_data(study(PAPER_METHODS[0]), turning).chosen("k_opt=1")
    assert correlations(arm).tolist() == pytest.approx([1.0] * 3)
    assert stats.spearmanr(entropy, FALLING).statistic < 0.9


def test_the_first_tenth_of_the_steps() -> None:
    assert first_mean(np.arange(40.0).reshape(2, 20)).tolist() == [0.5, 20.5]
    assert first_mean(np.arange(6.0).reshape(2, 3)).tolist() == [0.0, 3.0]


# Verdicts


def test_a_gap_that_shrinks_with_entropy(data: StudyData) -> None:
    for words in ("(k_opt = 1)", "(k_opt = 8)"):
        found = claim(data, words)
        assert found.verdict is Verdict.HOLDS
        assert "correlation +1.00" in found.found
    assert claim(data, "(k_opt = 1)").found.startswith("The gap changes by -39.9 ± 0.1 points")
    assert verdict(data, "ends below that of the warm start") is Verdict.HOLDS


def test_a_gap_that_grows_while_entropy_falls_with_it() -> None:
    grows = study_data(EVERY, with_levels(**{"k_opt=1": (0.2, 0.6)}), BASE)
    assert verdict(grows, "(k_opt = 1)") is Verdict.IN_PART
    assert verdict(grows, "(k_opt = 8)") is Verdict.HOLDS


@pytest.mark.parametrize(("gap", "expected"), [(0.1, Verdict.IN_PART), (0.6, Verdict.NO)])
def test_a_gap_that_goes_against_entropy(gap: float, expected: Verdict) -> None:
    def against(arm: ArmSettings, seed: int) -> Made:
        one = made(0.2, gap, seed)
        return replace(one, columns={**one.columns, "entropy": 1 / FALLING})

    assert verdict(study_data(EVERY, against, BASE), "(k_opt = 8)") is expected


def test_a_constant_gap_goes_with_nothing() -> None:
    def constant(arm: ArmSettings, seed: int) -> Made:
        one = made(0.2, 0.6, seed)
        return replace(one, columns={**one.columns, "pass@16": 0.4})

    found = study_data(EVERY, constant, BASE)
    assert verdict(found, "(k_opt = 1)") is Verdict.NO
    rows = {row[0]: row for row in along_table(found).rows}
    assert rows["k_opt=1"][6] == "-"
    assert runs_table(found).rows[3][6] == "-"


def test_keeping_more_of_the_gap(data: StudyData) -> None:
    assert verdict(data, "annealing (8→1) keeps more") is Verdict.HOLDS
    assert verdict(data, f"{MIXTURE} keeps more") is Verdict.HOLDS
    levels = {"8→1": (0.5, 0.09), MIXTURE: (0.5, 0.05)}
    less = study_data(EVERY, with_levels(**levels), BASE)
    assert verdict(less, "annealing (8→1) keeps more") is Verdict.NO
    assert verdict(less, f"{MIXTURE} keeps more") is Verdict.NO


def test_a_gap_kept_at_the_cost_of_pass_at_1_is_kept_in_part() -> None:
    cost = study_data(EVERY, with_levels(**{MIXTURE: (0.4, 0.25)}), BASE)
    found = claim(cost, f"{MIXTURE} keeps more")
    assert found.verdict is Verdict.IN_PART
    assert found.found == "Gap +15.0 ± 0.0 points, pass@1 -10.0 ± 0.0 points."


def test_no_less_means_not_below_beyond_the_interval() -> None:
    def noisy(arm: ArmSettings, seed: int) -> Made:
        if method_of(arm) != MIXTURE:
            return make(arm, seed)
        return made(0.5 + (-0.1, 0.05, 0.02)[seed % 7 % 3], 0.25, seed)

    assert verdict(study_data(EVERY, noisy, BASE), f"{MIXTURE} keeps more") is Verdict.HOLDS


def test_a_gap_that_neither_shrinks_nor_grows_beyond_the_error_is_open() -> None:
    def noisy(arm: ArmSettings, seed: int) -> Made:
        if method_of(arm) != "8→1":
            return make(arm, seed)
        return made(0.5, 0.1 + (-0.1, 0.15, 0.02)[seed % 7 % 3], seed)

    assert verdict(study_data(EVERY, noisy, BASE), "annealing (8→1) keeps more") is Verdict.OPEN


@pytest.mark.parametrize(
    ("signal", "expected"), [(0.4, Verdict.HOLDS), (0.5, Verdict.HOLDS), (0.6, Verdict.NO)]
)
def test_groups_with_a_signal(signal: float, expected: Verdict) -> None:
    """k_opt = 1 has a half in the first two of twenty steps, and both a quarter later."""

    def one(arm: ArmSettings, seed: int) -> Made:
        return made(0.5, 0.1, seed, signal if method_of(arm) == "k_opt=8" else 0.5)

    found = claim(study_data(EVERY, one, BASE), "a learning signal on no more prompts")
    assert found.verdict is expected
    assert f"{100 * signal:.1f} % with k_opt=8 against 50.0 % with k_opt=1" in found.found
    assert "25.0 % against 25.0 %" in found.found


def test_claims_without_their_methods_are_left_out() -> None:
    few = study_data(study(PAPER_METHODS[0], PAPER_METHODS[6]), make, BASE)
    statements, notes = claims(few)
    assert len(statements) == 3
    assert sum(MIXTURE in note for note in notes) == 1
    assert sum("lacks k_opt=8" in note for note in notes) == 2
    assert MIXTURE not in claim(few, "ends below that of the warm start").statement


# Tables and figures


def test_table(data: StudyData) -> None:
    table = along_table(data)
    assert [row[0] for row in table.rows] == ["warm start", *METHODS]
    row = next(row for row in table.rows if row[0] == "k_opt=8")
    assert row[1:3] == ("30.1 ± 0.1", "-19.9 ± 0.1")
    assert row[4:7] == ("0.50 ± 0.00", "1.50 ± 0.00", "1.00 ± 0.00")
    assert row[7:] == ("50.0 ± 0.0", "25.0 ± 0.0")
    assert table.rows[0][1:6] == ("50.0 ± 0.0", "-", "20.0 ± 0.0", "2.00 ± 0.00", "2.00 ± 0.00")


def test_every_run_has_a_row(data: StudyData) -> None:
    rows = runs_table(data).rows
    assert len(rows) == 3 * (1 + len(METHODS))
    assert ("k_opt=8", "1", "0.30100", "0.39800") in [row[:4] for row in rows]


def test_drawn_lines_are_means_over_seeds(data: StudyData) -> None:
    panels = along_figure([data, data]).axes
    assert len(panels) == 8
    line = panels[0].get_lines()[METHODS.index("k_opt=8")]
    assert np.asarray(line.get_ydata())[1:-1] == pytest.approx(0.301 * FALLING[1:-1])
    left, right = phase_figure([data]).axes
    # A path, a ring and a dot for each method.
    assert len(left.get_lines()) == len(right.get_lines()) == 3 * len(METHODS)
    path = left.get_lines()[3 * METHODS.index("k_opt=8")]
    x, y = np.asarray(path.get_xdata()), np.asarray(path.get_ydata())
    assert y[10] == pytest.approx(0.301 * FALLING[8:13].mean())
    assert x[10] == pytest.approx((FALLING[8:13] ** 2).mean())
    assert left.xaxis_inverted()


def test_everything_is_made(data: StudyData) -> None:
    few = study_data(replace(study(*PAPER_METHODS[:1], seeds=(0,)), name="few"), make, BASE)
    result = collapse.make(Context(quick=True, runs=Path()), data, few)
    json.dumps(result.settings)
    assert len(result.claims) == 6 + 1
    assert [table.name for table in result.tables] == [
        "along-made-up",
        "runs-made-up",
        "along-few",
        "runs-few",
    ]
    assert sum("few lacks" in note for note in result.notes) == 5
