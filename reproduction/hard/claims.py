"""What the paper says about its hard set, judged on ours.

Cumulative solve rates are of the candidate that validation chose over all k; held-out pass@k is
of the candidate that it chose for this k alone, where the study reports those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from reproduction.comparing import (
    ABOVE_RULE,
    all_above,
    difference,
    is_above,
    mean_and_error,
)
from reproduction.hard.numbers import (
    CONTROL_NAMES,
    QUARTER,
    STALLED,
    Lead,
    control_curves,
    lead,
    share_of_rise,
    solve_curve,
    solved,
    training_pass_at_k,
)
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.studies.questions import Question, answers
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import ENTROPY, OPTIMISED, TZSM25

ONE, FOUR, EIGHT = (OPTIMISED[k] for k in (1, 4, 8))

_TABLES = "Tables 5-6, Sec. 5.2.4"
_FIGURE = "Fig. 8, Sec. 5.2.4"
_MEASURES = (None, 1, 16)
"""The columns of Tables 5 and 6: the cumulative solve rate, pass@1 and pass@16."""


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    questions = list(_QUESTIONS)
    if data.study.controls:
        questions += [_over_controls(method) for method in (ONE, EIGHT)]
    return answers(data, questions)


def _stalls(data: StudyData) -> list[Claim]:
    shares = {
        method: share_of_rise(solve_curve(data, method), QUARTER)
        for method in (ONE, FOUR, EIGHT)
        if method in data.choices
    }
    mine = shares[ONE]
    stalled, seeds = int((mine < STALLED).sum()), len(mine)
    texts = (
        f"{mean_and_error(found)} % of what {method} ever solved"
        for method, found in shares.items()
    )
    return [
        Claim(
            PKPO,
            _FIGURE,
            "Conventional pass@1 optimisation stalls.",
            f"holds: with k_opt = 1 the last quarter of the steps brings less than "
            f"{100 * STALLED:g} % of the cumulative solve rate at the end, in every seed; in part: "
            "in more than half of the seeds; does not hold otherwise",
            f"In {stalled} of {seeds} seeds. The last quarter brings {', '.join(texts)}.",
            Verdict.HOLDS
            if stalled == seeds
            else Verdict.IN_PART
            if 2 * stalled > seeds
            else Verdict.NO,
        )
    ]


def _unblocks(data: StudyData) -> list[Claim]:
    made = []
    for k in _MEASURES:
        leads = [lead(data, method, ONE, k) for method in (FOUR, EIGHT)]
        measure = leads[0].measure
        made.append(
            Claim(
                PKPO,
                _TABLES,
                f"Training for pass@k unblocks learning: higher {measure} than with pass@1.",
                f"k_opt = 4 and k_opt = 8, each minus k_opt = 1. {ABOVE_RULE}",
                f"Points: {leads[0].gap.text()} with {FOUR}, {leads[1].gap.text()} with {EIGHT}; "
                f"{ONE} has {_level(data, ONE, k)} %.",
                all_above([one.gap for one in leads]),
            )
        )
    return made


def _every_k(data: StudyData) -> list[Claim]:
    gaps = {
        (method, k): difference(
            training_pass_at_k(data, method, k), training_pass_at_k(data, ONE, k)
        )
        for method in (FOUR, EIGHT)
        for k in K_VALUES
    }
    return [
        Claim(
            PKPO,
            _FIGURE,
            "Training for pass@k gives higher rolling pass@k_eval at every k_eval, 1 included.",
            "pass@k_eval of the training batches, mean over the last tenth of the steps: k_opt = 4 "
            f"and k_opt = 8, each minus k_opt = 1, at each k_eval. {ABOVE_RULE}",
            "; ".join(
                f"{method}: "
                + ", ".join(f"{gaps[method, k].text()} at {k}" for k in K_VALUES)
                + " points"
                for method in (FOUR, EIGHT)
            )
            + ".",
            all_above(list(gaps.values())),
        )
    ]


def _higher_k(data: StudyData) -> list[Claim]:
    half = (data.study.steps - 1) // 2
    halfway = [solve_curve(data, method)[:, half] for method in (EIGHT, FOUR)]
    at_end = lead(data, EIGHT, FOUR, None).gap
    at_half = difference(*halfway)
    said = "Cumulative solve rate {when}, k_opt = 8 minus k_opt = 4. "
    return [
        Claim(
            PKPO,
            _FIGURE,
            "Higher k_opt leads to more effective learning: k_opt = 8 solves more than 4.",
            said.format(when="after the last step") + ABOVE_RULE,
            f"{at_end.text()} points.",
            is_above(at_end),
        ),
        Claim(
            PKPO,
            _FIGURE,
            "Higher k_opt leads to faster learning: k_opt = 8 is ahead of 4 on the way.",
            said.format(when="after half of the steps") + ABOVE_RULE,
            f"{at_half.text()} points.",
            is_above(at_half),
        ),
    ]


class _Rival(NamedTuple):
    method: str
    statement: str


_RIVALS = (
    _Rival(TZSM25, "Training for k = n = 16 (TZSM25) falls far behind k_opt = 8."),
    _Rival(ENTROPY, "An entropy bonus is significantly outperformed by k_opt = 8."),
)


def _behind(rival: _Rival) -> Callable[[StudyData], list[Claim]]:
    def judge(data: StudyData) -> list[Claim]:
        leads = [lead(data, EIGHT, rival.method, k) for k in _MEASURES]
        return [
            Claim(
                PKPO,
                _TABLES,
                rival.statement,
                f"k_opt = 8 minus {rival.method}: cumulative solve rate, test pass@1 and test "
                f"pass@16. {ABOVE_RULE}",
                f"Points: {_listed(leads)}.",
                all_above([one.gap for one in leads]),
            )
        ]

    return judge


def _entropy_trade(data: StudyData) -> list[Claim]:
    lost, gained = lead(data, ONE, ENTROPY, 1), lead(data, ENTROPY, ONE, 16)
    return [
        Claim(
            PKPO,
            _TABLES,
            "An entropy bonus sacrifices pass@1 and slightly improves pass@16.",
            "k_opt = 1 minus EntropyReg at test pass@1, and EntropyReg minus k_opt = 1 at test "
            f"pass@16. {ABOVE_RULE}",
            f"Points: {lost.gap.text()} lost at pass@1, {gained.gap.text()} gained at pass@16.",
            all_above([lost.gap, gained.gap]),
        )
    ]


_SAMPLERS = {
    CONTROL_NAMES["frozen"]: "sampling from the frozen warm start as often",
    CONTROL_NAMES["uniform"]: "a sampler that draws programs uniformly, as often",
}


def _over_controls(method: str) -> Question:
    def judge(data: StudyData) -> list[Claim]:
        mine, made = solved(data, method), []
        for name, curve in control_curves(data).items():
            gap = difference(mine, curve[:, -1])
            made.append(
                Claim(
                    "here",
                    _FIGURE,
                    f"Training with {method} finds more than {_SAMPLERS[name]}.",
                    f"Cumulative solve rate after the last step, {method} minus the sampler. "
                    f"{ABOVE_RULE}",
                    f"{gap.text()} points: {mean_and_error(mine)} % against "
                    f"{mean_and_error(curve[:, -1])} %.",
                    is_above(gap),
                )
            )
        return made

    return Question(f"{method} against samplers that don't learn", (method,), judge)


def _level(data: StudyData, method: str, k: int | None) -> str:
    values = solved(data, method) if k is None else data.scores(method, k, for_k=True)
    return mean_and_error(values)


def _listed(leads: Sequence[Lead]) -> str:
    return ", ".join(f"{one.gap.text()} of {one.measure}" for one in leads)


_QUESTIONS = (
    Question("whether k_opt = 1 stalls", (ONE,), _stalls),
    Question("whether training for pass@k unblocks learning", (ONE, FOUR, EIGHT), _unblocks),
    Question("rolling pass@k at every k", (ONE, FOUR, EIGHT), _every_k),
    Question("k_opt = 8 against 4", (FOUR, EIGHT), _higher_k),
    *(Question(f"{r.method} against k_opt = 8", (EIGHT, r.method), _behind(r)) for r in _RIVALS),
    Question("what an entropy bonus trades", (ONE, ENTROPY), _entropy_trade),
)
