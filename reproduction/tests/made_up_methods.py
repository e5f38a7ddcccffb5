"""Studies of the papers' methods whose results are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pkpo.train.config import ArmSettings
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import BEYOND_METHODS, NO_BASELINE, PAPER_METHODS
from reproduction.tests.made_up_studies import Made, Maker, flat, study, study_data

SEEDS = (0, 1, 2, 3, 4)
"""The reported ones."""
METHODS = {method.label: method for method in (*PAPER_METHODS, NO_BASELINE, *BEYOND_METHODS)}

Scores = Mapping[str, Mapping[int, float]]


def method_of(arm: ArmSettings) -> str:
    """The label of the method whose candidate an arm is."""
    return max((label for label in METHODS if arm.name.startswith(label)), key=len)


def by_method(scores: Scores, wobble: Callable[[str, int], float] = lambda *_: 0.0) -> Maker:
    """Every candidate of a method with its scores, all seeds shifted, some by more."""

    def made(arm: ArmSettings, seed: int) -> Made:
        shift = 0.01 * (seed % 7)
        at_k = {k: v + shift + wobble(arm.name, seed) for k, v in scores[method_of(arm)].items()}
        return Made(test=at_k)

    return made


def data_of(labels: list[str], maker: Maker, *, each_k: bool = True, **settings) -> StudyData:
    built = study(*(METHODS[label] for label in labels), seeds=SEEDS, **settings)
    return study_data(replace(built, name="programs", each_k=each_k), maker, base=flat(0.1))
