"""Fig. 4 drawn: once as in the paper, once with the centred baseline; and by policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    legend_above,
    legend_inside,
    new_figure,
    style_axes,
)
from reproduction.figure4.estimators import CENTRED, MINUS_ONE, PAPER_METHODS, SLOO, Method
from reproduction.figure4.numbers import NS, K, Numbers
from reproduction.figure4.policies import SETTINGS, Setting

_ORDER = (*PAPER_METHODS, CENTRED)
_SHARES = np.linspace(0.01, 0.95, 95)


def variance_figure(numbers: Numbers, methods: Sequence[Method]) -> Figure:
    """Variance against n: exact lines, sampled markers with two standard errors."""
    figure = new_figure(8.6, 4.4)
    axes, legend = figure.subplots(1, 2, width_ratios=(1.75, 1.0))
    style_axes(
        axes, f"Variance of the gradient estimate, k = {K}", "samples n", "variance, log scale"
    )
    for method in methods:
        _draw_method(axes, numbers, method)
    axes.set_yscale("log")
    axes.set_xticks(NS)
    handles = [arm_handle(_ORDER.index(method), method.label) for method in methods]
    legend_inside(legend, handles)
    return figure


def _draw_method(axes: Axes, numbers: Numbers, method: Method) -> None:
    style = arm_style(_ORDER.index(method))
    ns = numbers.common(method)
    axes.plot(
        ns,
        [numbers.exact[method, n] for n in ns],
        color=style.color,
        linestyle=style.line,
        linewidth=1.4,
    )
    axes.errorbar(
        ns,
        [numbers.sampled[method, n].variance for n in ns],
        yerr=[2.0 * numbers.sampled[method, n].variance_error for n in ns],
        color=style.color,
        marker=style.marker,
        markersize=5.5,
        linestyle="",
        elinewidth=1.4,
    )


def policies_figure() -> Figure:
    """Variance over that of the centred baseline against p, one panel a setting."""
    figure = new_figure(8.6, 5.8)
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, setting in zip(grid.T.ravel(), sorted(SETTINGS, key=lambda s: s.policy)):
        _draw_setting(axes, setting)
    for axes in grid[0]:
        axes.set_xlabel("")
    for axes in grid[:, 1]:
        axes.set_ylabel("")
    handles = [
        arm_handle(_ORDER.index(method), name, marker=False)
        for method, name in ((SLOO, "s(loo)"), (MINUS_ONE, "s(loo-1)"))
    ]
    centred = Line2D([], [], color=BASE_GREY, linewidth=1.6, label="centred loo (ours)")
    legend_above(figure, [*handles, centred])
    return figure


def _draw_setting(axes: Axes, setting: Setting) -> None:
    style_axes(
        axes,
        f"{setting.policy}; k = {setting.k}",
        "chance p that a sample is correct",
        "variance / centred loo's",
    )
    found = [setting.variances(float(p)) for p in _SHARES]
    for method, baseline in zip((SLOO, MINUS_ONE), ("paper_loo", "loo_minus_one")):
        style = arm_style(_ORDER.index(method))
        ratios = [variances[baseline] / variances["loo"] for variances in found]
        axes.plot(_SHARES, ratios, color=style.color, linestyle=style.line, linewidth=2.0)
    axes.axhline(1.0, color=BASE_GREY, linewidth=1.6)
    axes.set_yscale("log")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.05, 20.0)
    axes.set_yticks([0.1, 0.3, 1.0, 3.0, 10.0], labels=["0.1", "0.3", "1", "3", "10"])
    axes.minorticks_off()
