"""The entropy bonus: how it fares in Tables 1-4, 7 and 8, and whether it is hard to tune."""

from __future__ import annotations

import numpy as np

from pkpo.train.methods import ENTROPY_COEFFICIENTS
from reproduction.comparing import ABOVE_RULE, all_above, is_above
from reproduction.old_results import PKPO, Claim, Table, Verdict
from reproduction.studies.questions import Question
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import ENTROPY, OPTIMISED, gap_for_k, settings_of

_TABLES = "Tables 1-4, 7, 8"
_ONE, _EIGHT = OPTIMISED[1], OPTIMISED[8]

HARD_TO_TUNE = 0.01
"""How far below k_opt = 1 a coefficient counts as a bad one, in pass@k."""


def coefficient_scores(data: StudyData) -> dict[float, tuple[float, float]]:
    """By entropy coefficient, validation pass@1 and mean pass@k over k of the learning rate
    with the highest mean."""
    found: dict[float, tuple[float, float]] = {}
    for arm, scores in data.choices[ENTROPY].scores.items():
        coef = settings_of(data, arm).entropy_coef
        mean = float(np.mean(list(scores.values())))
        if coef not in found or mean > found[coef][1]:
            found[coef] = (scores[1], mean)
    return found


def plain_scores(data: StudyData) -> tuple[float, float]:
    """The same of the candidate of k_opt = 1 that was chosen over all k."""
    choice = data.choices[_ONE]
    scores = choice.scores[choice.overall]
    return scores[1], float(np.mean(list(scores.values())))


def has_every_coefficient(data: StudyData) -> bool:
    """Whether the study tried all that the paper did."""
    return set(coefficient_scores(data)) == set(ENTROPY_COEFFICIENTS)


def coefficients_table(data: StudyData) -> Table:
    """Each entropy coefficient at its best learning rate, on validation problems."""
    scores = {f"coefficient {coef:g}": pair for coef, pair in coefficient_scores(data).items()}
    if OPTIMISED[1] in data.choices:
        scores = {f"none ({OPTIMISED[1]})": plain_scores(data), **scores}
    return Table(
        name="entropy_coefficients",
        title=f"{data.study.title}: the entropy bonus by coefficient",
        headers=("", "pass@1", "mean of pass@k"),
        rows=tuple(
            (name, f"{100 * first:.1f}", f"{100 * mean:.1f}")
            for name, (first, mean) in scores.items()
        ),
        notes=(
            "Validation problems, per cent, mean over the tuning seeds; each at the learning rate "
            "with the highest mean of pass@k over all k.",
        ),
    )


def _entropy_below(data: StudyData) -> list[Claim]:
    gaps = {k: gap_for_k(data, _EIGHT, ENTROPY, k) for k in (8, 16)}
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.4, {_TABLES}",
            "An entropy bonus is outperformed by k_opt = 8 at k_eval = 8 and 16.",
            f"k_opt = 8 minus EntropyReg at both. {ABOVE_RULE}",
            "Points: " + ", ".join(f"{g.text()} at {k}" for k, g in gaps.items()) + ".",
            all_above(list(gaps.values())),
        )
    ]


def _entropy_pass_at_1(data: StudyData) -> list[Claim]:
    gap = gap_for_k(data, _ONE, ENTROPY, 1)
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.4, {_TABLES}",
            "An entropy bonus sacrifices pass@1.",
            f"k_opt = 1 minus EntropyReg at k_eval = 1. {ABOVE_RULE}",
            f"{gap.text()} points.",
            is_above(gap),
        )
    ]


def _entropy_tuning(data: StudyData) -> list[Claim]:
    found = coefficient_scores(data)
    if not has_every_coefficient(data):
        return []
    _, plain = plain_scores(data)
    bad = [coef for coef, (_, mean) in found.items() if plain - mean > HARD_TO_TUNE]
    first, means = zip(*found.values())
    return [
        Claim(
            PKPO,
            "Sec. 5.2.4",
            "An entropy bonus is hard to tune.",
            "On validation problems, each coefficient at its best learning rate: at least two of "
            f"the five are more than {100 * HARD_TO_TUNE:g} point below the chosen candidate of "
            "k_opt = 1 in the mean of pass@k over all k. Does not hold otherwise",
            f"{len(bad)} of five are ({', '.join(f'{coef:g}' for coef in bad) or 'none'}); over "
            f"the coefficients the mean over k goes from {100 * min(means):.1f} to "
            f"{100 * max(means):.1f} per cent and pass@1 from {100 * min(first):.1f} to "
            f"{100 * max(first):.1f}; the mean of k_opt = 1 is {100 * plain:.1f}.",
            Verdict.HOLDS if len(bad) >= 2 else Verdict.NO,
        )
    ]


ENTROPY_QUESTIONS = (
    Question("EntropyReg against k_opt = 8", (_EIGHT, ENTROPY), _entropy_below),
    Question("EntropyReg's pass@1", (_ONE, ENTROPY), _entropy_pass_at_1),
    Question("whether EntropyReg is hard to tune", (_ONE, ENTROPY), _entropy_tuning),
)
