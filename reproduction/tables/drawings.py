"""A study's pass@k against k_eval, and the paper's tables drawn the same way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import (
    BASE_GREY,
    base_handle,
    legend_above,
    new_figure,
    signed_points_axis,
    style_axes,
)
from reproduction.comparing import difference
from reproduction.paper.values import K_EVAL, PaperTable
from reproduction.studies.curves import method_handle, method_style
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import OPTIMISED, WARM_START, present
from reproduction.tables.paper import ROWS, paper_gains

_PLAIN = OPTIMISED[1]


def gains_figure(data: StudyData, methods: Sequence[str]) -> Figure:
    """Points over the warm start, and over k_opt = 1, against k_eval."""
    figure = new_figure(9.6, 4.6)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Points over the warm start", "k_eval", "pass@k, percentage points")
    style_axes(right, "Points over k_opt=1", "k_eval")
    for method in methods:
        _draw(left, data, method, None)
    for method in methods if _PLAIN in data.choices else ():
        _draw(right, data, method, _PLAIN)
    for axes in (left, right):
        _k_axis(axes, K_VALUES)
    left.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=2.0)
    handles = [base_handle(WARM_START), *(method_handle(m, marker=True) for m in methods)]
    legend_above(figure, handles)
    return figure


def paper_figure(data: StudyData, papers: Sequence[PaperTable]) -> Figure:
    """Points over k_opt = 1 against k_eval: a panel for each table of the paper, and ours."""
    figure = new_figure(11.0, 3.9)
    panels = figure.subplots(1, len(papers) + 1, sharey=True)
    methods = present(data, ROWS)
    for axes, paper in zip(panels, papers):
        style_axes(axes, f"Table {paper.number}: {paper.model}", "k_eval")
        for method in methods:
            style = method_style(method)
            axes.plot(K_EVAL, paper_gains(paper, method), **_look(style))
        _k_axis(axes, K_EVAL)
    style_axes(panels[-1], f"Here: {data.study.name}", "k_eval")
    for method in methods:
        _draw(panels[-1], data, method, _PLAIN)
    _k_axis(panels[-1], K_EVAL)
    panels[0].set_ylabel("points over k_opt=1", fontsize=9.5)
    legend_above(figure, [method_handle(m, marker=True) for m in methods])
    return figure


def _draw(axes: Axes, data: StudyData, method: str, other: str | None) -> None:
    """A method's paired differences with their standard errors."""
    gaps = [
        difference(
            data.scores(method, k, for_k=True),
            data.base(k) if other is None else data.scores(other, k, for_k=True),
        )
        for k in K_VALUES
    ]
    errors = np.nan_to_num([gap.standard_error for gap in gaps])
    style = method_style(method)
    axes.errorbar(K_VALUES, [gap.mean for gap in gaps], yerr=errors, elinewidth=1.2, **_look(style))


def _look(style) -> dict:
    return {
        "color": style.color,
        "linestyle": style.line,
        "marker": style.marker,
        "markersize": 5.0,
        "linewidth": 1.8,
    }


def _k_axis(axes: Axes, ks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(ks), labels=[str(k) for k in ks])
    axes.minorticks_off()
    signed_points_axis(axes.yaxis)
