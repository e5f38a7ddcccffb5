"""What the critique says of exploration along a run, judged on one study.

The paper's text is not at hand, only its abstract; statements are as the abstract has them.
"""

from __future__ import annotations

from collections.abc import Callable

from reproduction.collapse.numbers import (
    BEGINNING,
    MIXTURE,
    SKIPPED,
    K,
    along,
    base_gap,
    correlations,
    end_gap,
    first_mean,
)
from reproduction.comparing import ABOVE_RULE, all_above, difference, is_above
from reproduction.old_results import CRITIQUE, Claim, Verdict
from reproduction.studies.curves import metric
from reproduction.studies.questions import Question, answers
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import ANNEALED, OPTIMISED

ONE, EIGHT = OPTIMISED[1], OPTIMISED[8]

CORRELATED = 0.5
"""A rank correlation above this one counts as going together."""

ROUNDING = 1e-12
"""Shares of groups that differ by less are equal."""

_PLACE = "abstract, exploration collapse"


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    return answers(data, _QUESTIONS)


def _shrinks(method: str, statement: str) -> Callable[[StudyData], list[Claim]]:
    def judge(data: StudyData) -> list[Claim]:
        change = difference(end_gap(data, method), base_gap(data))
        together = float(correlations(data.chosen(method)).mean())
        count = int(change.below) + int(together > CORRELATED)
        return [
            Claim(
                CRITIQUE,
                _PLACE,
                f"{data.study.title}: {statement}",
                f"holds: with {method} the gap pass@{K} - pass@1 on test problems is smaller "
                "after training than before, beyond the 95 % interval of the paired difference "
                "over seeds, and over the training steps, without the first "
                f"{100 * SKIPPED:g} %, entropy and gap have a rank correlation above "
                f"{CORRELATED:g} in the mean over seeds; in part: one of both; does not hold: "
                "neither",
                f"The gap changes by {change.text()} points; rank correlation {together:+.2f}.",
                (Verdict.NO, Verdict.IN_PART, Verdict.HOLDS)[count],
            )
        ]

    return judge


def _still_shrinks(data: StudyData) -> list[Claim]:
    methods = [method for method in (ANNEALED, MIXTURE) if method in data.choices]
    before = base_gap(data)
    lost = [difference(before, end_gap(data, method)) for method in methods]
    changes = [difference(end_gap(data, method), before) for method in methods]
    said = " and ".join(methods)
    return [
        Claim(
            "here",
            _PLACE,
            f"{data.study.title}: with {said} too the gap ends below that of the warm start.",
            f"The gap pass@{K} - pass@1 of the warm start minus that after training, on test "
            f"problems, for each. {ABOVE_RULE}",
            "The gap changes by "
            + " and by ".join(
                f"{found.text()} points with {m}" for found, m in zip(changes, methods)
            )
            + ".",
            all_above(lost),
        )
    ]


def _annealing(data: StudyData) -> list[Claim]:
    more = difference(end_gap(data, ANNEALED), end_gap(data, ONE))
    return [
        Claim(
            "here",
            _PLACE,
            f"{data.study.title}: annealing (8→1) keeps more of the gap than k_opt = 1.",
            f"The gap pass@{K} - pass@1 after training, on test problems, 8→1 minus k_opt = 1. "
            f"{ABOVE_RULE}",
            f"{more.text()} points.",
            is_above(more),
        )
    ]


def _mixing(data: StudyData) -> list[Claim]:
    more = difference(end_gap(data, MIXTURE), end_gap(data, ONE))
    first = difference(data.scores(MIXTURE, 1), data.scores(ONE, 1))
    verdict = is_above(more)
    if verdict is Verdict.HOLDS and first.below:
        verdict = Verdict.IN_PART
    return [
        Claim(
            "here",
            _PLACE,
            f"{data.study.title}: the mixture {MIXTURE} keeps more of the gap than k_opt = 1 at "
            "no less pass@1.",
            f"holds: its gap pass@{K} - pass@1 after training, on test problems, is above that of "
            "k_opt = 1 beyond the 95 % interval of the paired difference over seeds, and its "
            "pass@1 is not below beyond its interval; in part: the gap alone; does not hold: the "
            "gap is below beyond its interval, or not above in the mean",
            f"Gap {more.text()} points, pass@1 {first.text()} points.",
            verdict,
        )
    ]


def _signal(data: StudyData) -> list[Claim]:
    shares = {
        method: first_mean(metric(data.chosen(method), "signal_fraction"))
        for method in (ONE, EIGHT)
    }
    more = difference(shares[EIGHT], shares[ONE])
    last = {method: float(along(data, method).signal_last.mean()) for method in shares}
    return [
        Claim(
            CRITIQUE,
            "abstract, vanishing learning signal",
            f"{data.study.title}: training for pass@k has a learning signal on no more prompts "
            "than training for pass@1.",
            "holds: the share of training groups with an advantage that is not zero is, in the "
            f"mean over seeds and the first {100 * BEGINNING:g} % of the steps, before the "
            "policies differ much, at most as large with k_opt = 8 as with k_opt = 1; does not "
            "hold otherwise",
            f"{100 * shares[EIGHT].mean():.1f} % with {EIGHT} against "
            f"{100 * shares[ONE].mean():.1f} % with {ONE}, {more.text()} points; in the last "
            f"tenth of the steps {100 * last[EIGHT]:.1f} % against {100 * last[ONE]:.1f} %.",
            Verdict.HOLDS if more.mean < ROUNDING else Verdict.NO,
        )
    ]


_QUESTIONS = (
    Question(
        "whether the gap shrinks with k_opt = 1",
        (ONE,),
        _shrinks(ONE, "as the policy concentrates, the gap pass@k - pass@1 shrinks (k_opt = 1)."),
    ),
    Question(
        "whether the gap shrinks with k_opt = 8",
        (EIGHT,),
        _shrinks(EIGHT, "so it does when pass@k itself is trained for (k_opt = 8)."),
    ),
    Question("the gap with annealing", (ONE, ANNEALED), _annealing),
    Question("the gap with a mixture", (ONE, MIXTURE), _mixing),
    Question("whether annealing or mixing keep the gap", (ANNEALED,), _still_shrinks),
    Question("prompts with a signal", (ONE, EIGHT), _signal),
)
