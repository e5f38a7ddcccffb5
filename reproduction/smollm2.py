"""A pretrained language model before and after training: SmolLM2-135M-Instruct."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.evaluate import Comparison
from pkpo.evaluate.comparison import difference_tables, how_to_read, verdicts
from pkpo.report.style import (
    BASE_GREY,
    k_axis,
    legend_above,
    new_figure,
    percent_axis,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure
from reproduction.results import Drawing, Result
from reproduction.studies.answers import answers_table, differences
from reproduction.studies.data import GUESSER, SOLVED, WARM_START, StudyData, load_data
from reproduction.studies.drawing import draw_curve, look, method_handle, smoothed, window_of
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import candidates_table, one_policy_table
from reproduction.topics import Context

STUDIES = ("smollm2-functions", "smollm2-arithmetic", "smollm2-needles")
BASELINES = {"k_opt=1": WARM_START, "k_opt=8": "k_opt=1", "8→1": "k_opt=1"}
COMPARED_AT = (1, 4, 16)
_NOTES: tuple[str, ...] = (
    "The warm start is the pretrained model as it is; seeds differ in the problems' order and in "
    "the samples. The guesser draws from the answers of the training problems.",
    "Differences with intervals are means over seeds, whose problems are counted once each; a "
    "problem with what all seeds answer to it is one unit of the intervals.",
)
_DASHES = {GUESSER: ":", WARM_START: "--"}


def make(context: Context) -> Result:
    """Tables, curves and answers of each problem set."""
    measures: dict[str, Measure] = {}
    tables: dict[str, Table] = {}
    drawings, notes = [], [*_NOTES]
    for name in STUDIES:
        data = load_data(context.studies, name)
        measures |= data.measures(data.methods)
        found = differences(
            data.record["correct"], data.record["num_samples"], BASELINES, COMPARED_AT
        )
        tables |= {
            f"{name}-one_policy": one_policy_table(data, data.methods, data.title),
            f"{name}-candidates": candidates_table(
                data, data.methods, f"{data.title}: all candidates"
            ),
            f"{name}-seeds": _seeds_table(data),
            **_difference_tables(data, found),
            f"{name}-answers": answers_table(
                data.record["answers"], f"{data.title}: before and after"
            ),
        }
        drawings.append(_drawing(data))
        notes.append(f"{data.title}: {how_to_read(found)} {' '.join(verdicts(found))}")
    return Result(measures, tables, tuple(drawings), tuple(notes), {"studies": list(STUDIES)})


def _seeds_table(data: StudyData) -> Table:
    """pass@k of every seed at the smallest, a middle and the largest k."""
    seeds = data.chosen(data.methods[0]).seeds
    rows = []
    for method in data.methods:
        ends = data.chosen(method).ends
        cells = (
            " / ".join(f"{100 * ends[f'pass@{k}'][place]:.1f}" for k in COMPARED_AT)
            for place in range(len(seeds))
        )
        rows.append((method, *cells))
    kinds = " / ".join(f"pass@{k}" for k in COMPARED_AT)
    headers = ("", *(f"seed {seed}" for seed in seeds))
    return Table(headers, tuple(rows), (), f"{data.title}: {kinds} of every seed, per cent")


def _difference_tables(data: StudyData, found: Comparison) -> dict[str, Table]:
    return {
        f"{data.name}-{number}": replace(table, title=f"{data.title}: {table.title}")
        for number, table in enumerate(difference_tables(found), start=1)
    }


def _drawing(data: StudyData) -> Drawing:
    names = ", ".join(data.methods)
    return Drawing(
        name=data.name,
        title=data.title,
        caption="Left: held-out pass@k before training, after it, and of a guesser; thin lines: "
        "each seed; bars: one standard error over seeds. Middle and right: along training, moving "
        "averages, bands: one standard error.",
        alt=f"Three panels: pass@k against k of the guesser, the pretrained model and {names}; "
        "the share of training problems solved so far and the entropy against the training step.",
        figure=_figure(data),
    )


def _figure(data: StudyData) -> Figure:
    figure = new_figure(12.0, 3.9)
    panels: list[Axes] = list(figure.subplots(1, 3))
    style_axes(panels[0], "Held-out problems", "k", "pass@k")
    style_axes(panels[1], "Training problems solved so far", "training step")
    style_axes(panels[2], "Entropy, nats a completion", "training step")
    for row in (*data.untrained, *data.methods):
        ends = [data.end(row, f"pass@{k}") for k in K_VALUES]
        panels[0].errorbar(
            K_VALUES,
            [end.value for end in ends],
            yerr=[end.error for end in ends],
            **(look(row) if row in data.methods else _grey(row)),
        )
    for method in data.methods:
        every_KA = np.array([data.chosen(method).ends[f"pass@{k}"] for k in K_VALUES])
        color = look(method)["color"]
        panels[0].plot(K_VALUES, every_KA, color=color, linewidth=0.7, alpha=0.5)
    k_axis(panels[0], K_VALUES)
    for method in data.methods:
        arm, window = data.chosen(method), window_of(data.steps)
        draw_curve(panels[1], method, arm.steps, arm.curves[SOLVED])
        draw_curve(panels[2], method, arm.steps, smoothed(arm.curves["entropy"], window))
    for axes in panels[:2]:
        percent_axis(axes.yaxis, ".3g")
        axes.set_ylim(bottom=0.0)
    handles = [Line2D([], [], label=row, **_grey(row)) for row in data.untrained]
    handles += [method_handle(method, marker=True) for method in data.methods]
    legend_above(figure, handles)
    return figure


def _grey(row: str) -> dict[str, Any]:
    return {"color": BASE_GREY, "linestyle": _DASHES[row], "linewidth": 2.0}
