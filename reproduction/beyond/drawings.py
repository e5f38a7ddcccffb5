"""Drawings of `beyond`: differences with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import BASE_GREY, new_figure, signed_points_axis, style_axes
from reproduction.beyond.numbers import CENTRED, centred_gaps, gaps
from reproduction.comparing import Difference
from reproduction.studies.curves import method_style
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES


def gaps_figure(data: StudyData, methods: Sequence[str]) -> Figure:
    """A panel a method: its lead over the paper's best setting against k_eval."""
    return _panels({m: (m, gaps(data, m)) for m in methods}, "over the paper's best setting")


def centred_figure(data: StudyData, ks: Sequence[int]) -> Figure:
    """A panel for each k: the centred baseline over that of eq. (33) against k_eval."""
    shown = {f"max@{k}: centred loo": (CENTRED[k], centred_gaps(data, k)) for k in ks}
    return _panels(shown, "over the baseline of eq. (33)")


def _panels(shown: Mapping[str, tuple[str, Mapping[int, Difference]]], over: str) -> Figure:
    """Panels side by side.

    Args:
        shown: by title, the method that gives the look, and its differences by k.
        over: what they are over.
    """
    figure = new_figure(1.2 + 2.4 * len(shown), 3.4)
    grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (title, (method, found)) in zip(grid, shown.items()):
        style_axes(axes, title, "k_eval")
        _draw(axes, method, found)
    grid[0].set_ylabel(f"points {over}", fontsize=9.5)
    signed_points_axis(grid[0].yaxis)
    return figure


def _draw(axes: Axes, method: str, found: Mapping[int, Difference]) -> None:
    """Filled where the interval lies on one side of zero."""
    style = method_style(method)
    axes.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=1.6)
    means = [gap.mean for gap in found.values()]
    axes.plot(list(found), means, color=style.color, linewidth=1.0, alpha=0.5)
    for k, gap in found.items():
        beyond = gap.above or gap.below
        axes.errorbar(
            k,
            gap.mean,
            yerr=gap.half_width if np.isfinite(gap.half_width) else None,
            color=style.color,
            marker="o",
            markersize=6.0,
            markerfacecolor=style.color if beyond else "white",
            elinewidth=1.4,
            capsize=3.0,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(K_VALUES), labels=[str(k) for k in K_VALUES])
    axes.minorticks_off()
