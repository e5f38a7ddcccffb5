"""What the papers don't have: who it is compared with, Holm's procedure, and the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pkpo.train.config import ArmSettings
from reproduction.beyond import topic as beyond
from reproduction.beyond.claims import claims
from reproduction.beyond.drawings import gaps_figure
from reproduction.beyond.numbers import (
    beyond_methods,
    centred_gaps,
    counted,
    gaps,
    holm,
    paper_best,
)
from reproduction.beyond.topic import chosen_table, gaps_table
from reproduction.comparing import Difference, difference
from reproduction.old_results import Verdict
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import BEYOND_METHODS, K_VALUES, PAPER_METHODS
from reproduction.tests.made_up_studies import Made, flat, study, study_data

OURS = tuple(method.label for method in BEYOND_METHODS)
RATES = (1e-4, 1e-3)
NOISE = (-0.002, 0.0, 0.002)
"""By seed, of methods' test results."""

# Validation pass@k at the higher rate; at the lower one it is 0.05 less at every k but 16.
VALIDATION = {
    "k_opt=1": {**flat(0.3), 1: 0.5},
    "k_opt=2": {**flat(0.4), 2: 0.5},
    "k_opt=4": {**flat(0.4), 4: 0.5},
    "k_opt=8": {**flat(0.4), 8: 0.5, 12: 0.5, 16: 0.5},
    "8→1": flat(0.35),
    "TZSM25": flat(0.9),
    "EntropyReg": flat(0.9),
}
TEST = {
    "k_opt=1": 0.3,
    "k_opt=2": 0.32,
    "k_opt=4": 0.34,
    "k_opt=8": 0.36,
    "8→1": 0.9,
    "k=4, centred loo": 0.33,
    "k=8, centred loo": 0.35,
    "½ max@8 + ½ mean": 0.4,
    "MaxRL": 0.2,
    "8→1 in many steps": 0.36,
}


def method_of(arm: ArmSettings) -> str:
    return arm.name.rsplit(" lr=", 1)[0].split(" 0.")[0]


def make(arm: ArmSettings, seed: int) -> Made:
    """Test results at the lower rate are 0.1 higher; noise differs for the papers' methods."""
    method, low = method_of(arm), arm.learning_rate == RATES[0]
    validation = VALIDATION.get(method, flat(0.2))
    if low:
        validation = {k: value + (0.01 if k == 16 else -0.05) for k, value in validation.items()}
    own = 0.1 * NOISE[seed % 7 % 3] if method in VALIDATION else -NOISE[seed % 7 % 3]
    level = TEST.get(method, 0.5) + (0.1 if low else 0.0) + own
    return Made(test=flat(level), validation=validation)


EVERY = study(*PAPER_METHODS, *BEYOND_METHODS, rates=RATES)


@pytest.fixture(scope="module")
def data() -> StudyData:
    return study_data(EVERY, make)


# Numbers


def test_the_papers_best_setting_is_the_best_on_validation(data: StudyData) -> None:
    """8→1, TZSM25 and EntropyReg are better on test problems or not the paper's setting."""
    best = {k: paper_best(data, k) for k in K_VALUES}
    assert [best[k].method for k in K_VALUES] == [
        "k_opt=1",
        "k_opt=2",
        "k_opt=4",
        "k_opt=8",
        "k_opt=8",
        "k_opt=8",
    ]
    assert {k for k, b in best.items() if b.arm.endswith("lr=0.0001")} == {16}
    assert best[16].validation == pytest.approx(0.51)
    assert best[12].validation == pytest.approx(0.5)


def test_differences_are_of_candidates_chosen_for_the_same_k(data: StudyData) -> None:
    found = gaps(data, "MaxRL")
    expected = {1: -0.1, 2: -0.12, 4: -0.14, 8: -0.16, 12: -0.16, 16: -0.16}
    assert {k: gap.mean for k, gap in found.items()} == pytest.approx(expected)
    error = 1.1 * 0.002 / np.sqrt(3)
    assert found[1].standard_error == pytest.approx(error)
    assert found[1].half_width == pytest.approx(error * stats.t.ppf(0.975, 2))


