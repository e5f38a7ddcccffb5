"""What validation chooses, and what is kept of a study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pkpo.errors import RunDirectoryError
from pkpo.report.records import Run
from pkpo.train.config import ArmSettings
from reproduction.studies.data import BIN, WARM_START, load_data
from reproduction.studies.run import choices, over_seeds, reported_config, validation_scores
from reproduction.studies.settings import Method
from reproduction.tests.made_up_studies import (
    STEPS,
    Made,
    flat,
    made_record,
    made_study,
    study,
    tuned,
)

ONE, EIGHT = Method("k_opt=1", "mean", "loo"), Method("k_opt=8", "max@8")
RATES = (1e-4, 1e-3)
MADE_UP = study(ONE, EIGHT, rates=RATES)

# Validation pass@k of the two candidates of k_opt=1: the second is better at 16 alone, by less
# than it is worse elsewhere.
LOW = flat(0.5)
HIGH = {**flat(0.4), 16: 0.6}


def by_rate(arm: ArmSettings, seed: int) -> Made:
    """Test results that would choose otherwise, and seeds that differ."""
    low = arm.learning_rate == RATES[0]
    shift = 0.01 * (seed - 7)
    validation = {k: value + shift for k, value in (LOW if low else HIGH).items()}
    return Made(test=flat(0.1 if low else 0.9), validation=validation)


def chosen(of=MADE_UP, make=by_rate):
    return choices(of, validation_scores(of, tuned(of, make)))


def test_the_best_on_validation_over_all_k_is_chosen() -> None:
    assert chosen()["k_opt=1"] == "k_opt=1 lr=0.0001"


def test_scores_are_means_over_the_tuning_seeds() -> None:
    """Seeds 7 and 8 differ by 0.01."""
    scores = validation_scores(MADE_UP, tuned(MADE_UP, by_rate))
    found = over_seeds(scores["k_opt=1 lr=0.001"])
    assert found == pytest.approx({**flat(0.405), 16: 0.605})


def test_a_seed_alone_does_not_choose() -> None:
    def one_lucky_seed(arm: ArmSettings, seed: int) -> Made:
        low = arm.learning_rate == RATES[0]
        return Made(flat((0.5 if low else 0.9) if seed == 7 else (0.5 if low else 0.0)))

    assert chosen(make=one_lucky_seed)["k_opt=8"].endswith("lr=0.0001")


def without(tuning: Run, **changes: object) -> Run:
    """The tuning runs with the first run of the second arm changed."""
    arm = tuning.arms[1]
    changed = replace(arm.runs[0], **changes)
    arms = (tuning.arms[0], replace(arm, runs=(changed, *arm.runs[1:])), *tuning.arms[2:])
    return replace(tuning, arms=arms)


def test_what_is_missing_is_named() -> None:
    tuning = tuned(MADE_UP, by_rate)
    second = tuning.arms[1]
    with pytest.raises(RunDirectoryError, match=r"'k_opt=1 lr=0.001' has not been trained"):
        validation_scores(MADE_UP, replace(tuning, arms=(tuning.arms[0], *tuning.arms[2:])))
    lacking = replace(second, runs=second.runs[:1])
    fewer = (tuning.arms[0], lacking, *tuning.arms[2:])
    with pytest.raises(RunDirectoryError, match=r"k_opt=1 lr=0.001 lacks a seed of \(7, 8\)"):
        validation_scores(MADE_UP, replace(tuning, arms=fewer))
    for changes in ({"evaluation": None}, {"checkpoints": second.runs[0].checkpoints[:1]}):
        with pytest.raises(RunDirectoryError, match=r"k_opt=1 lr=0.001, seed 7, is not finished"):
            validation_scores(MADE_UP, without(tuning, **changes))


def test_what_was_chosen_is_trained_with_the_reported_seeds() -> None:
    config = reported_config(MADE_UP, chosen())
    assert [arm.name for arm in config.arms] == ["k_opt=1 lr=0.0001", "k_opt=8 lr=0.0001"]
    assert config.seeds == MADE_UP.seeds


def by_seed(arm: ArmSettings, seed: int) -> Made:
    low = arm.learning_rate == RATES[0]
    steps = np.arange(STEPS, dtype=float)
    columns = {"pass@1": steps, "cumulative_solve_rate": steps / STEPS, "entropy": 2.0}
    test = flat((0.2 if low else 0.7) + seed / 100)
    return Made(test, LOW if low else HIGH, columns)


def test_numbers_are_of_the_chosen_arm_by_seed() -> None:
    data = made_study(MADE_UP, by_seed, base=flat(0.25))
    assert data.end("k_opt=8", "pass@16").values == pytest.approx((0.2, 0.21, 0.22))
    assert data.end(WARM_START, "pass@4").values == (0.25, 0.25, 0.25)
    assert data.end("k_opt=8", "pass@16").setting == "lr 0.0001"
    measures = data.measures(["k_opt=8", "TZSM25"])
    assert measures["programs k_opt=8 pass@16"].value == pytest.approx(0.21)
    assert measures["programs k_opt=8 solved"].value == pytest.approx(0.99)
    assert not any("TZSM25" in name for name in measures)


def test_hard_problems_are_those_of_the_warm_start() -> None:
    """The first of two is below one in 16, with chance 0.01 * pass@1."""
    data = made_study(MADE_UP, by_seed, base=flat(0.25))
    expected = [1 - (1 - 0.01 * p) ** 16 for p in (0.2, 0.21, 0.22)]
    assert data.end("k_opt=1", "hard pass@16").values == pytest.approx(expected, rel=1e-5)


def test_curves_are_means_over_rows_of_steps_and_the_solve_rate_at_their_end() -> None:
    arm = made_study(MADE_UP, by_seed).chosen("k_opt=1")
    assert arm.steps.tolist() == list(range(BIN, STEPS + 1, BIN))
    assert arm.curves["pass@1"].shape == (3, STEPS // BIN)
    assert arm.curves["pass@1"][0, :2].tolist() == [2.0, 7.0]
    assert arm.curves["cumulative_solve_rate"][0, :2].tolist() == pytest.approx([0.04, 0.09])
    steps, by_k = arm.validation
    assert steps.tolist() == [STEPS // 2, STEPS]
    assert by_k[16].tolist() == [[0.2, 0.5]] * 3


def test_data_is_read_as_written_and_damage_is_named(tmp_path: Path) -> None:
    record, curves = made_record(MADE_UP, by_seed)
    with pytest.raises(RunDirectoryError, match=r"programs\.json: the study's data can't be read"):
        load_data(tmp_path, "programs")
    (tmp_path / "programs.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "programs.csv").write_text(curves, encoding="utf-8")
    data = load_data(tmp_path, "programs")
    assert data.methods == ("k_opt=1", "k_opt=8")
    (tmp_path / "programs.csv").write_text(curves.splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="can't be read"):
        load_data(tmp_path, "programs")
    for text in ("{}", "{"):
        (tmp_path / "programs.json").write_text(text, encoding="utf-8")
        with pytest.raises(RunDirectoryError, match="can't be read"):
            load_data(tmp_path, "programs")
