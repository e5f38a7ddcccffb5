"""Exploration along a run: how the gap between pass@16 and pass@1 goes with entropy.

All of one policy a method, the candidate that was chosen over all k: a gap between two policies
would say nothing of either. Axis suffixes: A seeds, S rows of the curves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from pkpo.report.style import legend_above, new_figure, percent_axis, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed
from reproduction.results import Drawing, Result
from reproduction.studies.data import WARM_START, ArmData, StudyData, load_data
from reproduction.studies.drawing import (
    draw_curve,
    draw_validation,
    first_mean,
    last_mean,
    method_handle,
    method_style,
    smoothed,
    window_of,
)
from reproduction.studies.settings import ANNEALED, MAXRL, MIXTURE, OPTIMISED, TZSM25
from reproduction.studies.tables import number, percent, points
from reproduction.topics import Context

STUDIES = ("programs", "countdown")
K = 16
"""The gap is pass@K less pass@1."""

METHODS = (*OPTIMISED.values(), TZSM25, ANNEALED, MIXTURE, MAXRL)
DRAWN = (OPTIMISED[1], OPTIMISED[8], ANNEALED, MIXTURE)
"""The lines that are drawn; the table has all."""

SKIPPED = 0.2
"""Share of the steps that is left out of correlations."""

GAP = f"pass@{K} - pass@1"


def make(context: Context) -> Result:
    """The gap, entropy, distinct solutions and signal along the runs of each study."""
    measures: dict[str, Measure] = {}
    tables: dict[str, Table] = {}
    studies = [load_data(context.studies, name) for name in STUDIES]
    for data in studies:
        measures |= study_measures(data)
        tables[f"{data.name}-along"] = _table(data, measures)
    p = 1 - K ** (-1 / (K - 1))
    most = 100 * (1 - (1 - p) ** K - p)
    return Result(
        measures,
        tables,
        _drawings(studies),
        (
            f"A problem solved with chance p has a gap of 1 - (1-p)^{K} - p, largest at "
            f"p = {p:.3f} ({most:.1f} points): below it the gap grows while the policy gets "
            "better, whatever becomes of its entropy.",
        ),
        {"studies": list(STUDIES), "steps_left_out_of_correlations": SKIPPED},
    )


def study_measures(data: StudyData) -> dict[str, Measure]:
    """By method, the gap after training on test problems, its correlation with the entropy along
    training, and the share of groups with a signal at both ends."""
    found = data.measures(METHODS)
    for method in (WARM_START, *data.present(METHODS)):
        of = f"{data.name} {method}"
        found[f"{of} gap"] = data.end(method, f"pass@{K}").minus(data.end(method, "pass@1"))
        if method != WARM_START:
            arm = data.chosen(method)
            signal_AS = arm.curves["signal_fraction"]
            found[f"{of} groups with a signal, first tenth"] = by_seed(first_mean(signal_AS))
            found[f"{of} groups with a signal, last tenth"] = by_seed(last_mean(signal_AS))
            together = correlations(arm)
            if np.isfinite(together).all():
                found[f"{of} correlation of entropy and gap"] = by_seed(together)
    return found


def correlations(arm: ArmData) -> np.ndarray:
    """By seed, Spearman's of entropy and gap over the training steps, both smoothed, without the
    first ones; NaN where one of both is constant."""
    window = window_of(int(arm.steps[-1]))
    # Rounding errors of the averages would tell equal values apart.
    entropy_AS = np.round(smoothed(arm.curves["entropy"], window), 9)
    gap_AS = np.round(smoothed(_gap(arm), window), 9)
    first = round(SKIPPED * gap_AS.shape[1])
    pairs = zip(entropy_AS[:, first:], gap_AS[:, first:])
    return np.array(
        [np.nan if np.ptp(e) == 0 or np.ptp(g) == 0 else stats.spearmanr(e, g)[0] for e, g in pairs]
    )


def _gap(arm: ArmData) -> np.ndarray:
    return arm.curves[f"pass@{K}"] - arm.curves["pass@1"]


def _table(data: StudyData, measures: dict[str, Measure]) -> Table:
    before = measures[f"{data.name} {WARM_START} gap"]
    last = ("correlation of entropy and gap",)
    last += ("groups with a signal, first tenth", "groups with a signal, last tenth")
    rows = []
    for method in (WARM_START, *data.present(METHODS)):
        of = f"{data.name} {method}"
        gap = measures[f"{of} gap"]
        cells = [percent(gap), "-" if method == WARM_START else points(gap.minus(before))]
        cells.append(percent(measures[f"{of} pass@1"]))
        cells.append(number(data.end(method, "entropy")) if data.has("entropy") else "-")
        for name, text in zip(last, (number, percent, percent)):
            cells.append(text(measures[f"{of} {name}"]) if f"{of} {name}" in measures else "-")
        rows.append((method, *cells))
    return Table(
        ("", GAP, "its change", "pass@1", "entropy, nats", *last),
        tuple(rows),
        (
            "Mean ± standard error over seeds; gap, pass@1 and groups in per cent. Gap, pass@1 and "
            "entropy on test problems. Rank correlation over the training steps of moving "
            f"averages, without the first {100 * SKIPPED:g} %. Groups of training samples with an "
            "advantage that is not zero.",
        ),
        f"{data.title}: the gap before and after training",
    )


def _along_figure(studies: Sequence[StudyData]) -> Figure:
    """Two rows a study: the gap on training batches and validation problems; entropy, signal."""
    figure = new_figure(11.0, 6.4 * len(studies))
    grid = figure.subplots(2 * len(studies), 2, squeeze=False)
    for place, data in enumerate(studies):
        (gap, checked), (entropy, signal) = grid[2 * place : 2 * place + 2]
        style_axes(gap, f"{data.title}: gap on training batches", "", GAP)
        style_axes(checked, f"{data.title}: gap on validation problems", "", GAP)
        style_axes(entropy, f"{data.title}: entropy", "training step", "nats a completion")
        style_axes(signal, f"{data.title}: groups with a signal", "training step")
        window = window_of(data.steps)
        for method in data.present(DRAWN):
            arm = data.chosen(method)
            draw_curve(gap, method, arm.steps, smoothed(_gap(arm), window))
            steps, by_k = arm.validation
            draw_validation(checked, method, steps, by_k[K] - by_k[1])
            curves = {entropy: "entropy", signal: "signal_fraction"}
            for axes, column in curves.items():
                draw_curve(axes, method, arm.steps, smoothed(arm.curves[column], window))
        for axes in (gap, checked, signal):
            percent_axis(axes.yaxis, ".3g")
        entropy.set_ylim(bottom=0.0)
    legend_above(figure, [method_handle(method, marker=True) for method in _drawn(studies)])
    return figure


def _drawn(studies: Sequence[StudyData]) -> list[str]:
    return [method for method in DRAWN if any(data.present([method]) for data in studies)]


def _phase_figure(studies: Sequence[StudyData]) -> Figure:
    """A row a study: the gap on training batches against entropy, and against pass@1."""
    figure = new_figure(10.4, 3.9 * len(studies) + 0.7)
    grid = figure.subplots(len(studies), 2, sharey="row", squeeze=False)
    for (left, right), data in zip(grid, studies):
        style_axes(left, f"{data.title}: gap and entropy", "entropy, nats", GAP)
        style_axes(right, "Gap and pass@1", "pass@1")
        window = window_of(data.steps, SKIPPED)
        for method in data.present(DRAWN):
            arm = data.chosen(method)
            gap, entropy, first = (
                smoothed(series_AS, window).mean(axis=0)
                for series_AS in (_gap(arm), arm.curves["entropy"], arm.curves["pass@1"])
            )
            _path(left, method, entropy, gap)
            _path(right, method, first, gap)
        percent_axis(left.yaxis, ".3g")
        percent_axis(right.xaxis, ".3g")
        left.invert_xaxis()
    legend_above(figure, [method_handle(method) for method in _drawn(studies)])
    return figure


def _path(axes: Axes, method: str, x: np.ndarray, y: np.ndarray) -> None:
    """A line with a ring at its start and a dot at its end."""
    style = method_style(method)
    axes.plot(x, y, color=style.color, linestyle=style.line, linewidth=1.6)
    axes.plot(x[:1], y[:1], "o", color=style.color, markerfacecolor="white", markersize=5.0)
    axes.plot(x[-1:], y[-1:], "o", color=style.color, markersize=5.0)


def _drawings(studies: Sequence[StudyData]) -> tuple[Drawing, Drawing]:
    return (
        Drawing(
            name="along",
            title="The gap, entropy and signal along a run",
            caption="Moving averages over a twentieth of the training steps, and evaluations on "
            "validation problems: means over seeds with one standard error. Groups with a "
            "signal: those whose advantages are not all zero.",
            alt="Four panels for each study, over training steps: the gap between pass@16 and "
            "pass@1 on training batches, the same on validation problems, entropy, and the share "
            "of groups with a signal, with a line for each method.",
            figure=_along_figure(studies),
        ),
        Drawing(
            name="phase",
            title="The gap against entropy and against pass@1",
            caption=f"Training batches, moving averages over {100 * SKIPPED:g} % of the steps, "
            "means over seeds. Rings: start, dots: end. Entropy falls to the right.",
            alt="Two panels for each study with a path for each method: the gap between pass@16 "
            "and pass@1 against entropy, and against pass@1.",
            figure=_phase_figure(studies),
        ),
    )
