"""pass@k of a sweep's settings, with error bars."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import (
    arm_handle,
    arm_style,
    legend_above,
    literal,
    new_figure,
    percent_axis,
    say_empty,
    style_axes,
)
from pkpo.report.sweep_load import ArmResult, SweepResults, setting_texts, short_names

_SPREAD = 0.5
_INCHES_PER_LETTER, _NARROWEST, _WIDEST = 0.085, 2.4, 12.0
_WIDE = 4.0
"""Panels wider than this stand below one another."""


def sweep_figure(results: SweepResults) -> Figure:
    """Validation pass@k at the least, a middle and the largest k, one panel each.

    Cells stand side by side in the order of the grid, arms beside one another in each; bars
    are one standard error over seeds.
    """
    labels = list(dict.fromkeys(row.label for row in results.rows))
    ticks = {row.label: setting_texts(results, row) for row in results.rows}
    ks = sorted({results.ks[i] for i in (0, len(results.ks) // 2, -1)} if results.ks else ())
    letters = sum(2 + max((len(text) for text in texts), default=0) for texts in ticks.values())
    panel = min(_WIDEST, max(_NARROWEST, _INCHES_PER_LETTER * letters))
    number, wide = max(1, len(ks)), panel > _WIDE
    size = (1.2 + panel, 1.0 + 2.6 * number) if wide else (1.2 + number * (0.8 + panel), 4.2)
    figure = new_figure(*size)
    arms = list(dict.fromkeys(row.arm for row in results.rows))
    panels = figure.subplots(*((number, 1) if wide else (1, number)), squeeze=False).flatten()
    for axes, k in zip(panels, ks):
        style_axes(axes, f"pass@{k}, validation", ", ".join(short_names(results.paths)))
        for index, arm in enumerate(arms):
            offset = _SPREAD * ((index + 0.5) / len(arms) - 0.5)
            _draw(axes, [row for row in results.rows if row.arm == arm], labels, k, index, offset)
        crowded = _INCHES_PER_LETTER * letters > panel
        axes.set_xticks(
            range(len(labels)),
            [literal((", " if crowded else "\n").join(ticks[label])) for label in labels],
            rotation=90 if crowded else 0,
        )
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(0.0, 1.06 * axes.get_ylim()[1])
        percent_axis(axes.yaxis, ".3g")
    if not ks:
        style_axes(panels[0], "pass@k, validation")
        say_empty(panels[0], "no run has finished yet")
    legend_above(figure, [arm_handle(index, arm) for index, arm in enumerate(arms)])
    return figure


def _draw(
    axes: Axes, rows: list[ArmResult], labels: list[str], k: int, index: int, offset: float
) -> None:
    found = [(row.label, value) for row in rows if (value := row.pass_at_k("validation", k))]
    style = arm_style(index)
    axes.errorbar(
        [labels.index(label) + offset for label, _ in found],
        [value.mean for _, value in found],
        yerr=np.array([value.standard_error or 0.0 for _, value in found]),
        fmt=style.marker,
        color=style.color,
        markersize=6,
        elinewidth=1.6,
        capsize=3,
    )
