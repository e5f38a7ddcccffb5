"""What the paper says about Tables 1-4, 7 and 8, judged on one study.

Where nothing else is said a method's score at k is that of the candidate that validation chose
for this k alone, so that no method is measured at a learning rate that suits another k. Studies
that report one policy a method are judged by it.
"""

from __future__ import annotations

import itertools

from reproduction.comparing import ABOVE_RULE, all_above, difference, is_above
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.studies.questions import Question, answers
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES, NO_BASELINE
from reproduction.studies.tables import ENTROPY, OPTIMISED, TZSM25, chosen_for, gap_for_k
from reproduction.tables.entropy import ENTROPY_QUESTIONS, has_every_coefficient

_TABLES = "Tables 1-4, 7, 8"
_ONE, _FOUR, _EIGHT = (OPTIMISED[k] for k in (1, 4, 8))


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    asked = [*_QUESTIONS, *ENTROPY_QUESTIONS]
    if NO_BASELINE.label in data.choices:
        needs = (_ONE, NO_BASELINE.label)
        asked.append(Question("training without a baseline", needs, _no_baseline))
    made, notes = answers(data, asked)
    if ENTROPY in data.choices and not has_every_coefficient(data):
        missing = f"Left out, as {data.study.name} lacks some of the five entropy coefficients"
        notes = (*notes, f"{missing}: whether EntropyReg is hard to tune.")
    return made, notes


def _diagonal(data: StudyData) -> list[Claim]:
    ahead, behind, parts = [], [], []
    for k, meant in OPTIMISED.items():
        means = {m: float(data.scores(m, k, for_k=True).mean()) for m in OPTIMISED.values()}
        others = {m: gap_for_k(data, meant, m, k) for m in means if m != meant}
        nearest = max(others, key=lambda m: means[m])
        ahead.append(means[meant] > means[nearest])
        behind.append(any(gap.below for gap in others.values()))
        winner = meant if ahead[-1] else nearest
        parts.append(
            f"k_eval={k}: {winner} is best; {meant} - {nearest} = {others[nearest].text()} points"
        )
    verdict = Verdict.HOLDS if all(ahead) else Verdict.NO if any(behind) else Verdict.IN_PART
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.1, {_TABLES}",
            "The best pass@k_eval comes from k_opt = k_eval.",
            "holds: in each of the columns k_eval = 1, 2, 4, 8 the row k_opt = k_eval has the "
            "highest mean of the rows k_opt = 1, 2, 4, 8; in part: in no column is it below "
            "another of them beyond the 95 % interval of the paired difference over seeds; does "
            "not hold otherwise",
            "; ".join(parts) + ".",
            verdict,
        )
    ]


def _deficit(data: StudyData) -> list[Claim]:
    gaps = {k: gap_for_k(data, OPTIMISED[min(k, 8)], _ONE, k) for k in K_VALUES[1:]}
    means = [gap.mean for gap in gaps.values()]
    rises = all(low < high for low, high in itertools.pairwise(means))
    verdict = (
        Verdict.HOLDS
        if rises and gaps[K_VALUES[-1]].above
        else Verdict.IN_PART
        if means[-1] > means[0]
        else Verdict.NO
    )
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.1, {_TABLES}",
            "What k_opt = 1 lacks at k_eval grows with k_eval.",
            "holds: the mean of (k_opt = k_eval) - (k_opt = 1), with k_opt = 8 at k_eval = 12 and "
            "16, rises from each k_eval of 2, 4, 8, 12, 16 to the next, and is above zero beyond "
            "its 95 % interval at 16; in part: it is higher at 16 than at 2; does not hold "
            "otherwise",
            "Points: " + ", ".join(f"{g.text()} at {k}" for k, g in gaps.items()) + ".",
            verdict,
        )
    ]


def _improves(data: StudyData) -> list[Claim]:
    gaps = {
        method: difference(data.scores(method, k, for_k=True), data.base(k))
        for k, method in OPTIMISED.items()
        if method in data.choices
    }
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.2, {_TABLES}",
            "Training for k robustly improves pass@k on held-out problems, k = k_opt.",
            f"Over the warm start, for each k_opt. {ABOVE_RULE}",
            "Points: " + ", ".join(f"{g.text()} with {m}" for m, g in gaps.items()) + ".",
            all_above(list(gaps.values())),
        )
    ]


