"""Fig. 7 on a study: rolling pass@k_eval along training, by k_opt."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from pkpo.report.style import legend_above, new_figure, percent_axis, style_axes
from reproduction.measures import Measure, by_seed
from reproduction.results import Drawing, Result
from reproduction.studies.data import StudyData, load_data
from reproduction.studies.drawing import (
    draw_curve,
    last_mean,
    method_handle,
    smoothed,
    window_of,
)
from reproduction.studies.settings import K_VALUES, OPTIMISED, TZSM25
from reproduction.studies.tables import k_headers, measures_table
from reproduction.topics import Context

DRAWN = (*(OPTIMISED[k] for k in (1, 4, 8)), TZSM25)


def make(context: Context) -> Result:
    """The panels of the figure and the numbers at the end."""
    data = load_data(context.studies, "programs")
    ends = {method: [rolling(data, method, k) for k in K_VALUES] for method in data.present(DRAWN)}
    table = measures_table(
        ends,
        k_headers(),
        "Rolling pass@k at the end of training, one policy a method",
        ("Training batches, per cent, mean over the last tenth of the steps, ± standard error.",),
        bold_from=0,
    )
    measures = {
        f"programs {method} rolling pass@{k}": measure
        for method, row in ends.items()
        for k, measure in zip(K_VALUES, row)
    }
    return Result(measures, {"rolling": table}, (_drawing(data),), (), {"study": data.name})


def rolling(data: StudyData, method: str, k: int) -> Measure:
    """The training batches' mean pass@k over the last tenth of the steps, by seed."""
    arm = data.chosen(method)
    return by_seed(last_mean(arm.curves[f"pass@{k}"]), arm.setting)


def rolling_figure(
    data: StudyData, methods: Sequence[str], ks: Sequence[int], columns: int
) -> Figure:
    """A panel for each k: pass@k of the training batches, a moving average."""
    rows = -(-len(ks) // columns)
    figure = new_figure(3.4 * columns + 0.6, 2.9 * rows + 0.6)
    methods = data.present(methods)
    for axes, k in zip(figure.subplots(rows, columns, squeeze=False).ravel(), ks):
        style_axes(axes, f"k_eval = {k}", "training step", f"pass@{k}, training batches")
        for method in methods:
            arm = data.chosen(method)
            values = smoothed(arm.curves[f"pass@{k}"], window_of(data.steps))
            draw_curve(axes, method, arm.steps, values)
        percent_axis(axes.yaxis, ".3g")
    legend_above(figure, [method_handle(method) for method in methods])
    return figure


def _drawing(data: StudyData) -> Drawing:
    chosen = ", ".join(f"{m} {data.chosen(m).setting}" for m in data.present(DRAWN))
    return Drawing(
        name="figure7",
        title="Rolling pass@k during training",
        caption="pass@k_eval of the training batches, averaged over "
        f"{window_of(data.steps)} steps; mean over seeds, band: one standard error. One policy a "
        f"method, chosen over all k: {chosen}.",
        alt="Six panels, for k_eval = 1, 2, 4, 8, 12 and 16, of rolling pass@k against the "
        f"training step, with a line for each of {', '.join(data.present(DRAWN))}.",
        figure=rolling_figure(data, DRAWN, K_VALUES, 3),
    )
