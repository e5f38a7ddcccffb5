"""What the paper says about annealing k, judged on one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from reproduction.comparing import ABOVE_RULE, Difference, all_above, difference, is_above
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.studies.curves import metric, switch_steps
from reproduction.studies.questions import Question, answers
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import ANNEALED, OPTIMISED, TZSM25

SACRIFICE = 0.005
"""A mean loss of pass@1 up to this, and not beyond the error, is no sacrifice."""

SLOPE_SHARE = 0.2
"""Of the steps, on each side of the switch, to which a line is fitted."""

_PLACE = "Sec. 5.2.3, Fig. 3"
_ONE, _TWO = OPTIMISED[1], OPTIMISED[2]


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    return answers(
        data,
        (
            Question("8→1 against k_opt = 1", (ANNEALED, _ONE), _against_pass_at_1),
            Question("8→1 against k_opt = 2", (ANNEALED, _TWO), _against_two),
            Question("what the switch does", (ANNEALED,), _slope),
            Question("what TZSM25 trades", (TZSM25, _ONE), _trade_off),
        ),
    )


def no_sacrifice(gap: Difference) -> Verdict:
    """For "without sacrificing": not below beyond its interval, and nearly no loss in the mean."""
    if gap.below:
        return Verdict.NO
    return Verdict.HOLDS if gap.mean >= -SACRIFICE else Verdict.OPEN


def _gaps(
    data: StudyData, first: str, second: str, ks: Sequence[int], for_k: bool
) -> dict[int, Difference]:
    return {
        k: difference(data.scores(first, k, for_k=for_k), data.scores(second, k, for_k=for_k))
        for k in ks
    }


def _claim(
    data: StudyData,
    said: tuple[str, str, str],
    rule: str,
    pair: tuple[str, str],
    ks: Sequence[int],
    judge: Callable[[Sequence[Difference]], Verdict],
) -> Claim:
    """Judged with one policy a method; with each k's own candidates in `found` only."""
    paper, place, statement = said
    one, own = (_gaps(data, *pair, ks, for_k) for for_k in (False, True))
    found = f"Points: {_listed(one)}."
    if data.study.each_k:
        verdict = judge(list(own.values()))
        found += f" With each k's own candidates: {_listed(own)}, by the same rule “{verdict}”."
    return Claim(
        paper,
        place,
        f"{data.study.title}: {statement}",
        f"{pair[0]} minus {pair[1]}, one policy a method, chosen over all k. {rule}",
        found,
        judge(list(one.values())),
    )


def _listed(gaps: Mapping[int, Difference]) -> str:
    return ", ".join(f"{gap.text()} at {k}" for k, gap in gaps.items())


def _against_pass_at_1(data: StudyData) -> list[Claim]:
    pair = (ANNEALED, _ONE)
    return [
        _claim(
            data,
            (
                PKPO,
                _PLACE,
                "annealing k from 8 to 1 has a higher pass@k than training for pass@1 "
                "at every k_eval > 1.",
            ),
            ABOVE_RULE,
            pair,
            K_VALUES[1:],
            all_above,
        ),
        _claim(
            data,
            (PKPO, _PLACE, "annealing does not sacrifice pass@1."),
            "holds: at k_eval = 1 it is not below zero beyond its 95 % interval, and the mean is "
            f"at least -{100 * SACRIFICE:g} points; does not hold: it is below beyond its "
            "interval; can't tell otherwise",
            pair,
            K_VALUES[:1],
            lambda gaps: no_sacrifice(gaps[0]),
        ),
    ]


def _against_two(data: StudyData) -> list[Claim]:
    return [
        _claim(
            data,
            ("here", _PLACE, "annealing beats a constant k = 2 at every k_eval."),
            ABOVE_RULE,
            (ANNEALED, _TWO),
            K_VALUES,
            all_above,
        )
    ]


def _trade_off(data: StudyData) -> list[Claim]:
    low, high = K_VALUES[0], K_VALUES[-1]
    gain = _gaps(data, TZSM25, _ONE, [high], False)[high]
    loss = _gaps(data, _ONE, TZSM25, [low], False)[low]
    return [
        Claim(
            PKPO,
            _PLACE,
            f"{data.study.title}: training for k = n = 16 (TZSM25) trades pass@1 for pass@k.",
            f"k_opt = 1 minus TZSM25 at k_eval = {low}, and TZSM25 minus k_opt = 1 at {high}, one "
            f"policy a method. {ABOVE_RULE}",
            f"It loses {loss.text()} points of pass@{low} and gains {gain.text()} of pass@{high}.",
            all_above([loss, gain]),
        )
    ]


def slope_change(series_AS: np.ndarray, switch: int) -> np.ndarray:
    """By seed, the slope a step just after the switch minus that just before.

    Args:
        series_AS: by seed and step.
        switch: the first step with the new objective.
    """
    count = max(2, round(SLOPE_SHARE * series_AS.shape[1]))
    x = np.arange(count) - (count - 1) / 2
    before, after = series_AS[:, switch - count : switch], series_AS[:, switch : switch + count]
    return (after @ x - before @ x) / (x @ x)


def _slope(data: StudyData) -> list[Claim]:
    arm = data.chosen(ANNEALED)
    switches = switch_steps(arm)
    if len(switches) != 1:
        return []
    [switch] = switches
    change = difference(slope_change(metric(arm, "pass@1"), switch), 0.0)
    return [
        Claim(
            PKPO,
            _PLACE,
            f"{data.study.title}: the switch shows: pass@1 rises faster once k is 1.",
            "Slope of the training batch's pass@1, by least squares over the "
            f"{100 * SLOPE_SHARE:g} % of the steps after the switch, minus that before. "
            f"{ABOVE_RULE}",
            f"{change.text(1e4)} points per 100 steps.",
            is_above(change),
        )
    ]
