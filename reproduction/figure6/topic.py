"""Fig. 6 on a study: cumulative solve rate and entropy along training."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.records import Arm
from pkpo.report.style import (
    MUTED,
    legend_above,
    new_figure,
    percent_axis,
    signed_points_axis,
    style_axes,
)
from reproduction.comparing import mean_and_error
from reproduction.figure6.claims import claims
from reproduction.figure6.numbers import (
    ENTROPY_COLUMN,
    SOLVED,
    arms_at,
    at_end,
    drawn_series,
    epoch_ends,
    prompts_per_step,
    train_problems,
)
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.studies.curves import draw_curve, method_handle, metric_steps, window_of
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.tables import (
    OPTIMISED,
    TZSM25,
    candidate_text,
    paper_methods,
    present,
)

_YLABELS = {SOLVED: "training problems solved so far", ENTROPY_COLUMN: "nats a completion"}


def make(context: Context, data: StudyData) -> Result:
    """Both panels of the figure, the same by learning rate, and what the paper says of them."""
    judged, left_out = claims(data)
    problems = train_problems(data)
    return Result(
        settings={
            **settings(data),
            "window_steps": window_of(data.study.steps),
            "train_problems": problems,
        },
        tables=(final_table(data), rates_table(data)),
        drawings=(_drawing(data, problems), _rates_drawing(data)),
        claims=judged,
        notes=(
            f"{data.study.title} has {problems} training problems; the paper's task set has 12000.",
            "Methods chosen over all k may have different learning rates, which moves both "
            "curves; the second figure and table compare them at one learning rate each.",
            *left_out,
        ),
    )


def final_table(data: StudyData) -> Table:
    """Solve rate and entropy at the end, one policy a method."""
    rows = []
    for method in paper_methods(data):
        arm = data.chosen(method)
        rows.append(
            (
                method,
                mean_and_error(at_end(arm, SOLVED)),
                mean_and_error(at_end(arm, ENTROPY_COLUMN), scale=1.0),
                candidate_text(data, arm.name),
            )
        )
    return Table(
        name="solve_rate",
        title="Cumulative solve rate and entropy at the end of training",
        headers=("", "solve rate", "entropy", "chosen"),
        rows=tuple(rows),
        notes=(
            "Solve rate: per cent of the training problems for which a correct completion was "
            "ever sampled. Entropy: nats a completion, mean of the last 10 % of the steps. Mean "
            "± standard error over the reported seeds.",
        ),
    )


def rates_table(data: StudyData) -> Table:
    """The same at each learning rate, in the tuning runs."""
    methods = _by_rate(data)
    rows = []
    for rate in data.study.learning_rates:
        for method, arm in arms_at(data, data.tuning, methods, rate).items():
            numbers = (
                mean_and_error(at_end(arm, SOLVED)),
                mean_and_error(at_end(arm, ENTROPY_COLUMN), scale=1.0),
            )
            rows.append((f"lr {rate:g}, {method}", *numbers))
    seeds = ", ".join(map(str, data.study.tuning_seeds))
    return Table(
        name="solve_rate_by_learning_rate",
        title="The same at one learning rate for all",
        headers=("", "solve rate", "entropy"),
        rows=tuple(rows),
        notes=(f"Tuning runs, with seeds {seeds}, which have every learning rate.",),
    )


def _by_rate(data: StudyData) -> tuple[str, ...]:
    return present(data, (*OPTIMISED.values(), TZSM25))


def solve_rate_figure(data: StudyData, problems: int) -> Figure:
    """Solve rate and entropy against the training step, and how the solve rates differ."""
    figure = new_figure(13.0, 4.6)
    left, right, gaps = figure.subplots(1, 3)
    style_axes(left, "(a) Cumulative solve rate", "training step", _YLABELS[SOLVED])
    style_axes(right, "(b) Entropy", "training step", _YLABELS[ENTROPY_COLUMN])
    style_axes(gaps, "(c) Solve rate over k_opt=1's", "training step", "percentage points")
    methods = paper_methods(data)
    for axes, column in ((left, SOLVED), (right, ENTROPY_COLUMN)):
        for method in methods:
            _draw(axes, method, data.chosen(method), column)
    plain = OPTIMISED[1]
    for method in methods if plain in methods else ():
        arm = data.chosen(method)
        gaps_AS = drawn_series(arm, SOLVED) - drawn_series(data.chosen(plain), SOLVED)
        draw_curve(gaps, method, metric_steps(arm), gaps_AS)
    signed_points_axis(gaps.yaxis)
    for end in epoch_ends(problems, prompts_per_step(data), data.study.steps):
        for axes in (left, gaps):
            axes.axvline(end, color=MUTED, linestyle=":", linewidth=1.4)
    _finish(left, right)
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def rates_figure(data: StudyData) -> Figure:
    """A column of panels for each learning rate, from the tuning runs."""
    rates = data.study.learning_rates
    figure = new_figure(3.6 * len(rates) + 0.6, 6.2)
    grid = figure.subplots(2, len(rates), sharey="row", squeeze=False)
    methods = _by_rate(data)
    for place, (rate, (top, bottom)) in enumerate(zip(rates, grid.T)):
        style_axes(top, f"learning rate {rate:g}", "", "" if place else _YLABELS[SOLVED])
        style_axes(bottom, "", "training step", "" if place else _YLABELS[ENTROPY_COLUMN])
        for method, arm in arms_at(data, data.tuning, methods, rate).items():
            _draw(top, method, arm, SOLVED)
            _draw(bottom, method, arm, ENTROPY_COLUMN)
        _finish(top, bottom)
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def _draw(axes: Axes, method: str, arm: Arm, column: str) -> None:
    draw_curve(axes, method, metric_steps(arm), drawn_series(arm, column), seeds=True)


def _finish(solved: Axes, entropy: Axes) -> None:
    percent_axis(solved.yaxis, ".3g")
    solved.set_ylim(bottom=0.0)
    entropy.set_ylim(bottom=0.0)


def _chosen(data: StudyData, methods: Sequence[str]) -> str:
    return ", ".join(f"{m} {candidate_text(data, data.chosen(m).name)}" for m in methods)


def _drawing(data: StudyData, problems: int) -> Drawing:
    methods = paper_methods(data)
    return Drawing(
        name="figure6",
        title="Cumulative solve rate and entropy during training",
        caption=f"(a) The share of {problems} training problems for which a correct completion "
        "was ever sampled; dotted: the end of an epoch. (b) Entropy of the completions, averaged "
        f"over {window_of(data.study.steps)} steps. (c) The curves of (a) minus that of k_opt = 1, "
        "seed by seed. Mean over seeds, band: one standard error, "
        f"thin: single seeds. One policy a method, chosen over all k: {_chosen(data, methods)}.",
        alt="Three panels against the training step with a line for each of "
        f"{', '.join(methods)}: cumulative solve rate, entropy, and the solve rate over that of "
        "k_opt = 1.",
        figure=solve_rate_figure(data, problems),
    )


def _rates_drawing(data: StudyData) -> Drawing:
    return Drawing(
        name="figure6_by_learning_rate",
        title="The same at one learning rate for all",
        caption="From the tuning runs, which have every method at every learning rate. Mean over "
        f"the tuning seeds ({', '.join(map(str, data.study.tuning_seeds))}).",
        alt="For each learning rate a panel of the cumulative solve rate and one of the entropy "
        f"against the training step, with a line for each of {', '.join(_by_rate(data))}.",
        figure=rates_figure(data),
    )
