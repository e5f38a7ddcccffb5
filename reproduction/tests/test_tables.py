"""The tables of a study and what is claimed about them, on studies with made-up results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings
from reproduction.old_results import Claim, Table, Verdict
from reproduction.old_topics import Context
from reproduction.paper.values import paper_tables
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES, NO_BASELINE, PAPER_METHODS
from reproduction.studies.tables import (
    by_k_table,
    candidates_table,
    max_at_k_tables,
    one_policy_table,
    paper_methods,
    seeds_table,
)
from reproduction.tables.claims import claims
from reproduction.tables.drawings import gains_figure
from reproduction.tables.entropy import coefficient_scores, coefficients_table
from reproduction.tables.paper import beside_table, gains_table, tables_of
from reproduction.tables.topic import make
from reproduction.tests.made_up_methods import METHODS, SEEDS, by_method, data_of, method_of
from reproduction.tests.made_up_studies import Made, evaluation, flat


def claim_on(data: StudyData, words: str) -> Claim:
    made, _ = claims(data)
    [found] = [claim for claim in made if words in claim.statement]
    return found


def column(table: Table, header: str) -> dict[str, str]:
    place = table.headers.index(header)
    return {row[0]: row[place] for row in table.rows}


ROWS = ["k_opt=1", "k_opt=2", "k_opt=4", "k_opt=8"]


def diagonal_scores(ahead: float) -> dict[str, dict[int, float]]:
    """0.3 everywhere, and `ahead` more where k_opt = k_eval."""
    return {
        row: {k: 0.3 + (ahead if row == f"k_opt={k}" else 0.0) for k in K_VALUES} for row in ROWS
    }


def test_the_diagonal_holds_where_it_is_best_in_all_four_columns():
    found = claim_on(data_of(ROWS, by_method(diagonal_scores(0.02))), "k_opt = k_eval")
    assert found.verdict is Verdict.HOLDS
    assert "k_eval=4: k_opt=4 is best; k_opt=4 - k_opt=1 = +2.0 ± 0.0 points" in found.found


def test_the_diagonal_holds_in_part_where_another_row_leads_within_the_error():
    scores = diagonal_scores(0.02)
    scores["k_opt=2"][4] = 0.33
    noisy = by_method(
        scores, lambda name, seed: 0.04 * (-1) ** seed if name.startswith("k_opt=2") else 0.0
    )
    found = claim_on(data_of(ROWS, noisy), "k_opt = k_eval")
    assert found.verdict is Verdict.IN_PART
    assert "k_eval=4: k_opt=2 is best" in found.found


def test_the_diagonal_fails_where_another_row_leads_beyond_the_error():
    scores = diagonal_scores(0.02)
    scores["k_opt=2"][4] = 0.33
    assert claim_on(data_of(ROWS, by_method(scores)), "k_opt = k_eval").verdict is Verdict.NO


@pytest.mark.parametrize(
    ("deficits", "verdict"),
    [
        ((0.01, 0.02, 0.03, 0.04, 0.05), Verdict.HOLDS),
        ((0.01, 0.05, 0.03, 0.04, 0.05), Verdict.IN_PART),
        ((0.05, 0.04, 0.03, 0.02, 0.01), Verdict.NO),
        ((-0.05, -0.04, -0.03, -0.02, -0.01), Verdict.IN_PART),
    ],
)
def test_the_deficit_is_judged_against_the_row_meant_for_k(deficits, verdict):
    scores = {row: flat(0.3) for row in ROWS}
    for k, deficit in zip(K_VALUES[1:], deficits):
        scores[f"k_opt={min(k, 8)}"][k] += deficit
    data = data_of(ROWS, by_method(scores))
    found = claim_on(data, "grows with k_eval")
    assert found.verdict is verdict
    assert f"{100 * deficits[3]:+.1f} ± 0.0 at 12" in found.found


def test_claims_are_judged_with_the_candidate_chosen_for_the_k():
    """The rate that is good at 16 is bad at 1, and the other way round."""

    def made(arm: ArmSettings, seed: int) -> Made:
        falls = arm.learning_rate == 1e-3
        at_k = {k: 0.4 - 0.02 * k if falls else 0.05 + 0.02 * k for k in K_VALUES}
        if method_of(arm) == "TZSM25":
            at_k = {k: v - 0.01 for k, v in at_k.items()}
        return Made(test=at_k)

    labels = ["k_opt=8", "TZSM25"]
    data = data_of(labels, made, rates=(1e-3, 1e-4))
    best = by_k_table(data, labels, "b", "")
    one = one_policy_table(data, labels, "a", "")
    assert column(best, "k_eval=1")["k_opt=8"] == "38.0 ± 0.0"
    assert column(best, "k_eval=16")["k_opt=8"] == "37.0 ± 0.0"
    assert column(one, "k_eval=1")["k_opt=8"] == "38.0 ± 0.0"
    assert column(one, "k_eval=16")["k_opt=8"] == "8.0 ± 0.0"
    assert column(one, "chosen")["k_opt=8"] == "lr 0.001"
    assert best.bold == {(1, j) for j in range(1, 7)}
    assert claim_on(data, "struggles to optimise pass@16").found == "+1.0 ± 0.0 points."
    chosen = candidates_table(data, labels, "c", "")
    assert chosen.rows[1][:3] == ("k_opt=8", "lr 0.0001", "7.0")
    assert {(0, 2), (1, 7), (0, 8)} <= chosen.bold
    assert not {(1, 2), (0, 7), (1, 8)} & chosen.bold


def test_a_study_of_one_policy_a_method_is_judged_by_it():
    """Two rates, of which the one that is best at 16 is not chosen over all k."""

    def made(arm: ArmSettings, seed: int) -> Made:
        first = arm.learning_rate == 1e-3
        lead = 0.01 * (method_of(arm) == "k_opt=8")
        return Made(test={**flat(0.4 if first else 0.1), 16: 0.2 + lead if first else 0.5})

    labels = ["k_opt=1", "k_opt=8", "TZSM25"]
    data = data_of(labels, made, rates=(1e-3, 1e-4), each_k=False)
    assert claim_on(data, "struggles to optimise pass@16").found == "+1.0 ± 0.0 points."
    assert "below the warm start at pass@16 (one policy" in claim_on(data, "below the").statement
    chosen = candidates_table(data, labels, "c", "")
    assert chosen.bold == {(0, 8), (2, 8), (4, 8)}
    assert {row[-1] for row in seeds_table(data, labels, "d", "").rows} == {"", "all k"}
    result = make(Context(False, Path()), data)
    assert "by_k" not in [table.name for table in result.tables]
    said = " ".join([*result.notes, *(d.caption for d in result.drawings)])
    assert "chosen over all k" in said
    assert "chosen for its k" not in said
    names = [row[0] for row in gains_table(data, tables_of("programs")).rows]
    assert "k_opt=8, here, one policy" in names
    assert "k_opt=8, here, chosen for k" not in names


@pytest.mark.parametrize(("lead", "verdict"), [(0.01, Verdict.HOLDS), (-0.01, Verdict.NO)])
def test_training_for_n_is_compared_with_8(lead, verdict):
    scores = {"k_opt=8": flat(0.3 + lead), "TZSM25": flat(0.3)}
    data = data_of(["k_opt=8", "TZSM25"], by_method(scores))
    assert claim_on(data, "struggles to optimise pass@16").verdict is verdict
    assert claim_on(data, "lower pass@1 than k_opt = 8").verdict is verdict


def test_gains_of_8_over_4_are_compared_with_that_at_8():
    four, eight = flat(0.3), {**flat(0.3), 8: 0.32, 12: 0.33, 16: 0.31}
    data = data_of(["k_opt=4", "k_opt=8"], by_method({"k_opt=4": four, "k_opt=8": eight}))
    found = claim_on(data, "gains more over k_opt = 4")
    assert "+2.0 ± 0.0 at 8, +3.0 ± 0.0 at 12, +1.0 ± 0.0 at 16" in found.found
    assert "more than at 8: +1.0 ± 0.0 at 12, -1.0 ± 0.0 at 16" in found.found
    assert found.verdict is Verdict.IN_PART


def test_gains_over_the_warm_start_are_of_pass_at_k_opt():
    scores = {"k_opt=1": flat(0.3), "k_opt=8": {**flat(0.05), 8: 0.4}}
    shared = by_method(scores, lambda _, seed: -0.01 * (seed % 7))
    data = data_of(["k_opt=1", "k_opt=8"], shared)
    found = claim_on(data, "robustly improves")
    assert found.verdict is Verdict.HOLDS
    assert found.found == "Points: +20.0 ± 0.0 with k_opt=1, +30.0 ± 0.0 with k_opt=8."


def test_below_the_warm_start_at_16():
    def sharp(arm: ArmSettings, seed: int) -> Made:
        return Made(test={**flat(0.2), 16: 0.09 if arm.learning_rate == 1e-3 else 0.14, 1: 0.5})

    data = data_of(["k_opt=1"], sharp, rates=(1e-3, 1e-4))
    verdicts = {
        "one policy": claim_on(data, "one policy").verdict,
        "own": claim_on(data, "the candidate chosen for pass@16").verdict,
    }
    assert data.choices["k_opt=1"].overall == "k_opt=1 lr=0.0001"
    assert verdicts == {"one policy": Verdict.NO, "own": Verdict.NO}

    def sharper(arm: ArmSettings, seed: int) -> Made:
        rate = arm.learning_rate
        return Made(test={**flat(0.5 if rate == 1e-3 else 0.2), 16: 0.09 if rate == 1e-3 else 0.14})

    data = data_of(["k_opt=1"], sharper, rates=(1e-3, 1e-4))
    assert data.choices["k_opt=1"].overall == "k_opt=1 lr=0.001"
    assert claim_on(data, "one policy").verdict is Verdict.HOLDS
    assert claim_on(data, "the candidate chosen for pass@16").verdict is Verdict.NO


def entropy_study(by_coef: Mapping[float, float]) -> StudyData:
    """k_opt = 1 at 0.30; each coefficient at its score with one rate, far below with another."""

    def made(arm: ArmSettings, seed: int) -> Made:
        if method_of(arm) == "k_opt=1":
            return Made(test=flat(0.30))
        good = arm.learning_rate == 1e-3
        return Made(test=flat(by_coef[arm.entropy_coef] if good else 0.01))

    return data_of(["k_opt=1", "EntropyReg"], made, rates=(1e-3, 1e-4))


@pytest.mark.parametrize(
    ("scores", "count", "verdict"),
    [
        ((0.31, 0.30, 0.295, 0.288, 0.28), 2, Verdict.HOLDS),
        ((0.31, 0.30, 0.295, 0.292, 0.28), 1, Verdict.NO),
    ],
)
def test_hard_to_tune_counts_coefficients_at_their_best_learning_rate(scores, count, verdict):
    data = entropy_study(dict(zip((0.001, 0.005, 0.01, 0.05, 0.1), scores)))
    found = claim_on(data, "hard to tune")
    assert found.verdict is verdict
    assert found.found.startswith(f"{count} of five are")
    assert coefficient_scores(data)[0.01] == (0.295, pytest.approx(0.295))
    table = coefficients_table(data)
    assert table.rows[0] == ("none (k_opt=1)", "30.0", "30.0")
    assert table.rows[-1] == ("coefficient 0.1", "28.0", "28.0")


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.09, Verdict.HOLDS),
        (0.2, Verdict.IN_PART),
        (0.3, Verdict.NO),
    ],
)
def test_divergence_without_a_baseline(score, verdict):
    still = {"k_opt=1": flat(0.3), NO_BASELINE.label: flat(score)}
    maker = by_method(still, lambda _, seed: -0.01 * (seed % 7))
    data = data_of(["k_opt=1", NO_BASELINE.label], maker)
    assert claim_on(data, "baseline").verdict is verdict


def test_divergence_asks_for_every_seed():
    scores = {"k_opt=1": flat(0.3), NO_BASELINE.label: flat(0.095)}
    data = data_of(["k_opt=1", NO_BASELINE.label], by_method(scores))
    found = claim_on(data, "baseline")
    assert found.found.startswith("Below the warm start in 1 of 5 seeds")
    assert found.verdict is Verdict.IN_PART


def test_what_a_study_lacks_is_named():
    data = data_of(["k_opt=1", "k_opt=8"], by_method({m: flat(0.3) for m in METHODS}))
    made, notes = claims(data)
    assert not [claim for claim in made if "k_opt = k_eval" in claim.statement]
    assert "Left out, as programs lacks k_opt=2, k_opt=4: whether the diagonal is best." in notes
    assert not any("baseline" in note for note in notes)


def test_every_reported_run_is_listed():
    scores = {"k_opt=1": {k: 0.1 + 0.01 * k for k in K_VALUES}}
    table = seeds_table(data_of(["k_opt=1"], by_method(scores)), ["k_opt=1"], "d", "")
    assert [row[0] for row in table.rows] == ["warm start"] * 5 + ["k_opt=1"] * 5
    last = dict(zip(table.headers, table.rows[-1]))
    assert (last["seed"], last["learning rate"]) == ("4", "0.001")
    assert last["pass@12"] == f"{0.1 + 0.12 + 0.04:.5f}"
    assert last["chosen for"].startswith("all k, k=1")


def test_the_papers_numbers_stand_beside_ours():
    scores = {"k_opt=1": flat(0.3), "k_opt=2": flat(0.31)}
    data = data_of(["k_opt=1", "k_opt=2"], by_method(scores))
    table = beside_table(data, paper_tables()[0])
    assert column(table, "paper, k_eval=2")["k_opt=2"] == "28.61 ± 0.56"
    assert column(table, "here, k_eval=2")["k_opt=2"] == "33.0 ± 0.7"
    gains = gains_table(data, tables_of("programs"))
    found = column(gains, "k_eval=2")
    assert found["k_opt=2, Table 1"] == f"{28.61 - 25.35:+.1f}"
    assert found["k_opt=2, here, one policy"] == "+1.0 ± 0.0"


def test_each_study_has_the_tables_of_its_benchmark():
    assert [paper.number for paper in tables_of("programs")] == [1, 2, 7]
    assert [paper.number for paper in tables_of("countdown")] == [1, 2, 7]
    assert [paper.number for paper in tables_of("programs-parts")] == [3, 4, 8]
    with pytest.raises(InvalidInputError, match="programs-parts"):
        tables_of("made-up")


def test_max_at_k_is_shown_where_it_was_measured():
    data = data_of(["k_opt=1"], by_method({"k_opt=1": flat(0.3)}))
    assert max_at_k_tables(data, ["k_opt=1"], "m", "") == ()
    at = {k: 0.5 + 0.01 * k for k in K_VALUES}

    def measured(run):
        return replace(run, evaluation=replace(run.evaluation, max_at_k=at))

    arms = tuple(replace(arm, runs=tuple(map(measured, arm.runs))) for arm in data.reported.arms)
    base = {s: replace(evaluation(flat(0.1), 0), max_at_k=flat(0.4)) for s in SEEDS}
    parts = replace(data, reported=replace(data.reported, arms=arms, base=base))
    [table] = max_at_k_tables(parts, ["k_opt=1"], "m", "")
    assert column(table, "k_eval=16") == {"warm start": "40.0 ± 0.0", "k_opt=1": "66.0 ± 0.0"}


def heights(line) -> np.ndarray:
    return np.asarray(line.get_ydata(), dtype=float)


def test_the_figure_draws_paired_differences():
    scores = {"k_opt=1": flat(0.3), "k_opt=8": {k: 0.3 + 0.005 * k for k in K_VALUES}}
    data = data_of(["k_opt=1", "k_opt=8"], by_method(scores))
    left, right = gains_figure(data, ["k_opt=1", "k_opt=8"]).axes
    lines = [line for line in right.lines if len(heights(line)) == len(K_VALUES)]
    np.testing.assert_allclose(heights(lines[0]), np.zeros(6), atol=1e-12)
    np.testing.assert_allclose(heights(lines[1]), [0.005 * k for k in K_VALUES])
    first = next(line for line in left.lines if len(heights(line)) == len(K_VALUES))
    np.testing.assert_allclose(heights(first), np.full(6, 0.22))


def test_make_gives_everything_for_a_whole_study():
    labels = [*(m.label for m in PAPER_METHODS), NO_BASELINE.label, "MaxRL"]
    data = data_of(labels, by_method({label: flat(0.3) for label in labels}))
    result = make(Context(False, Path()), data)
    json.dumps(result.settings)
    names = [table.name for table in result.tables]
    assert len(set(names)) == len(names)
    assert paper_methods(data) == tuple(labels[:7])
    assert [row[0] for row in result.tables[0].rows] == ["warm start", *labels[:8]]
    assert len(result.claims) == 12
    assert len(result.drawings) == 2
