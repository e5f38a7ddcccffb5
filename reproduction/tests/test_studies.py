"""The studies' settings: seeds apart, candidates told apart, every job valid and storable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkpo.errors import InvalidInputError
from pkpo.plans.plan import plan
from pkpo.train.config import TrainConfig
from reproduction.studies.settings import K_VALUES, PAPER_METHODS, STUDIES, Method, Study

ALL = [pytest.param(study, id=name) for name, study in STUDIES.items()]
BOTH = [
    *ALL,
    *(pytest.param(study.quick(), id=f"{name}, quick") for name, study in STUDIES.items()),
]
RATES = (1e-4, 1e-3)


@pytest.mark.parametrize("study", BOTH)
def test_no_seed_both_chooses_and_is_reported(study: Study) -> None:
    assert study.seeds
    assert study.tuning_seeds
    assert not set(study.seeds) & set(study.tuning_seeds)
    # Results by seed are in increasing order of the seeds.
    assert list(study.seeds) == sorted(set(study.seeds))


@pytest.mark.parametrize("seeds", [(0, 1, 100), (100,)])
def test_a_seed_in_both_is_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="study programs: a seed both chooses"):
        replace(STUDIES["programs"], seeds=seeds)


@pytest.mark.parametrize("study", BOTH)
def test_jobs_are_valid_and_read_back_as_they_were(study: Study) -> None:
    """A run directory is continued only if its stored settings equal the study's."""
    tuning = study.tuning()
    reported = study.config(tuning.arms[:1], study.seeds)
    for config in (tuning, reported):
        assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert tuning.seeds == study.tuning_seeds
    assert reported.seeds == study.seeds
    assert tuning.training.steps == study.steps
    assert tuning.evaluation.k_values == K_VALUES


@pytest.mark.parametrize("study", BOTH)
def test_every_candidate_of_every_method_is_in_the_tuning_job(study: Study) -> None:
    arms = {arm.name: arm for arm in study.tuning().arms}
    wanted = 0
    for method in study.methods:
        candidates = study.candidates()[method.label]
        assert all(arms[arm.name] == arm for arm in candidates)
        wanted += len(candidates)
        settings = {(arm.entropy_coef, arm.learning_rate) for arm in candidates}
        assert settings == {
            (coef, rate) for coef in method.entropy_coefs for rate in study.learning_rates
        }
    assert len(arms) == wanted


def test_the_papers_methods_have_the_papers_baselines() -> None:
    by_label = {method.label: method for method in PAPER_METHODS}
    assert {label for label, method in by_label.items() if method.baseline == "loo"} == {
        "k_opt=1",
        "EntropyReg",
    }
    assert by_label["TZSM25"].schedule == "max@16"
    assert not any(method.beyond for method in PAPER_METHODS)


def test_candidates_of_a_method() -> None:
    (low, high) = Method("8→1", "switch(max@8, HALF, mean)").arms(10, RATES)
    assert (low.name, high.name) == ("8→1 lr=0.0001", "8→1 lr=0.001")
    assert (low.learning_rate, high.learning_rate) == RATES
    assert low.schedule == str(plan("switch(max@8, 5, mean)"))
    assert low.baseline == "loo_minus_one"


def test_a_schedule_may_end_with_training() -> None:
    (arm, _) = Method("many steps", "linear_k(8, 1, 0, LAST)").arms(10, RATES)
    assert arm.schedule == str(plan("linear_k(8, 1, 0, 10)"))


def test_entropy_coefficients_are_candidates_with_names_of_their_own() -> None:
    arms = list(Method("Entropy", "mean", "loo", (0.5, 0.25)).arms(10, RATES))
    assert [arm.entropy_coef for arm in arms] == [0.5, 0.5, 0.25, 0.25]
    assert [arm.name for arm in arms][::2] == ["Entropy 0.5 lr=0.0001", "Entropy 0.25 lr=0.0001"]


@pytest.mark.parametrize("study", ALL)
def test_quick_is_the_same_problem_set_with_less_of_everything(study: Study) -> None:
    quick = study.quick()
    assert (quick.name, quick.task, quick.options) == (study.name, study.task, study.options)
    assert quick.steps < study.steps
    assert quick.warm_start.get("steps", 0) < study.warm_start.get("steps", 1)
    assert set(quick.seeds) < set(study.seeds)
    assert set(quick.tuning_seeds) <= set(study.tuning_seeds)
    assert len(quick.tuning().arms) < len(study.tuning().arms)
    labels = {method.label: method for method in study.methods}
    for method in quick.methods:
        assert set(method.entropy_coefs) <= set(labels[method.label].entropy_coefs)
        assert method.entropy_coefs
