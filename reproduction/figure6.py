"""Fig. 6 on a study: cumulative solve rate and entropy along training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import (
    MUTED,
    legend_above,
    new_figure,
    percent_axis,
    signed_points_axis,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed
from reproduction.results import Drawing, Result
from reproduction.studies.data import BIN, SOLVED, ArmData, StudyData, load_data
from reproduction.studies.drawing import (
    draw_curve,
    method_handle,
    method_style,
    name_lines,
    smoothed,
    window_of,
)
from reproduction.studies.settings import OPTIMISED, TZSM25
from reproduction.studies.tables import measures_table, number, percent
from reproduction.topics import Context

METHODS = (*OPTIMISED.values(), TZSM25)
SHARES = (25, 50, 75, 100)
"""Per cent of the steps at which the order of the methods is judged."""

AROUND = 10
"""Training steps on each side of an epoch's end whose slopes are compared."""

ZOOMED_FROM = 0.4
"""Share of the steps from which the solve rates are drawn: before, all lines are one."""


def make(context: Context) -> Result:
    """Both panels of the figure, and the same at one learning rate for all."""
    data = load_data(context.studies, "programs")
    methods = data.present(METHODS)
    measures: dict[str, Measure] = {}
    for method in methods:
        for share in SHARES:
            for column in (SOLVED, "entropy"):
                found = at_share(data.chosen(method), column, share / 100)
                measures[f"programs {method} {_NAMES[column]} at {share} %"] = found
    problems = data.record["train_problems"]
    ends = epoch_ends(problems / _prompts(data), data.steps)
    for method in methods if ends else ():
        falls = [_fall(data.chosen(method), end) for end in ends]
        measures[f"programs {method} fall of the slope"] = by_seed(np.mean(falls, axis=0))
    return Result(
        measures,
        {"solve_rate": _table(data, methods), "by_learning_rate": _rates_table(data, methods)},
        (_drawing(data, methods, ends), _rates_drawing(data, methods)),
        (
            f"{data.title} has {problems} training problems; the paper's task set has 12000.",
            "Methods chosen over all k may have different learning rates, which moves both "
            "curves; the second figure and table compare them at one learning rate each.",
        ),
        {"study": data.name, "shares": list(SHARES)},
    )


_NAMES = {SOLVED: "solved", "entropy": "entropy"}


def at_share(arm: ArmData, column: str, share: float) -> Measure:
    """The solve rate after a share of the steps; the mean entropy of the tenth before."""
    series_AS = arm.curves[column]
    upto = series_AS[:, : max(1, round(share * series_AS.shape[1]))]
    last = max(1, round(0.1 * series_AS.shape[1]))
    found = upto[:, -1] if column == SOLVED else upto[:, -last:].mean(axis=1)
    return by_seed(found, arm.setting)


def epoch_ends(length: float, steps: int) -> tuple[float, ...]:
    """The ends of epochs in steps, those that have AROUND steps on both sides.

    Args:
        length: of an epoch, in steps.
        steps: of training.
    """
    ends = (length * epoch for epoch in range(1, math.ceil(steps / length) + 1))
    return tuple(end for end in ends if _rows(end)[0] >= 0 and _rows(end)[3] * BIN <= steps)


def _rows(end: float) -> tuple[int, int, int, int]:
    """Numbers of rows of curves done at the first and last step before and after an epoch's end;
    the row in which it ends is in neither."""
    before, after = math.floor(end / BIN), math.ceil(end / BIN)
    return before - AROUND // BIN, before, after, after + AROUND // BIN


def _fall(arm: ArmData, end: float) -> np.ndarray:
    """By seed, the mean rise of the solve rate a step before an epoch's end minus that after."""
    solved_AS = np.pad(arm.curves[SOLVED], ((0, 0), (1, 0)))
    first, before, after, last = _rows(end)
    rise = solved_AS[:, before] - solved_AS[:, first] - (solved_AS[:, last] - solved_AS[:, after])
    return rise / AROUND


def _prompts(data: StudyData) -> int:
    return data.record["config"]["training"]["prompts_per_step"]


def _ends(arm: ArmData) -> tuple[Measure, Measure]:
    return at_share(arm, SOLVED, 1.0), at_share(arm, "entropy", 1.0)


def _table(data: StudyData, methods: tuple[str, ...]) -> Table:
    rows = []
    for method in methods:
        arm = data.chosen(method)
        solved, entropy = _ends(arm)
        rows.append((method, percent(solved), number(entropy), arm.setting))
    note = (
        "Solve rate: per cent of the training problems for which a correct completion was ever "
        "sampled. Entropy: nats a completion, mean of the last tenth of the steps."
    )
    return Table(
        ("", "solve rate", "entropy", "chosen"),
        tuple(rows),
        (note,),
        "Cumulative solve rate and entropy at the end of training",
        words=frozenset({0, 3}),
    )


