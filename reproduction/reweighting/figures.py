"""Drawings of `reweighting`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from pkpo.report.style import arm_style, legend_above, new_figure, style_axes

TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)

Panel = tuple[str, str, Mapping[str, np.ndarray], tuple[float, float], bool]
"""Title, y label, curves (m,) by label, y limits, whether y is logarithmic."""


def panels(p: np.ndarray, shown: Sequence[Panel]) -> Figure:
    """Panels side by side over the same p, the curves of one label alike in all.

    Labels are an objective, or one with its baseline after a comma: colours tell objectives
    apart, dashes the baseline loo_minus_one.

    Args:
        p: (m,) chances between 0 and 1.
        shown: from left to right.
    """
    figure = new_figure(max(10.6, 4.3 * len(shown)), 3.9)
    labels = list(dict.fromkeys(label for _, _, curves, _, _ in shown for label in curves))
    looks = _looks(labels)
    for place, (title, ylabel, curves, limits, logarithmic) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        style_axes(axes, title, "p, the chance of a correct sample", ylabel)
        for label, values in curves.items():
            axes.plot(p, values, linewidth=1.9, **looks[label])
        if logarithmic:
            axes.set_yscale("log")
        axes.set_ylim(*limits)
        chance_axis(axes, p)
    legend_above(figure, [Line2D([], [], linewidth=2.2, label=x, **looks[x]) for x in labels])
    return figure


def _looks(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    objectives = list(dict.fromkeys(label.split(", ")[0] for label in labels))
    return {
        label: {
            "color": arm_style(objectives.index(label.split(", ")[0])).color,
            "linestyle": "--" if label.endswith("loo_minus_one") else "-",
        }
        for label in labels
    }


def chance_axis(axes: Axes, p: np.ndarray) -> None:
    """A logit scale, on which both ends show."""
    axes.set_xscale("logit")
    axes.set_xlim(float(p[0]), float(p[-1]))
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
