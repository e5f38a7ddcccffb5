"""Fig. 8 and Tables 5 and 6 on ARC-AGI-1's easy tasks, by programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.report.style import (
    BASE_GREY,
    legend_above,
    mean_and_error,
    new_figure,
    percent_axis,
    style_axes,
)
from pkpo.tables import Table
from reproduction.arc_drawing import puzzles_drawing
from reproduction.figure6 import at_share
from reproduction.figure7 import rolling, rolling_figure
from reproduction.measures import Measure, by_seed
from reproduction.results import Drawing, Result
from reproduction.studies.controls import KINDS, Kind
from reproduction.studies.data import SOLVED, WARM_START, StudyData, load_data
from reproduction.studies.drawing import draw_curve, method_handle, window_of
from reproduction.studies.settings import K_VALUES, OPTIMISED
from reproduction.studies.tables import candidates_table, number, one_policy_table, percent
from reproduction.tables import tuning_measures
from reproduction.topics import Context

FIGURE_8 = tuple(OPTIMISED[k] for k in (1, 4, 8))
ROLLING_KS = (1, 4, 8, 16)
SAMPLERS = {"frozen": "warm start, frozen", "uniform": "uniform sampler"}
_DASHES = dict(zip(KINDS, ("--", ":")))


def make(context: Context) -> Result:
    """The columns of Tables 5 and 6, the curves of Fig. 8, and samplers that don't learn."""
    data = load_data(context.studies, "arc")
    measures = data.measures(data.methods) | tuning_measures(data)
    kinds: list[Kind] = [kind for kind in KINDS if kind in data.record.get("controls", {})]
    for kind in kinds:
        measures[f"arc {SAMPLERS[kind]} solved"] = by_seed(data.control(kind)[:, -1])
    for method in data.methods:
        arm = data.chosen(method)
        half, most = at_share(arm, SOLVED, 0.5), at_share(arm, SOLVED, 1.0)
        measures[f"arc {method} solved at 50 %"] = half
        late = np.subtract(most.values, at_share(arm, SOLVED, 0.75).values)
        share = by_seed(late / np.maximum(most.values, 1e-12), arm.setting)
        measures[f"arc {method} share of the last quarter"] = share
        for k in K_VALUES:
            measures[f"arc {method} rolling pass@{k}"] = rolling(data, method, k)
    title = data.title
    return Result(
        measures,
        {
            "results": _results_table(data, measures, kinds),
            "one_policy": one_policy_table(data, data.methods, f"{title}: pass@k at every k"),
            "candidates": candidates_table(data, data.methods, f"{title}: all candidates"),
        },
        (puzzles_drawing(), *_drawings(data, kinds)),
        (
            f"{title} stands for {data.record['stands_for']}. One policy a method, chosen over all "
            "k on validation problems.",
            *_passes(data),
        ),
        {"study": "arc"},
    )


def _passes(data: StudyData) -> list[str]:
    count = data.record["train_problems"]
    passes = data.steps * data.record["config"]["training"]["prompts_per_step"] / count
    return [
        f"Training goes {passes:.1f} times through its problems; in the first pass every step "
        "brings new ones, so that the cumulative solve rate rises even for a policy that does "
        "not learn."
    ]


def _results_table(data: StudyData, measures: dict[str, Measure], kinds: Sequence[Kind]) -> Table:
    def cell(row: str, name: str) -> str:
        found = measures.get(f"arc {row} {name}")
        return "-" if found is None else percent(found)

    columns = ("solved", "pass@1", "pass@16", "solved at 50 %")
    columns += ("share of the last quarter",)
    rows = []
    for row in (WARM_START, *data.methods, *(SAMPLERS[kind] for kind in kinds)):
        trained = row in data.methods
        entropy = number(data.end(row, "entropy")) if trained and data.has("entropy") else "-"
        setting = data.chosen(row).setting if trained else "-"
        rows.append((row, *(cell(row, name) for name in columns), entropy, setting))
    headers = ("", "cumulative solve rate", "test pass@1", "test pass@16", "solved after half")
    headers += ("share that the last quarter brings", "entropy, nats", "chosen")
    note = "Per cent, mean ± standard error over seeds. The paper trains to saturation instead."
    words = frozenset({0, len(headers) - 1})
    return Table(headers, tuple(rows), (note,), "The columns of Tables 5 and 6", words=words)


def _solved_figure(data: StudyData, kinds: Sequence[Kind]) -> Figure:
    figure = new_figure(10.4, 4.4)
    left, right = figure.subplots(1, 2, sharey=True)
    others = [method for method in data.methods if method not in FIGURE_8]
    style_axes(left, "Trained for k", "training step", "training problems ever solved")
    style_axes(right, "Other methods, and k_opt=8 again", "training step")
    _draw_solved(left, data, data.present(FIGURE_8), kinds)
    _draw_solved(right, data, [*others, *data.present(FIGURE_8[-1:])], kinds)
    percent_axis(left.yaxis, ".3g")
    left.set_ylim(bottom=0.0)
    handles = [method_handle(method) for method in data.methods]
    handles += [
        Line2D([], [], color=BASE_GREY, linestyle=_DASHES[kind], label=SAMPLERS[kind])
        for kind in kinds
    ]
    legend_above(figure, handles)
    return figure


def _draw_solved(
    axes: Axes, data: StudyData, methods: Sequence[str], kinds: Sequence[Kind]
) -> None:
    steps = next(iter(data.arms.values())).steps
    for kind in kinds:
        mean, _ = mean_and_error(list(data.control(kind)))
        axes.plot(steps, mean, color=BASE_GREY, linestyle=_DASHES[kind], linewidth=2.0)
    for method in methods:
        draw_curve(axes, method, steps, data.chosen(method).curves[SOLVED])


def _drawings(data: StudyData, kinds: Sequence[Kind]) -> tuple[Drawing, Drawing]:
    return (
        Drawing(
            name="figure8",
            title="Fig. 8: rolling pass@k on ARC-AGI-1",
            caption="pass@k of the training batches, averaged over "
            f"{window_of(data.steps)} steps: mean over seeds with a band of one standard error.",
            alt="Four panels over training steps, pass@1, pass@4, pass@8 and pass@16, with a "
            "line for each of k_opt = 1, 4 and 8.",
            figure=rolling_figure(data, FIGURE_8, ROLLING_KS, 4),
        ),
        Drawing(
            name="solve_rate",
            title=f"{data.title}: training problems ever solved",
            caption="Share of the training problems that had a correct sample at this step or "
            "before: mean over seeds with a band of one standard error. Grey: samplers that don't "
            "learn, with as many samples of the same problems.",
            alt="Two panels over training steps with a rising line for each method and grey "
            "lines for the samplers that don't learn.",
            figure=_solved_figure(data, kinds),
        ),
    )