def _rates_table(data: StudyData, methods: tuple[str, ...]) -> Table:
    rows = {
        f"lr {rate:g}, {method}": [last.times(scale) for last, scale in zip(_ends(arm), (100, 1))]
        for rate, arms in _by_rate(data, methods).items()
        for method, arm in arms.items()
    }
    seeds = ", ".join(map(str, data.record["tuning_seeds"]))
    return measures_table(
        rows,
        ("solve rate", "entropy"),
        "The same at one learning rate for all",
        (f"Tuning runs, with seeds {seeds}, which have every learning rate.",),
        text=number,
    )


def _by_rate(data: StudyData, methods: tuple[str, ...]) -> dict[float, dict[str, ArmData]]:
    """The arms of the tuning runs by learning rate and method."""
    found: dict[float, dict[str, ArmData]] = {}
    for method in methods:
        for name in data.record["methods"][method]:
            if name in data.tuning:
                arm = data.tuning[name]
                found.setdefault(arm.settings["learning_rate"], {})[method] = arm
    return found


def _draw_solved(axes: Axes, arms: Mapping[str, ArmData], ends: tuple[float, ...] = ()) -> None:
    """The solve rates from ZOOMED_FROM of the steps on, each line named at its end."""
    last, lows, highs = {}, [], []
    for method, arm in arms.items():
        late = arm.steps >= ZOOMED_FROM * arm.steps[-1]
        values_AS = arm.curves[SOLVED][:, late]
        mean = values_AS.mean(axis=0)
        axes.plot(arm.steps[late], mean, **_line(method))
        last[method] = float(mean[-1])
        lows.append(mean[0])
        highs.append(mean[-1])
    room = 0.06 * (max(highs) - min(lows))
    axes.set_ylim(min(lows) - room, max(highs) + room)
    percent_axis(axes.yaxis, ".3g")
    name_lines(axes, last)
    for end in ends:
        if end > axes.get_xlim()[0]:
            axes.axvline(end, color=MUTED, linestyle=":", linewidth=1.4)


def _line(method: str) -> dict:
    style = method_style(method)
    return {"color": style.color, "linestyle": style.line, "linewidth": 2.0}


def _figure(data: StudyData, methods: tuple[str, ...], ends: tuple[float, ...]) -> Figure:
    figure = new_figure(13.0, 4.8)
    left, right, gaps = figure.subplots(1, 3)
    style_axes(left, "(a) Cumulative solve rate", "training step", "problems solved so far")
    style_axes(right, "(b) Entropy", "training step", "nats a completion")
    style_axes(gaps, "(c) Solve rate over k_opt=1's", "training step", "percentage points")
    arms = {method: data.chosen(method) for method in methods}
    _draw_solved(left, arms, ends)
    plain = arms[OPTIMISED[1]]
    for method, arm in arms.items():
        entropy = smoothed(arm.curves["entropy"], window_of(data.steps))
        draw_curve(right, method, arm.steps, entropy)
        draw_curve(gaps, method, arm.steps, arm.curves[SOLVED] - plain.curves[SOLVED])
    right.set_ylim(bottom=0.0)
    signed_points_axis(gaps.yaxis)
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def _rates_figure(data: StudyData, methods: tuple[str, ...]) -> Figure:
    rates = _by_rate(data, methods)
    figure = new_figure(4.2 * len(rates) + 0.6, 6.2)
    grid = figure.subplots(2, len(rates), squeeze=False)
    for (rate, arms), (top, bottom) in zip(sorted(rates.items()), grid.T):
        style_axes(top, f"learning rate {rate:g}: solve rate", "")
        style_axes(bottom, "entropy, nats", "training step")
        _draw_solved(top, arms)
        for method, arm in arms.items():
            entropy = smoothed(arm.curves["entropy"], window_of(data.steps))
            draw_curve(bottom, method, arm.steps, entropy)
        bottom.set_ylim(bottom=0.0)
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def _drawing(data: StudyData, methods: tuple[str, ...], ends: tuple[float, ...]) -> Drawing:
    chosen = ", ".join(f"{m} {data.chosen(m).setting}" for m in methods)
    return Drawing(
        name="figure6",
        title="Cumulative solve rate and entropy during training",
        caption="(a) The share of training problems for which a correct completion was ever "
        f"sampled, from {100 * ZOOMED_FROM:g} % of the steps on, before which the lines are one; "
        "dotted: the end of an epoch. (b) Entropy of the completions, a moving average. (c) The "
        "solve rates minus that of k_opt = 1, seed by seed. Means over seeds, bands: one standard "
        f"error. One policy a method, chosen over all k: {chosen}.",
        alt="Three panels against the training step with a line for each of "
        f"{', '.join(methods)}: cumulative solve rate, entropy, and the solve rate over that of "
        "k_opt = 1.",
        figure=_figure(data, methods, ends),
    )


def _rates_drawing(data: StudyData, methods: tuple[str, ...]) -> Drawing:
    return Drawing(
        name="by_learning_rate",
        title="The same at one learning rate for all",
        caption="From the tuning runs, which have every method at every learning rate. Means over "
        f"the tuning seeds ({', '.join(map(str, data.record['tuning_seeds']))}).",
        alt="For each learning rate a panel of the cumulative solve rate and one of the entropy "
        f"against the training step, with a line for each of {', '.join(methods)}.",
        figure=_rates_figure(data, methods),
    )