def test_the_two_baselines_with_one_k(data: StudyData) -> None:
    assert [gap.mean for gap in centred_gaps(data, 4).values()] == pytest.approx([-0.01] * 6)
    assert [gap.mean for gap in centred_gaps(data, 8).values()] == pytest.approx([-0.01] * 6)


def test_methods_beyond_the_papers(data: StudyData) -> None:
    assert beyond_methods(data) == OURS


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_holms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, seeds = 12, 5
    samples = rng.normal(rng.choice([0.0, 2.0], (count, 1)), 1.0, (count, seeds))
    p = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    adjusted = np.empty(count)
    order = np.argsort(p)
    adjusted[order] = np.maximum.accumulate((count - np.arange(count)) * p[order])
    found = holm([difference(row, 0.0) for row in samples], seeds)
    assert found == tuple((adjusted < 0.05).tolist())


def test_some_are_kept_and_some_dropped_by_holm() -> None:
    """With 4 degrees of freedom the points of t for 2.5 % / 3, / 2 and / 1 are 3.96, 3.50, 2.78."""
    sizes = (4.0, 3.0, 3.6)
    found = [Difference(size, 1.0, stats.t.ppf(0.975, 4)) for size in sizes]
    assert holm(found, 5) == (True, True, True)
    assert holm([*found[:2], Difference(-3.3, 1.0, 2.78)], 5) == (True, False, False)
    assert all(gap.above for gap in found)


def test_holm_without_errors() -> None:
    same, agreed = Difference(0.0, 0.0, 0.0), Difference(-0.1, 0.0, 0.0)
    assert holm([same, agreed], 3) == (False, True)
    assert holm([difference([0.5], 0.0)], 1) == (False,)


def test_counts(data: StudyData) -> None:
    """The mixture is above and MaxRL below everywhere. The rest is beyond the interval where
    means differ by 0.01 or more; the half-width is 0.0055."""
    expected = {
        "k=4, centred loo": (0.03, 0.01, -0.01, -0.03, -0.03, -0.03),
        "k=8, centred loo": (0.05, 0.03, 0.01, -0.01, -0.01, -0.01),
        "½ max@8 + ½ mean": (0.1, 0.08, 0.06, 0.04, 0.04, 0.04),
        "MaxRL": (-0.1, -0.12, -0.14, -0.16, -0.16, -0.16),
        "8→1 in many steps": (0.06, 0.04, 0.02, 0.0, 0.0, 0.0),
    }
    for method, means in expected.items():
        assert [gap.mean for gap in gaps(data, method).values()] == pytest.approx(means, abs=1e-12)
    found = counted(data, OURS)
    assert (found.total, found.above, found.below) == (30, 14, 13)
    assert found.by_chance == pytest.approx(1.5)
    t = np.array([abs(m) for means in expected.values() for m in means]) / (
        1.1 * 0.002 / np.sqrt(3)
    )
    p = np.sort(2 * stats.t.sf(t, 2))
    kept = np.maximum.accumulate((30 - np.arange(30)) * p) < 0.05
    assert found.above_holm + found.below_holm == kept.sum()
    assert 0 < kept.sum() < 27


# Verdicts


def test_verdicts(data: StudyData) -> None:
    made, notes = claims(data)
    assert notes == ()
    verdicts = [claim.verdict for claim in made]
    beats = [Verdict.IN_PART, Verdict.IN_PART, Verdict.HOLDS, Verdict.NO, Verdict.IN_PART]
    assert verdicts == [*beats, *[Verdict.NO] * 4]
    assert [claim.statement.split(" beats")[0] for claim in made[:5]] == list(OURS)
    assert [claim.statement.rsplit("= ")[-1] for claim in made[5:]] == ["4.", "16.", "8.", "16."]
    assert made[5].found == "-1.0 ± 0.1 points."


