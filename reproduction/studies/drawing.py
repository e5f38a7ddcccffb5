"""How a study's methods are drawn: the same look of each in every figure, and its curves.

Axis suffixes: A seeds, S rows of the curves, C evaluations during training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pkpo.errors import InvalidInputError
from pkpo.report.style import (
    ArmStyle,
    arm_handle,
    arm_style,
    literal,
    mean_and_error,
    signed_points_axis,
)
from pkpo.report.style import k_axis as log_k_axis
from reproduction.measures import Measure
from reproduction.studies.data import BIN
from reproduction.studies.settings import BEYOND_METHODS, K_VALUES, NO_BASELINE, PAPER_METHODS

_BEYOND = [method.label for method in BEYOND_METHODS]
_STYLED = (
    *(method.label for method in PAPER_METHODS),
    NO_BASELINE.label,
    # Colours repeat after seven: those of figures' neighbours differ.
    *(_BEYOND[place] for place in (0, 2, 1, 3, 4)),
)


def method_style(method: str) -> ArmStyle:
    """The look of a method, the same in every figure."""
    return arm_style(_place(method))


def method_handle(method: str, *, marker: bool = False) -> Line2D:
    """The legend entry of a method."""
    return arm_handle(_place(method), method, marker=marker)


def _place(method: str) -> int:
    if method not in _STYLED:
        raise InvalidInputError(f"no method {method!r}; methods: {', '.join(_STYLED)}")
    return _STYLED.index(method)


def window_of(steps: int, share: float = 0.05) -> int:
    """Training steps that are averaged in a drawn curve: about `share` of all, whole rows."""
    return BIN * (max(1, round(share * steps / BIN)) | 1)


def smoothed(series_AS: np.ndarray, window: int) -> np.ndarray:
    """Each row averaged over `window` training steps around each; fewer at both ends."""
    half = window // BIN // 2
    count = series_AS.shape[1]
    return np.stack(
        [series_AS[:, max(0, i - half) : i + half + 1].mean(axis=1) for i in range(count)], axis=1
    )


def last_mean(series_AS: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Means (A,) over the last `share` of the rows, at least one."""
    count = max(1, round(share * series_AS.shape[1]))
    return series_AS[:, -count:].mean(axis=1)


def first_mean(series_AS: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Means (A,) over the first `share` of the rows, at least one."""
    count = max(1, round(share * series_AS.shape[1]))
    return series_AS[:, :count].mean(axis=1)


def draw_curve(axes: Axes, method: str, steps: np.ndarray, values_AS: np.ndarray) -> None:
    """The mean over seeds with a band of its standard error."""
    style = method_style(method)
    mean, error = mean_and_error(list(values_AS))
    if error is not None:
        low, high = mean - error, mean + error
        axes.fill_between(steps, low, high, color=style.color, alpha=0.15, linewidth=0)
    axes.plot(steps, mean, color=style.color, linestyle=style.line, linewidth=2.0)


def draw_validation(axes: Axes, method: str, steps_C: np.ndarray, values_AC: np.ndarray) -> None:
    """Evaluations during training: mean over seeds and its standard error, joined by a line."""
    mean, error = mean_and_error(list(values_AC))
    axes.errorbar(steps_C, mean, yerr=error, elinewidth=1.2, **look(method))


def draw_gaps(axes: Axes, method: str, gaps: Mapping[int, Measure]) -> None:
    """Differences against k, with their standard errors."""
    means = [gap.value for gap in gaps.values()]
    errors = [gap.error if np.isfinite(gap.error) else 0.0 for gap in gaps.values()]
    axes.errorbar(list(gaps), means, yerr=errors, elinewidth=1.2, **look(method))


def look(method: str) -> dict:
    """Keywords of matplotlib for a method's line with markers."""
    style = method_style(method)
    return {
        "color": style.color,
        "linestyle": style.line,
        "marker": style.marker,
        "markersize": 5.0,
        "linewidth": 1.8,
    }


def k_axis(axes: Axes, ks: Sequence[int] = K_VALUES) -> None:
    """k in doublings along x, signed points along y."""
    log_k_axis(axes, ks)
    signed_points_axis(axes.yaxis)


def name_lines(axes: Axes, ends: Mapping[str, float]) -> None:
    """The names of methods at the right of a panel, each beside its line's end, none on another.

    Args:
        axes: with its limits set.
        ends: by method, where its line ends.
    """
    low, high = axes.get_ylim()
    room = 0.055 * (high - low)
    place = -np.inf
    for method, end in sorted(ends.items(), key=lambda pair: pair[1]):
        place = max(end, place + room)
        axes.annotate(
            literal(method),
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=method_style(method).color,
            annotation_clip=False,
        )
