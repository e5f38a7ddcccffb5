"""Fig. 3 on two studies: annealing k from 8 to 1 half-way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pkpo.report.style import MUTED, legend_above, new_figure, percent_axis, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed
from reproduction.results import Drawing, Result
from reproduction.studies.data import BIN, StudyData, load_data
from reproduction.studies.drawing import (
    draw_curve,
    draw_validation,
    method_handle,
    smoothed,
    window_of,
)
from reproduction.studies.settings import ANNEALED, K_VALUES, OPTIMISED, TZSM25
from reproduction.studies.tables import k_headers, measures_table, points
from reproduction.topics import Context

STUDIES = ("programs", "countdown")
DRAWN = (*(OPTIMISED[k] for k in (1, 2, 8)), ANNEALED)
CHECKED_KS = (1, 8, 16)
"""The k of the validation panels."""

SLOPE_SHARE = 0.2
"""Of the steps, on each side of the switch, to which a line is fitted."""


def make(context: Context) -> Result:
    """Annealing against constant k, in each study."""
    measures: dict[str, Measure] = {}
    tables: dict[str, Table] = {}
    studies = [load_data(context.studies, name) for name in STUDIES]
    for data in studies:
        measures |= data.measures((*DRAWN, TZSM25))
        tables[f"{data.name}-annealing"] = _gaps_table(data)
        arm = data.chosen(ANNEALED)
        if len(arm.switches) == 1:
            change = slope_change(arm.curves["pass@1"], arm.switches[0] // BIN)
            measures[f"{data.name} slope of pass@1 after the switch less before"] = by_seed(change)
    return Result(
        measures,
        tables,
        (_drawing(studies),),
        (
            "8→1 trains for k = 8 in the first half of the steps and for pass@1 in the second; "
            "the paper switches after 1500 steps.",
        ),
        {"studies": list(STUDIES), "slope_share": SLOPE_SHARE},
    )


def slope_change(series_AS: np.ndarray, switch: int) -> np.ndarray:
    """By seed, the slope a training step just after the switch minus that just before.

    Args:
        series_AS: by seed and row of the curves.
        switch: the first row with the new objective.
    """
    count = max(2, round(SLOPE_SHARE * series_AS.shape[1]))
    x = BIN * (np.arange(count) - (count - 1) / 2)
    before, after = series_AS[:, switch - count : switch], series_AS[:, switch : switch + count]
    return (after @ x - before @ x) / (x @ x)


def _gaps_table(data: StudyData) -> Table:
    rows = {
        f"8→1 minus {method}": [
            data.end(ANNEALED, f"pass@{k}").minus(data.end(method, f"pass@{k}")) for k in K_VALUES
        ]
        for method in data.present(m for m in DRAWN if m != ANNEALED)
    }
    return measures_table(
        rows,
        k_headers(),
        f"{data.title}: 8→1 against a constant k",
        ("Points of held-out pass@k, one policy a method, paired by seed, ± standard error.",),
        text=points,
    )


def _figure(studies: Sequence[StudyData]) -> Figure:
    """A row of panels a study: training-batch pass@1, then validation pass@k."""
    figure = new_figure(12.0, 3.1 * len(studies) + 0.5)
    grid = figure.subplots(len(studies), 1 + len(CHECKED_KS), squeeze=False)
    for row, data in zip(grid, studies):
        style_axes(row[0], f"{data.title}: training batch", "training step", "pass@1")
        for method in data.present(DRAWN):
            arm = data.chosen(method)
            values = smoothed(arm.curves["pass@1"], window_of(data.steps))
            draw_curve(row[0], method, arm.steps, values)
            steps, by_k = arm.validation
            for axes, k in zip(row[1:], CHECKED_KS):
                draw_validation(axes, method, steps, by_k[k])
        for axes, k in zip(row[1:], CHECKED_KS):
            style_axes(axes, f"pass@{k}, validation", "training step")
        for axes in row:
            percent_axis(axes.yaxis, ".3g")
            for step in data.chosen(ANNEALED).switches:
                axes.axvline(step, color=MUTED, linestyle=":", linewidth=1.4)
    legend_above(figure, [method_handle(m, marker=True) for m in DRAWN])
    return figure


def _drawing(studies: Sequence[StudyData]) -> Drawing:
    chosen = "; ".join(
        f"{data.name}: " + ", ".join(f"{m} {data.chosen(m).setting}" for m in data.present(DRAWN))
        for data in studies
    )
    return Drawing(
        name="figure3",
        title="Annealing k during training",
        caption=f"One policy a method, chosen over all k on validation problems ({chosen}). "
        "Training batch: moving averages over a twentieth of the steps, band: one standard error "
        "over seeds. Validation: evaluations during training. Dotted: where 8→1 switches to k = 1.",
        alt="For each study four panels against the training step: pass@1 of the training batch, "
        "and validation pass@1, pass@8 and pass@16, with a line for each of "
        f"{', '.join(DRAWN)}.",
        figure=_figure(studies),
    )
