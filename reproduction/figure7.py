"""Fig. 7 on a study: rolling pass@k_eval along training, by k_opt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pkpo.report.style import legend_above, new_figure, percent_axis, style_axes
from reproduction.comparing import ABOVE_RULE, difference, is_above, mean_and_error
from reproduction.old_results import PKPO, Claim, Drawing, Result, Table, Verdict
from reproduction.old_topics import Context
from reproduction.studies.curves import (
    draw_curve,
    last_mean,
    method_handle,
    metric,
    metric_steps,
    smoothed,
    window_of,
)
from reproduction.studies.questions import Question, answers
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import (
    OPTIMISED,
    TZSM25,
    best_in_columns,
    candidate_text,
    present,
    ways_of_choosing,
)

DRAWN = (OPTIMISED[1], OPTIMISED[4], OPTIMISED[8], TZSM25)
COMPARED = {k: OPTIMISED[k] for k in (1, 4, 8)}
"""The methods of which the one with k_opt closest to k_eval should be best."""

JUDGED_KS = (1, 4, 8, 12, 16)
"""Without 2, which k_opt = 1 and the missing k_opt = 2 would share."""

_PLACE = "Sec. 5.2.1, Fig. 7"


def make(context: Context, data: StudyData) -> Result:
    """The panels of the figure, the numbers at the end, and what the paper says of them."""
    judged, notes = answers(
        data,
        (
            Question("the order of k_opt", tuple(COMPARED.values()), nearest_claim),
            Question("TZSM25 against k_opt = 8", (OPTIMISED[8], TZSM25), n_of_n_claim),
        ),
    )
    return Result(
        settings={**settings(data), "window_steps": window_of(data.study.steps)},
        tables=tuple(rolling_table(data, for_k=for_k) for for_k in ways_of_choosing(data).values()),
        drawings=(_drawing(data),),
        claims=judged,
        notes=notes,
    )


def rolling_at_end(data: StudyData, method: str, k: int, *, for_k: bool = False) -> np.ndarray:
    """By seed, the training batches' mean pass@k over the last tenth of the steps.

    Args:
        data: the study.
        method: label.
        k: of pass@k.
        for_k: of the candidate that was chosen for this k alone, not over all k.
    """
    return last_mean(metric(data.chosen(method, k if for_k else None), f"pass@{k}"))


def nearest(k_eval: int) -> int:
    """The k_opt of COMPARED closest to k_eval."""
    return min(COMPARED, key=lambda k: abs(k - k_eval))


def nearest_claim(data: StudyData) -> list[Claim]:
    """Whether the best rolling pass@k_eval has the k_opt closest to k_eval."""
    winners, behind, parts = {}, False, []
    for k in JUDGED_KS:
        ends = _ends(data, k, for_k=False)
        meant = COMPARED[nearest(k)]
        winners[k] = _winner(ends)
        others = {m: difference(ends[meant], ends[m]) for m in ends if m != meant}
        behind |= any(gap.below for gap in others.values())
        gaps = ", ".join(f"{gap.text()} over {m}" for m, gap in others.items())
        parts.append(f"k_eval={k}: {winners[k]} is best; {meant} has {gaps}")
    matches = [winners[k] == COMPARED[nearest(k)] for k in JUDGED_KS]
    verdict = Verdict.HOLDS if all(matches) else Verdict.NO if behind else Verdict.IN_PART
    return [
        Claim(
            PKPO,
            _PLACE,
            "The best rolling pass@k_eval has the k_opt of 1, 4, 8 closest to k_eval.",
            "holds: for k_eval = 1, 4, 8, 12, 16 that method has the highest mean over the last "
            "10 % of the steps, one policy a method; in part: in none of them is it below another "
            "beyond the 95 % interval of the paired difference; does not hold otherwise",
            f"Points: {'; '.join(parts)}.{_own_winners(data)}",
            verdict,
        )
    ]


def _own_winners(data: StudyData) -> str:
    if not data.study.each_k:
        return ""
    best = (f"{_winner(_ends(data, k, for_k=True))} at {k}" for k in JUDGED_KS)
    return f" With each k's own candidates the best are {', '.join(best)}."


def n_of_n_claim(data: StudyData) -> list[Claim]:
    """Whether training for k = n = 16 has a lower rolling pass@16 than training for k = 8."""
    k, each_k = K_VALUES[-1], data.study.each_k
    one, own = (
        difference(
            rolling_at_end(data, OPTIMISED[8], k, for_k=for_k),
            rolling_at_end(data, TZSM25, k, for_k=for_k),
        )
        for for_k in (False, True)
    )
    return [
        Claim(
            PKPO,
            _PLACE,
            "Training for k = n = 16 (TZSM25) suffers: at pass@16 it is below k_opt = 8.",
            f"k_opt = 8 minus TZSM25, mean rolling pass@{k} over the last 10 % of the steps, one "
            f"policy a method. {ABOVE_RULE}",
            f"{one.text()} points"
            + (f"; with the candidates chosen for this k {own.text()}." if each_k else "."),
            is_above(one),
        )
    ]


def _ends(data: StudyData, k: int, *, for_k: bool) -> dict[str, np.ndarray]:
    return {m: rolling_at_end(data, m, k, for_k=for_k) for m in COMPARED.values()}


def _winner(ends: Mapping[str, np.ndarray]) -> str:
    return max(ends, key=lambda method: float(ends[method].mean()))


def rolling_table(data: StudyData, *, for_k: bool) -> Table:
    """Rolling pass@k at the end of training, by method."""
    methods = present(data, DRAWN)
    ends = {m: [rolling_at_end(data, m, k, for_k=for_k) for k in K_VALUES] for m in methods}
    chosen = "each cell's candidate chosen for its k" if for_k else "one policy a method"
    return Table(
        name="rolling_by_k" if for_k else "rolling",
        title=f"Rolling pass@k at the end of training, {chosen}",
        headers=("", *(f"k_eval={k}" for k in K_VALUES)),
        rows=tuple((m, *map(mean_and_error, values)) for m, values in ends.items()),
        notes=(
            "Training batches, per cent, mean over the last 10 % of the steps; mean ± standard "
            "error over seeds. Bold: highest mean.",
        ),
        bold=best_in_columns([[float(v.mean()) for v in ends[m]] for m in methods], 0, 1),
    )


def rolling_figure(data: StudyData, methods: Sequence[str]) -> Figure:
    """A panel for each k_eval: rolling pass@k of the training batches."""
    figure = new_figure(11.0, 6.4)
    window = window_of(data.study.steps)
    for axes, k in zip(figure.subplots(2, 3, sharex=True).ravel(), K_VALUES):
        style_axes(axes, f"k_eval = {k}", "training step" if k >= 8 else "", f"pass@{k}")
        for method in methods:
            arm = data.chosen(method)
            draw_curve(axes, method, metric_steps(arm), smoothed(metric(arm, f"pass@{k}"), window))
        percent_axis(axes.yaxis, ".3g")
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def _drawing(data: StudyData) -> Drawing:
    methods = present(data, DRAWN)
    chosen = ", ".join(f"{m} {candidate_text(data, data.chosen(m).name)}" for m in methods)
    return Drawing(
        name="figure7",
        title="Rolling pass@k during training",
        caption="pass@k_eval of the training batches, averaged over "
        f"{window_of(data.study.steps)} steps; mean over seeds, band: one standard error. One "
        f"policy a method, chosen over all k: {chosen}.",
        alt=f"Six panels, for k_eval = 1, 2, 4, 8, 12 and 16, of rolling pass@k against the "
        f"training step, with a line for each of {', '.join(methods)}.",
        figure=rolling_figure(data, methods),
    )
