"""What validation chooses, and a study that is run, continued and read."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.report.records import Arm, ArmRun, Run
from pkpo.train.config import ArmSettings
from reproduction.studies.controls import read_control
from reproduction.studies.runs import (
    choose,
    is_done,
    load_study,
    reported_config,
    run_study,
)
from reproduction.studies.settings import K_VALUES, Method, Study
from reproduction.tests.made_up_studies import Made, flat, study, study_data, tuned
from train.tiny import OPTIONS

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
    return Made(test=flat(0.1 if low else 0.9), validation=validation, earlier={5: flat(1 - low)})


def test_the_best_on_validation_is_chosen_over_all_k_and_for_each() -> None:
    choice = choose(MADE_UP, tuned(MADE_UP, by_rate))["k_opt=1"]
    assert choice.overall == "k_opt=1 lr=0.0001"
    assert {k for k, name in choice.by_k.items() if name == "k_opt=1 lr=0.001"} == {16}
    assert set(choice.by_k) == set(K_VALUES)
    assert choice.names == ("k_opt=1 lr=0.0001", "k_opt=1 lr=0.001")


def test_a_study_may_report_one_candidate_a_method() -> None:
    one = replace(MADE_UP, each_k=False)
    choice = choose(one, tuned(one, by_rate))["k_opt=1"]
    assert choice.names == ("k_opt=1 lr=0.0001",)
    assert choice.by_k == dict.fromkeys(K_VALUES, "k_opt=1 lr=0.0001")
    assert choice.scores["k_opt=1 lr=0.001"][16] > choice.scores["k_opt=1 lr=0.0001"][16]


def test_scores_are_means_over_the_tuning_seeds() -> None:
    """Seeds 7 and 8 differ by 0.01."""
    choice = choose(MADE_UP, tuned(MADE_UP, by_rate))["k_opt=1"]
    assert choice.scores["k_opt=1 lr=0.001"] == pytest.approx({**flat(0.405), 16: 0.605})


def test_a_seed_alone_does_not_choose() -> None:
    def one_lucky_seed(arm: ArmSettings, seed: int) -> Made:
        low = arm.learning_rate == RATES[0]
        return Made(flat((0.5 if low else 0.9) if seed == 7 else (0.5 if low else 0.0)))

    assert choose(MADE_UP, tuned(MADE_UP, one_lucky_seed))["k_opt=8"].overall.endswith("lr=0.0001")


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
        choose(MADE_UP, replace(tuning, arms=(tuning.arms[0], *tuning.arms[2:])))
    lacking = replace(second, runs=second.runs[:1])
    with pytest.raises(RunDirectoryError, match=r"k_opt=1 lr=0.001 lacks a seed of \(7, 8\)"):
        choose(MADE_UP, replace(tuning, arms=(tuning.arms[0], lacking, *tuning.arms[2:])))
    for changes in ({"evaluation": None}, {"checkpoints": second.runs[0].checkpoints[:1]}):
        with pytest.raises(RunDirectoryError, match=r"k_opt=1 lr=0.001, seed 7, is not finished"):
            choose(MADE_UP, without(tuning, **changes))


def test_what_was_chosen_for_anything_is_trained_with_the_reported_seeds() -> None:
    config = reported_config(MADE_UP, choose(MADE_UP, tuned(MADE_UP, by_rate)))
    assert [arm.name for arm in config.arms] == [arm.name for arm in MADE_UP.tuning().arms]
    assert config.seeds == MADE_UP.seeds
    same = choose(MADE_UP, tuned(MADE_UP, lambda arm, seed: Made(flat(0.5))))
    config = reported_config(MADE_UP, same)
    assert [arm.name for arm in config.arms] == ["k_opt=1 lr=0.0001", "k_opt=8 lr=0.0001"]


def test_scores_are_of_the_chosen_arm_by_seed() -> None:
    def by_seed(arm: ArmSettings, seed: int) -> Made:
        low = arm.learning_rate == RATES[0]
        return Made(flat((0.2 if low else 0.7) + seed / 100), LOW if low else HIGH)

    data = study_data(MADE_UP, by_seed, base=flat(0.25))
    assert data.scores("k_opt=8", 16).tolist() == pytest.approx([0.2, 0.21, 0.22])
    assert data.scores("k_opt=8", 16, for_k=True).tolist() == pytest.approx([0.7, 0.71, 0.72])
    assert data.scores("k_opt=8", 8, for_k=True).tolist() == pytest.approx([0.2, 0.21, 0.22])
    assert data.base(4).tolist() == [0.25] * 3


# A real one


TINY = Study(
    name="tiny",
    title="Tiny",
    stands_for="nothing",
    task="grid-programs",
    options=OPTIONS,
    warm_start={"steps": 30, "batch_size": 32, "learning_rate": 0.01},
    training={"steps": 4, "prompts_per_step": 4},
    methods=(Method("8→1", "switch(max@8, HALF, mean)"),),
    num_samples=16,
    learning_rates=(1e-4, 1e-2),
    tuning_seeds=(5,),
    seeds=(0, 1),
    hidden=16,
)


def go_on(folder: Path, of: Study = TINY) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_study(of, folder, workers=1, console=console, command="python -m reproduction tiny")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKPO_CACHE", str(folder / "cache"))
        go_on(folder / "tiny")
    return folder / "tiny"


@pytest.fixture
def copied(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PKPO_CACHE", str(done.parent / "cache"))
    shutil.copytree(done, tmp_path / "tiny")
    return tmp_path / "tiny"


def trained(folder: Path) -> dict[str, int]:
    """What training left, with the times of writing."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for pattern in ("*/arms/**/*", "*/warm_start/**/*")
        for path in folder.glob(pattern)
        if path.is_file() and path.name != "lock"
    }


