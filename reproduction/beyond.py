"""Methods that the papers don't have against the paper's best setting, k by k."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from pkpo.report.style import BASE_GREY, new_figure, signed_points_axis, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure
from reproduction.results import Drawing, Result
from reproduction.studies.data import StudyData, load_data
from reproduction.studies.drawing import k_axis, method_style
from reproduction.studies.run import over_seeds
from reproduction.studies.settings import (
    ANNEALED,
    BEYOND_METHODS,
    CENTRED,
    K_VALUES,
    OPTIMISED,
)
from reproduction.studies.tables import (
    candidates_table,
    k_headers,
    measures_table,
    one_policy_table,
    points,
)
from reproduction.topics import Context

PAPER_SETTINGS = (*OPTIMISED.values(), ANNEALED)
"""What the paper proposes: k_opt = k, k_opt = 1 for pass@1, and annealing."""

METHODS = tuple(method.label for method in BEYOND_METHODS)


def make(context: Context) -> Result:
    """Each method over the paper's best setting at each k, and the two baselines of max@k."""
    data = load_data(context.studies, "programs")
    ours, papers = data.present(METHODS), data.present(PAPER_SETTINGS)
    leads = {method: over_best(data, method) for method in ours}
    centred = {
        label: {k: _gap(data, label, OPTIMISED[trained], k) for k in K_VALUES}
        for trained, label in CENTRED.items()
        if data.present([label, OPTIMISED[trained]]) == (label, OPTIMISED[trained])
    }
    measures = {
        f"programs {method} over the paper's best at pass@{k}": gap
        for method, gaps in leads.items()
        for k, gap in gaps.items()
    } | {
        f"programs {method} over eq. (33) at pass@{k}": gap
        for method, gaps in centred.items()
        for k, gap in gaps.items()
    }
    title = data.title
    note = "Points of held-out pass@k, paired by seed, ± standard error."
    chosen = ", ".join(f"{paper_best(data, k)} at {k}" for k in K_VALUES)
    return Result(
        measures,
        {
            "over_best": _gaps_table(leads, f"{title}: over the paper's best setting", note),
            "baselines": _gaps_table(centred, f"{title}: centred baseline over eq. (33)", note),
            "one_policy": one_policy_table(data, (*papers, *ours), f"{title}: one policy a method"),
            "candidates": candidates_table(data, ours, f"{title}: all candidates"),
        },
        (
            _drawing("over_best", "the paper's best setting", leads),
            _drawing("baselines", "the baseline of eq. (33)", centred),
        ),
        (
            "All methods have the same samples a step, steps, learning rates to choose among and "
            f"seeds. The paper's best setting, by validation for each k: {chosen}.",
        ),
        {"study": data.name},
    )


def paper_best(data: StudyData, k: int) -> str:
    """Of the paper's settings, the one with the highest validation pass@k in the tuning runs."""
    return max(
        data.present(PAPER_SETTINGS),
        key=lambda method: over_seeds(data.scores[data.choices[method]])[k],
    )


def over_best(data: StudyData, method: str) -> dict[int, Measure]:
    """Held-out pass@k of a method minus that of `paper_best`, by k."""
    return {k: _gap(data, method, paper_best(data, k), k) for k in K_VALUES}


def _gap(data: StudyData, first: str, second: str, k: int) -> Measure:
    return data.end(first, f"pass@{k}").minus(data.end(second, f"pass@{k}"))


def _gaps_table(gaps: Mapping[str, Mapping[int, Measure]], title: str, note: str) -> Table:
    rows = {method: list(by_k.values()) for method, by_k in gaps.items()}
    return measures_table(rows, k_headers(), title, (note,), text=points)


def _figure(gaps: Mapping[str, Mapping[int, Measure]], over: str) -> Figure:
    figure = new_figure(1.2 + 2.4 * max(1, len(gaps)), 3.4)
    grid = figure.subplots(1, max(1, len(gaps)), sharey=True, squeeze=False)[0]
    for axes, (method, found) in zip(grid, gaps.items()):
        style_axes(axes, method, "k_eval")
        color = method_style(method).color
        axes.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=1.6)
        values = [gap.value for gap in found.values()]
        axes.plot(list(found), values, color=color, linewidth=1.0, alpha=0.5)
        for k, gap in found.items():
            width = stats.t.ppf(0.975, max(gap.degrees, 1)) * gap.error
            face = color if abs(gap.value) > width else "white"
            bar = width if np.isfinite(width) else None
            look = {"color": color, "marker": "o", "markersize": 6.0, "markerfacecolor": face}
            axes.errorbar(k, gap.value, yerr=bar, elinewidth=1.4, capsize=3.0, **look)
        k_axis(axes)
    grid[0].set_ylabel(f"points over {over}", fontsize=9.5)
    signed_points_axis(grid[0].yaxis)
    return figure


def _drawing(name: str, over: str, gaps: Mapping[str, Mapping[int, Measure]]) -> Drawing:
    return Drawing(
        name=name,
        title=f"Points over {over}",
        caption="Means of paired differences over seeds in held-out pass@k with 95 % intervals; "
        "filled where the interval lies on one side of zero. A method's candidate is chosen on "
        "validation problems over all k, the paper's setting for each k.",
        alt="A panel for each method with points and intervals against k_eval, and a dashed line "
        "at zero.",
        figure=_figure(gaps, over),
    )