def test_a_better_centred_baseline_is_found(data: StudyData) -> None:
    def better(arm: ArmSettings, seed: int) -> Made:
        one = make(arm, seed)
        if "centred" not in arm.name:
            return one
        return replace(one, test={k: value + 0.05 for k, value in one.test.items()})

    made, _ = claims(study_data(EVERY, better))
    assert [claim.verdict for claim in made[5:]] == [Verdict.HOLDS] * 4


def test_claims_without_their_methods_are_left_out() -> None:
    few = study_data(study(*PAPER_METHODS[2:4], *BEYOND_METHODS[1:4], rates=RATES), make)
    made, notes = claims(few)
    assert len(made) == 3 + 2
    assert notes == ("Left out, as made-up lacks k=4, centred loo: the baselines with k = 4.",)
    assert "k_opt=4, k_opt=8 with the highest" in made[0].rule
    none = study_data(study(*PAPER_METHODS[4:5], *BEYOND_METHODS[2:4], rates=RATES), make)
    made, notes = claims(none)
    assert made == ()
    assert notes[0] == "made-up has none of the paper's settings to compare with."
    result = beyond.make(Context(quick=True, runs=Path()), none)
    assert result.drawings == ()


# Tables and figures


def test_table(data: StudyData) -> None:
    table = gaps_table(data, OURS)
    assert table.rows[0][1:] == tuple(paper_best(data, k).method for k in K_VALUES)
    assert table.rows[1][1] == "30.0 ± 0.0"
    assert table.rows[1][6] == "46.0 ± 0.0"
    assert table.rows[5][0] == "MaxRL"
    assert table.rows[5][6] == "-16.0 ± 0.1"
    open_cells = {(2 + OURS.index("8→1 in many steps"), j) for j in (4, 5, 6)}
    assert table.bold == {(i, j) for i in range(2, 7) for j in range(1, 7)} - open_cells
    chosen = chosen_table(data, OURS)
    assert chosen.rows[0][6] == "k_opt=8, lr 0.0001: 51.0"
    assert chosen.rows[1][1] == "lr 0.001: 20.0"


def test_drawn_intervals(data: StudyData) -> None:
    panels = gaps_figure(data, OURS).axes
    axes = panels[OURS.index("½ max@8 + ½ mean")]
    zero, means, *_ = axes.get_lines()
    assert np.asarray(means.get_ydata())[0] == pytest.approx(0.1)
    assert np.asarray(zero.get_ydata()).tolist() == [0.0, 0.0]
    bars = [bar.get_segments()[0] for bar in axes.collections]
    half = gaps(data, "½ max@8 + ½ mean")[1].half_width
    assert bars[0][:, 1].tolist() == pytest.approx([0.1 - half, 0.1 + half])
    assert len(bars) == len(K_VALUES)


def test_everything_is_made(data: StudyData) -> None:
    result = beyond.make(Context(quick=True, runs=Path()), data)
    json.dumps(result.settings)
    assert [drawing.name for drawing in result.drawings] == ["over_best", "baselines"]
    assert len({table.name for table in result.tables}) == len(result.tables) == 6
    (note,) = [note for note in result.notes if "expected" in note]
    assert "5 methods at 6 values of k are 30 comparisons, of which 1.5 would be" in note
    assert "Found: 14 above and 13 below" in note


def test_one_seed_gives_no_verdict_for_it() -> None:
    one = replace(study(*PAPER_METHODS[2:4], *BEYOND_METHODS[1:3], rates=RATES), seeds=(0,))
    result = beyond.make(Context(quick=True, runs=Path()), study_data(one, make))
    assert {claim.verdict for claim in result.claims} <= {Verdict.OPEN, Verdict.NO}
    assert result.tables[0].bold == frozenset()
