"""Fig. 3 on two studies: annealing k from 8 to 1 half-way."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import MUTED, legend_above, new_figure, percent_axis, style_axes
from reproduction.comparing import difference
from reproduction.figure3.claims import claims
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.studies.curves import (
    checkpoints,
    draw_checkpoints,
    draw_curve,
    method_handle,
    metric,
    metric_steps,
    smoothed,
    switch_steps,
    window_of,
)
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import (
    ANNEALED,
    OPTIMISED,
    candidate_text,
    one_policy_table,
    present,
    ways_of_choosing,
)

DRAWN = (OPTIMISED[1], OPTIMISED[2], OPTIMISED[8], ANNEALED)
CHECKED_KS = (1, 8, 16)
"""The k of the validation panels."""


def make(context: Context, *studies: StudyData) -> Result:
    """Annealing against constant k, in each study."""
    tables, judged, notes = [], [], []
    for data in studies:
        name = data.study.name
        tables += [
            one_policy_table(
                data,
                present(data, DRAWN),
                f"final-{name}",
                f"{data.study.title}: held-out pass@k after training",
            ),
            gaps_table(data),
        ]
        found, left_out = claims(data)
        judged += found
        notes += left_out
    return Result(
        settings={
            **{data.study.name: settings(data) for data in studies},
            "window_steps": {d.study.name: window_of(d.study.steps) for d in studies},
        },
        tables=tuple(tables),
        drawings=(_drawing(studies),),
        claims=tuple(judged),
        notes=(
            "8→1 trains for k = 8 in the first half of the steps and for pass@1 in the second; "
            "the paper switches after 1500 steps.",
            *notes,
        ),
    )


def gaps_table(data: StudyData) -> Table:
    """8→1 minus the methods with a constant k."""
    rows = []
    for method in present(data, (m for m in DRAWN if m != ANNEALED)):
        for way, for_k in ways_of_choosing(data).items():
            gaps = [
                difference(
                    data.scores(ANNEALED, k, for_k=for_k), data.scores(method, k, for_k=for_k)
                )
                for k in K_VALUES
            ]
            rows.append((f"8→1 minus {method}, {way}", *(gap.text() for gap in gaps)))
    return Table(
        name=f"annealing-{data.study.name}",
        title=f"{data.study.title}: 8→1 against a constant k",
        headers=("", *(f"k_eval={k}" for k in K_VALUES)),
        rows=tuple(rows),
        notes=(
            "Percentage points of held-out pass@k, mean and standard error of paired differences "
            "over seeds. One policy: each method's candidate chosen over all k"
            + ("; chosen for k: for each cell's k alone." if data.study.each_k else "."),
        ),
    )


def annealing_figure(studies: Sequence[StudyData]) -> Figure:
    """A row of panels a study: training-batch pass@1, then validation pass@k."""
    figure = new_figure(12.0, 3.1 * len(studies) + 0.5)
    grid = figure.subplots(len(studies), 1 + len(CHECKED_KS), squeeze=False)
    for row, data in zip(grid, studies):
        style_axes(row[0], f"{data.study.title}: training batch", "training step", "pass@1")
        _draw_training(row[0], data)
        for axes, k in zip(row[1:], CHECKED_KS):
            style_axes(axes, f"pass@{k}, validation", "training step")
            for method in present(data, DRAWN):
                draw_checkpoints(axes, method, *checkpoints(data.chosen(method), k))
        for axes in row:
            percent_axis(axes.yaxis, ".3g")
            _mark_switch(axes, data)
    shown = [m for m in DRAWN if any(m in data.choices for data in studies)]
    legend_above(figure, [method_handle(m, marker=True) for m in shown])
    return figure


def _draw_training(axes: Axes, data: StudyData) -> None:
    window = window_of(data.study.steps)
    for method in present(data, DRAWN):
        arm = data.chosen(method)
        draw_curve(axes, method, metric_steps(arm), smoothed(metric(arm, "pass@1"), window))


def _mark_switch(axes: Axes, data: StudyData) -> None:
    for step in switch_steps(data.chosen(ANNEALED)) if ANNEALED in data.choices else ():
        axes.axvline(step, color=MUTED, linestyle=":", linewidth=1.4)


def _drawing(studies: Sequence[StudyData]) -> Drawing:
    chosen = "; ".join(
        f"{data.study.name}: "
        + ", ".join(
            f"{m} {candidate_text(data, data.chosen(m).name)}" for m in present(data, DRAWN)
        )
        for data in studies
    )
    windows = ", ".join(f"{window_of(d.study.steps)} in {d.study.name}" for d in studies)
    return Drawing(
        name="figure3",
        title="Annealing k during training",
        caption="Each method's candidate chosen over all k on validation problems "
        f"({chosen}). Training batch: averaged over windows of steps ({windows}), band: one "
        "standard error over seeds. Validation: evaluations during training, bars: one standard "
        "error. Dotted: where 8→1 switches to k = 1.",
        alt="For each study four panels against the training step: pass@1 of the training batch, "
        "and validation pass@1, pass@8 and pass@16, with a line for each of k_opt = 1, 2, 8 and "
        "8→1.",
        figure=annealing_figure(studies),
    )
