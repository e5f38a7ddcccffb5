"""Tables 1-4, 7 and 8 on three studies: trained for k, measured at k."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pkpo.report.style import BASE_GREY, base_handle, legend_above, new_figure, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed
from reproduction.paper_tables import K_EVAL, paper_tables
from reproduction.results import Drawing, Result
from reproduction.studies.data import WARM_START, StudyData, load_data
from reproduction.studies.drawing import draw_gaps, k_axis, look, method_handle
from reproduction.studies.run import over_seeds
from reproduction.studies.settings import (
    ENTROPY,
    K_VALUES,
    NO_BASELINE,
    OPTIMISED,
    PAPER_METHODS,
    TZSM25,
)
from reproduction.studies.tables import (
    HELD_OUT,
    candidates_table,
    k_headers,
    measures_table,
    one_policy_table,
    points,
)
from reproduction.topics import Context

STUDIES = ("countdown", "programs", "programs-parts")
BENCHMARKS = {"countdown": "MATH", "programs": "MATH", "programs-parts": "Coding"}
"""By study, the paper's benchmark that it stands for."""

ONE, FOUR, EIGHT = (OPTIMISED[k] for k in (1, 4, 8))
ROWS = {**{m: m for m in OPTIMISED.values()}, TZSM25: "[TZSM25]", ENTROPY: ENTROPY}
"""The paper's rows by our methods."""


def make(context: Context) -> Result:
    """The tables of each study, drawn beside the paper's."""
    measures: dict[str, Measure] = {}
    tables: dict[str, Table] = {}
    drawings: list[Drawing] = []
    notes = []
    for name in STUDIES:
        data = load_data(context.studies, name)
        methods = data.present([*(m.label for m in PAPER_METHODS), NO_BASELINE.label])
        measures |= study_measures(data)
        tables |= _tables(data, methods)
        drawings += _drawings(data, methods)
        notes.append(f"{data.title} stands for {data.record['stands_for']}.")
    return Result(measures, tables, tuple(drawings), tuple(notes), {"studies": list(STUDIES)})


def study_measures(data: StudyData) -> dict[str, Measure]:
    """Held-out pass@k of every method, and what claims compare besides."""
    found = data.measures(data.methods)
    for k in K_VALUES[1:]:
        own = OPTIMISED[min(k, 8)]
        if data.present([own, ONE, TZSM25]) != (own, ONE, TZSM25):
            continue
        mine = data.end(own, f"pass@{k}")
        rivals = [data.end(method, f"pass@{k}") for method in (ONE, TZSM25)]
        found[f"{data.name} over k_opt=1 at pass@{k}"] = mine.minus(rivals[0])
        better = max(rivals, key=lambda measure: measure.value)
        found[f"{data.name} over k_opt=1 and n at pass@{k}"] = mine.minus(better)
        if FOUR in data.methods:
            gain = data.end(EIGHT, f"pass@{k}").minus(data.end(FOUR, f"pass@{k}"))
            found[f"{data.name} k_opt=8 over 4 at pass@{k}"] = gain
    return found | tuning_measures(data)


def tuning_measures(data: StudyData) -> dict[str, Measure]:
    """What the worst entropy coefficient loses against k_opt = 1, by tuning seed, each at its best
    learning rate, in validation pass@k averaged over all k."""
    if data.present([ONE, ENTROPY]) != (ONE, ENTROPY):
        return {}
    worst = min(coefficients(data).values(), key=lambda values: float(values.mean()))
    plain = _over_k(data, data.choices[ONE])
    return {f"{data.name} worst entropy coefficient loses": by_seed(plain - worst)}


def coefficients(data: StudyData) -> dict[float, np.ndarray]:
    """By entropy coefficient, validation pass@k averaged over k, by tuning seed, of the learning
    rate where it is highest."""
    found: dict[float, np.ndarray] = {}
    for arm in data.record["methods"][ENTROPY]:
        coef, values = data.record["arms"][arm]["entropy_coef"], _over_k(data, arm)
        if coef not in found or values.mean() > found[coef].mean():
            found[coef] = values
    return found


def _over_k(data: StudyData, arm: str) -> np.ndarray:
    return np.array([np.mean(list(at_k.values())) for at_k in data.scores[arm].values()])


def printed(benchmark: str) -> dict[str, dict[str, list[float]]]:
    """The paper's means in per cent by table and row, of the tables with a column for each k."""
    return {
        f"Table {table.number}: {table.model}": {
            row: [cell.mean for cell in cells] for row, cells in table.rows.items()
        }
        for table in paper_tables()
        if table.benchmark == benchmark and table.has_every_k
    }