def finished(arm: Arm) -> list[ArmRun]:
    assert all(len(found.metrics) == TINY.steps for found in arm.runs)
    return list(arm.finished)


def test_a_study_that_has_run(done: Path) -> None:
    assert is_done(TINY, done)
    data = load_study(TINY, done)
    assert [arm.name for arm in data.tuning.arms] == [arm.name for arm in TINY.tuning().arms]
    assert all([found.seed for found in finished(arm)] == [5] for arm in data.tuning.arms)
    assert all([found.seed for found in finished(arm)] == [0, 1] for arm in data.reported.arms)
    assert {arm.name for arm in data.reported.arms} == {
        name for choice in data.choices.values() for name in choice.names
    }
    assert data.scores("8→1", 16).shape == data.base(16).shape == (2,)
    assert np.isfinite(data.scores("8→1", 16, for_k=True)).all()


def test_the_same_call_again_trains_nothing(copied: Path) -> None:
    before = trained(copied)
    go_on(copied)
    assert trained(copied) == before
    assert len(before) > 20


def test_what_is_left_is_trained_and_comes_out_the_same(copied: Path, done: Path) -> None:
    lost = next((copied / "reported" / "arms").glob("8*")) / "seed_1"
    shutil.rmtree(lost)
    assert not is_done(TINY, copied)
    before = trained(copied)
    go_on(copied)
    after = trained(copied)
    assert before.items() <= after.items()
    same = lost.relative_to(copied) / "evaluation.json"
    assert (copied / same).read_bytes() == (done / same).read_bytes()
    assert is_done(TINY, copied)


def test_samplers_that_do_not_learn_belong_to_a_study_that_has_them(copied: Path) -> None:
    with_them = replace(TINY, controls=True)
    with pytest.raises(RunDirectoryError, match="a sampler that doesn't learn is not finished"):
        load_study(with_them, copied)
    before = trained(copied)
    assert "4 samplers that don't learn" in go_on(copied, with_them)
    assert trained(copied) == before
    assert is_done(with_them, copied)
    assert read_control(copied / "reported", "uniform", 1).shape == (TINY.steps,)


def test_a_reported_arm_that_is_not_finished_is_named(copied: Path) -> None:
    lost = next((copied / "reported" / "arms").glob("8*")) / "seed_1" / "evaluation.json"
    lost.unlink()
    with pytest.raises(RunDirectoryError, match=r"reported: 8→1 lr=\S+ is not finished"):
        load_study(TINY, copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 5, "prompts_per_step": 4}},
        {"learning_rates": (1e-4,)},
        {"tuning_seeds": (6,)},
    ],
)
def test_other_settings_are_refused_before_anything_runs(
    copied: Path, changes: dict[str, object]
) -> None:
    before = trained(copied)
    with pytest.raises(InvalidInputError, match="tuning holds a run with other settings"):
        go_on(copied, replace(TINY, **changes))
    assert trained(copied) == before


def test_other_reported_seeds_are_refused(copied: Path) -> None:
    with pytest.raises(InvalidInputError, match="reported holds a run with other settings"):
        go_on(copied, replace(TINY, seeds=(0, 2)))
