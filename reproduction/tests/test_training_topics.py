"""The topics about training, on made-up studies, and what claims find there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reproduction import arc, beyond, collapse, figure3, figure6, smollm2, tables
from reproduction.claims import load_claims
from reproduction.ledger import judge_all
from reproduction.results import Result
from reproduction.rules import Judged, Verdict
from reproduction.studies.data import StudyData, load_data
from reproduction.studies.drawing import first_mean, last_mean, smoothed, window_of
from reproduction.tests.made_up_studies import write_studies
from reproduction.topics import TOPICS, Context

TOPICS_OF_TRAINING = tuple(topic for topic in TOPICS if topic.studies)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduction")
    write_studies(folder / "studies")
    return folder


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Result]:
    context = Context(quick=False, studies=out / "studies")
    return {topic.name: topic.make(context) for topic in TOPICS_OF_TRAINING}


@pytest.fixture(scope="module")
def ledger(results: dict[str, Result]) -> dict[str, Judged]:
    claims = [claim for claim in load_claims() if claim.kind == "training"]
    measures = {name: result.measures for name, result in results.items()}
    return {judged.claim.id: judged for judged in judge_all(claims, measures)}


@pytest.fixture(scope="module")
def programs(out: Path) -> StudyData:
    return load_data(out / "studies", "programs")


def test_every_claim_about_training_finds_its_measures(ledger: dict[str, Judged]):
    assert {name: judged.missing for name, judged in ledger.items() if judged.missing} == {}
    assert ledger["faster"].verdict is Verdict.OPEN
    assert sum(judged.verdict is not Verdict.OPEN for judged in ledger.values()) > 30


def test_studies_in_which_k_opt_k_is_best_give_that_verdict(ledger: dict[str, Judged]):
    assert ledger["diagonal"].tally[1] == 0
    assert ledger["improves"].verdict is Verdict.HOLDS
    assert ledger["unsuitable-objective"].verdict is Verdict.NO
    assert ledger["deficit-grows"].tally[1] == 0
    assert ledger["over-the-warm-start"].verdict is Verdict.HOLDS
    assert ledger["n-of-n-trades"].verdict is Verdict.HOLDS


def test_figures_have_every_study(results: dict[str, Result]):
    drawn = {name: [drawing.name for drawing in one.drawings] for name, one in results.items()}
    assert drawn["tables"] == [
        f"{name}-{figure}" for name in tables.STUDIES for figure in ("gains", "beside_paper")
    ]
    assert drawn["figure3"] == ["figure3"]
    assert drawn["figure6"] == ["figure6", "by_learning_rate"]
    assert drawn["figure7"] == ["figure7"]
    assert drawn["arc"] == ["puzzles", "figure8", "solve_rate"]
    assert drawn["collapse"] == ["along", "phase"]
    assert drawn["smollm2"] == list(smollm2.STUDIES)
    assert drawn["beyond"] == ["over_best", "baselines"]


def test_quick_studies_have_fewer_methods_and_every_topic_is_made_of_them(tmp_path: Path):
    write_studies(tmp_path, quick=True)
    made = {topic.name: topic.make(Context(True, tmp_path)) for topic in TOPICS_OF_TRAINING}
    assert all(result.drawings for result in made.values())
    assert not any("k_opt=2" in name for name in made["tables"].measures)


def test_what_training_for_pass_at_1_lacks(programs: StudyData):
    measures = tables.study_measures(programs)
    own, plain = programs.end("k_opt=4", "pass@4"), programs.end("k_opt=1", "pass@4")
    over = measures["programs over k_opt=1 at pass@4"]
    assert over.values == pytest.approx(np.subtract(own.values, plain.values))
    better = max(plain.value, programs.end("TZSM25", "pass@4").value)
    both = measures["programs over k_opt=1 and n at pass@4"]
    assert both.value == pytest.approx(own.value - better)
    eight = programs.end("k_opt=8", "pass@16").value
    assert measures["programs over k_opt=1 at pass@16"].value == pytest.approx(
        eight - programs.end("k_opt=1", "pass@16").value
    )


def test_the_worst_entropy_coefficient_by_tuning_seed(programs: StudyData):
    found = tables.coefficients(programs)
    assert set(found) == {0.001, 0.005, 0.01, 0.05, 0.1}
    loses = tables.tuning_measures(programs)["programs worst entropy coefficient loses"]
    assert len(loses.values) == 2


def test_the_paper_s_tables_are_read():
    found = tables.printed("MATH")
    assert [title.split(":")[0] for title in found] == ["Table 1", "Table 2", "Table 7"]
    assert found["Table 1: GEMMA2-9B"]["k_opt=2"] == [21.46, 28.61, 32.92, 39.59, 45.34]
    assert len(tables.printed("Coding")) == 3


def test_a_slope_that_changes_at_the_switch():
    rows = np.arange(20.0)
    series = np.stack([np.where(rows < 10, 10.0, 10.0 + 5 * (rows - 9)), 5 * rows])
    assert figure3.slope_change(series, 10) == pytest.approx([1.0, 0.0])


def test_epochs_end_where_rows_lie_on_both_sides():
    assert figure6.epoch_ends(187.5, 300) == (187.5,)
    assert figure6.epoch_ends(50.0, 150) == (50.0, 100.0)
    assert figure6.epoch_ends(8.0, 20) == (16.0,)[:0]


def test_the_fall_of_the_slope_at_an_epoch(programs: StudyData):
    arm = programs.chosen("k_opt=1")
    steps = arm.steps.astype(float)
    kinked = np.where(steps <= 50, 0.02 * steps, 1.0 + 0.005 * (steps - 50))
    curves = {**arm.curves, "cumulative_solve_rate": np.stack([kinked] * len(arm.seeds))}
    bent = type(arm)(arm.settings, arm.seeds, arm.ends, arm.steps, curves, arm.validation)
    assert figure6._fall(bent, 50.0) == pytest.approx([0.015] * 5)


def test_correlation_follows_the_gap_and_is_nan_for_constant_curves(programs: StudyData):
    arm = programs.chosen("k_opt=1")
    falls = np.tile(np.linspace(5.0, 1.0, len(arm.steps)), (len(arm.seeds), 1))
    curves = {**arm.curves, "entropy": falls, "pass@16": 0.1 * falls, "pass@1": 0 * falls}
    together = type(arm)(arm.settings, arm.seeds, arm.ends, arm.steps, curves, arm.validation)
    assert collapse.correlations(together) == pytest.approx([1.0] * 5)
    still = type(arm)(
        arm.settings,
        arm.seeds,
        arm.ends,
        arm.steps,
        {**curves, "entropy": 0 * falls + 1},
        arm.validation,
    )
    assert np.isnan(collapse.correlations(still)).all()


def test_the_paper_s_best_setting_is_chosen_on_validation(programs: StudyData):
    assert beyond.paper_best(programs, 8) == "k_opt=8"
    own = programs.end("MaxRL", "pass@8")
    gap = beyond.over_best(programs, "MaxRL")[8]
    assert gap.value == pytest.approx(own.value - programs.end("k_opt=8", "pass@8").value)


def test_arc_without_samplers_has_no_measures_of_them(out: Path, tmp_path: Path):
    folder = tmp_path / "studies"
    shutil.copytree(out / "studies", folder)
    path = folder / "arc.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["controls"]
    path.write_text(json.dumps(record), encoding="utf-8")
    made = arc.make(Context(quick=False, studies=folder))
    assert not any("sampler" in name for name in made.measures)
    assert "arc k_opt=8 share of the last quarter" in made.measures


def test_averages_over_rows():
    series = np.arange(6.0)[None]
    assert smoothed(series, 15).tolist() == [[0.5, 1.0, 2.0, 3.0, 4.0, 4.5]]
    assert last_mean(series, 0.5).tolist() == [4.0]
    assert first_mean(series).tolist() == [0.0]
    assert (window_of(300), window_of(20)) == (15, 5)