def _tables(data: StudyData, methods: tuple[str, ...]) -> dict[str, Table]:
    title, name = data.title, data.name
    tables = {
        f"{name}-one_policy": one_policy_table(data, methods, f"{title}: one policy a method"),
        f"{name}-candidates": candidates_table(data, methods, f"{title}: all candidates"),
        f"{name}-beside": _beside_table(data),
    }
    if data.has("max@1"):
        rows = {m: [data.end(m, f"max@{k}") for k in K_VALUES] for m in (WARM_START, *methods)}
        heading = f"{title}: max@k of the reward, one policy a method"
        tables[f"{name}-max_at_k"] = measures_table(
            rows, k_headers(), heading, (HELD_OUT,), bold_from=1
        )
    if ENTROPY in methods:
        scores = over_seeds(data.scores[data.choices[ONE]])
        rows = [(f"none ({ONE})", f"{100 * np.mean(list(scores.values())):.1f}")]
        rows += [(f"{c:g}", f"{100 * v.mean():.1f}") for c, v in coefficients(data).items()]
        tables[f"{name}-entropy_coefficients"] = Table(
            ("coefficient", "mean of pass@k"),
            tuple(rows),
            ("Validation problems, per cent, mean over tuning seeds, at the best learning rate.",),
            f"{title}: the entropy bonus by coefficient",
        )
    return tables


def _beside_table(data: StudyData) -> Table:
    """What each method has over k_opt = 1 at each k, in the paper's tables and here."""
    rows = []
    for method in data.present(m for m in ROWS if m != ONE):
        for title, paper in printed(BENCHMARKS[data.name]).items():
            gains = np.subtract(paper[ROWS[method]], paper[ONE])
            rows.append((f"{method}, {title.split(':')[0]}", *(f"{g:+.1f}" for g in gains)))
        ours = [points(gap) for k, gap in _gaps(data, method, ONE).items() if k in K_EVAL]
        rows.append((f"{method}, here", *ours))
    return Table(
        ("", *(f"k_eval={k}" for k in K_EVAL)),
        tuple(rows),
        ("Percentage points over k_opt = 1; the paper prints no error of differences.",),
        f"{data.title}: over k_opt = 1, the paper and here",
    )


def _gaps(data: StudyData, method: str, other: str) -> dict[int, Measure]:
    return {k: data.end(method, f"pass@{k}").minus(data.end(other, f"pass@{k}")) for k in K_VALUES}


def _drawings(data: StudyData, methods: tuple[str, ...]) -> list[Drawing]:
    gains = Drawing(
        name=f"{data.name}-gains",
        title=f"{data.title}: pass@k against k_eval",
        caption="Held-out pass@k, each method's candidate chosen over all k on validation "
        "problems. Means of paired differences over seeds, bars: one standard error. On the right "
        "the line of the method with k_opt = k_eval should be the highest at its k.",
        alt=f"Two panels against k_eval with a line for each of {', '.join(methods)}: points over "
        "the warm start and points over k_opt = 1.",
        figure=_gains_figure(data, methods),
    )
    beside = Drawing(
        name=f"{data.name}-beside_paper",
        title=f"{data.title}: points over k_opt = 1, the paper's tables and here",
        caption="The paper's printed means, each panel on its own scale, and ours with one "
        "policy a method. Bars (ours): one standard error of the paired "
        "difference.",
        alt="A panel for each of the paper's tables and one for this study, with points over "
        "k_opt = 1 against k_eval for each method.",
        figure=_beside_figure(data),
    )
    return [gains, beside]


def _gains_figure(data: StudyData, methods: tuple[str, ...]) -> Figure:
    figure = new_figure(9.6, 4.6)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Points over the warm start", "k_eval", "pass@k, percentage points")
    style_axes(right, "Points over k_opt=1", "k_eval")
    for axes, other in ((left, WARM_START), (right, ONE)):
        for method in methods:
            draw_gaps(axes, method, _gaps(data, method, other))
        k_axis(axes)
    left.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=2.0)
    legend_above(
        figure, [base_handle(WARM_START), *(method_handle(m, marker=True) for m in methods)]
    )
    return figure


def _beside_figure(data: StudyData) -> Figure:
    """Every panel has a scale of its own: ours would flatten the paper's."""
    papers: Mapping[str, Mapping[str, list[float]]] = printed(BENCHMARKS[data.name])
    figure = new_figure(9.6, 7.0)
    panels = figure.subplots(2, 2).ravel()
    methods = data.present(ROWS)
    for axes, (title, paper) in zip(panels, papers.items()):
        style_axes(axes, title, "k_eval")
        for method in methods:
            gains = np.subtract(paper[ROWS[method]], paper[ONE]) / 100
            axes.plot(K_EVAL, gains, **look(method))
    style_axes(panels[-1], f"Here: {data.name}", "k_eval")
    for method in methods:
        draw_gaps(panels[-1], method, _gaps(data, method, ONE))
    for axes in panels:
        k_axis(axes, K_EVAL)
        axes.set_ylabel("points over k_opt=1", fontsize=9.5)
    legend_above(figure, [method_handle(m, marker=True) for m in methods])
    return figure