def _n_of_n(data: StudyData) -> list[Claim]:
    said = {
        16: "Training for k = n = 16 (TZSM25) struggles to optimise pass@16: k_opt = 8 has more.",
        1: "Training for k = n = 16 (TZSM25) has a lower pass@1 than k_opt = 8.",
    }
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.1, {_TABLES}",
            statement,
            f"k_opt = 8 minus TZSM25 at k_eval = {k}. {ABOVE_RULE}",
            f"{gap.text()} points.",
            is_above(gap),
        )
        for k, statement in said.items()
        for gap in [gap_for_k(data, _EIGHT, TZSM25, k)]
    ]


def _eight_over_four(data: StudyData) -> list[Claim]:
    gain = {
        k: data.scores(_EIGHT, k, for_k=True) - data.scores(_FOUR, k, for_k=True)
        for k in (8, 12, 16)
    }
    more = {k: difference(gain[k], gain[8]) for k in (12, 16)}
    gains = ", ".join(f"{difference(values, 0.0).text()} at {k}" for k, values in gain.items())
    return [
        Claim(
            PKPO,
            f"Sec. 5.2.1, {_TABLES}",
            "k_opt = 8 gains more over k_opt = 4 at k_eval = 12 and 16 than at k_eval = 8.",
            f"The gain at 12 minus that at 8, and the gain at 16 minus that at 8. {ABOVE_RULE}",
            f"Gains in points: {gains}; more than at 8: "
            + ", ".join(f"{found.text()} at {k}" for k, found in more.items())
            + ".",
            all_above(list(more.values())),
        )
    ]


def _below_warm_start(data: StudyData) -> list[Claim]:
    k = K_VALUES[-1]
    cases = {"one policy, chosen over all k": data.scores(_ONE, k)}
    if data.study.each_k:
        cases[f"the candidate chosen for pass@{k}"] = data.scores(_ONE, k, for_k=True)
    return [
        Claim(
            "here",
            _TABLES,
            f"Training for pass@1 ends below the warm start at pass@{k} ({case}).",
            f"Warm start minus k_opt = 1. {ABOVE_RULE}",
            f"{difference(data.base(k), scores).text()} points.",
            is_above(difference(data.base(k), scores)),
        )
        for case, scores in cases.items()
    ]


def _no_baseline(data: StudyData) -> list[Claim]:
    mine = data.scores(NO_BASELINE.label, 1, for_k=True)
    to_base = difference(mine, data.base(1))
    to_plain = difference(mine, data.scores(_ONE, 1, for_k=True))
    under = int((mine < data.base(1)).sum())
    verdict = (
        Verdict.HOLDS if under == len(mine) else Verdict.IN_PART if to_plain.below else Verdict.NO
    )
    return [
        Claim(
            PKPO,
            "Sec. 5.2",
            "Without the leave-one-out baseline training for pass@1 diverges.",
            f"holds: its candidate ({chosen_for(data)}) ends below the warm start at pass@1 in "
            "every seed; in part: it is below k_opt = 1 beyond the 95 % interval of the paired "
            "difference; does not hold otherwise",
            f"Below the warm start in {under} of {len(mine)} seeds; {to_base.text()} points over "
            f"the warm start, {to_plain.text()} over k_opt = 1.",
            verdict,
        )
    ]


_EVERY = tuple(OPTIMISED.values())

_QUESTIONS = (
    Question("whether the diagonal is best", _EVERY, _diagonal),
    Question("whether the deficit of k_opt = 1 grows", _EVERY, _deficit),
    Question("the gains of k_opt = 8 over 4", (_FOUR, _EIGHT), _eight_over_four),
    Question("TZSM25 against k_opt = 8", (_EIGHT, TZSM25), _n_of_n),
    Question("held-out gains over the warm start", (_ONE,), _improves),
    Question("whether k_opt = 1 ends below the warm start", (_ONE,), _below_warm_start),
)
