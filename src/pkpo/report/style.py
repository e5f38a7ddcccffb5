"""The common look of the figures. Uses matplotlib's objects only, never its global state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

DPI = 160
_MOST_TICKS = 12
INK, MUTED, GRID, BASE_GREY = "#1f2328", "#57606a", "#e4e7eb", "#6e7781"

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4B3F72")
"""Okabe and Ito's colour-blind-safe colours, those that read well on white, and a violet."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 9.5, "labelcolor": INK}
DASHES = ("-", "-.", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class ArmStyle:
    """How one arm looks in every figure."""

    color: str
    marker: str
    line: Any


def arm_style(index: int) -> ArmStyle:
    """The style of the arm at `index` in the run's order; colours repeat with other dashes."""
    turn, place = divmod(index, len(PALETTE))
    return ArmStyle(PALETTE[place], MARKERS[place], DASHES[turn % len(DASHES)])


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, sized in inches, that lays itself out."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.04)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def literal(text: str) -> str:
    """`text` as matplotlib draws it unchanged: no formulas, never hidden from a legend."""
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def style_axes(axes: Axes, title: str, xlabel: str = "", ylabel: str = "") -> None:
    """Left-aligned title, light grid, no box."""
    axes.set_title(literal(title), loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(xlabel, fontsize=9.5, color=MUTED)
    axes.set_ylabel(ylabel, fontsize=9.5, color=MUTED)
    axes.tick_params(labelsize=9, colors=MUTED, length=3, color=GRID)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


def percent_axis(axis: Any, spec: str = ".0f") -> None:
    """Shows fractions of 1 as per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:{spec}} %"))


def signed_points_axis(axis: Any) -> None:
    """Shows fractions of 1 as signed percentage points."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
    )


def k_axis(axes: Axes, ks: Sequence[int], margin: float = 0.0) -> None:
    """A logarithmic axis of k with a tick at each of `ks`; where there are many, at powers of two.
    `margin`: by which factor it is wider than those; 0 leaves it to matplotlib."""
    ticks = list(ks)
    if len(ticks) > _MOST_TICKS:
        ticks = [k for k in ticks if k & (k - 1) == 0] or ticks[:: len(ticks) // _MOST_TICKS]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if margin:
        axes.set_xlim(min(ks) / margin, max(ks) * margin)


def plot_line(axes: Axes, index: int, xs: Any, ys: Any, *, marker: bool = True, **how: Any) -> None:
    """A line in the style of the arm at `index`; `how`: keywords of `Axes.plot`."""
    style = arm_style(index)
    how = {"linewidth": 2.0, "markersize": 5.5, "linestyle": style.line} | how
    axes.plot(xs, ys, color=style.color, marker=style.marker if marker else "", **how)


def base_handle(label: str) -> Line2D:
    """The legend entry of the policy before training."""
    return Line2D([], [], color=BASE_GREY, linestyle="--", linewidth=2.0, label=label)


def arm_handle(index: int, label: str, *, marker: bool = True) -> Line2D:
    """The legend entry of an arm."""
    style = arm_style(index)
    return Line2D(
        [],
        [],
        color=style.color,
        linestyle=style.line,
        linewidth=2.2,
        marker=style.marker if marker else "",
        markersize=5.5,
        label=literal(label),
    )


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend above all panels, where it covers no data."""
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=min(len(handles), 5),
        handlelength=2.4,
        columnspacing=1.8,
        **_LEGEND,
    )


def legend_inside(axes: Axes, handles: Sequence[Any]) -> None:
    """A legend in a panel of its own."""
    axes.set_axis_off()
    axes.legend(
        handles=list(handles), loc="upper left", handlelength=2.2, borderaxespad=0.0, **_LEGEND
    )


def say_empty(axes: Axes, text: str) -> None:
    """Puts a sentence into a panel that has nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
    axes.set_xticks([])
    axes.set_yticks([])


def mean_and_error(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean over the first axis, and its standard error where there are two or more."""
    stacked = np.stack(values)
    if len(stacked) < 2:
        return stacked[0], None
    return stacked.mean(axis=0), stacked.std(axis=0, ddof=1) / np.sqrt(len(stacked))


def to_png(figure: Figure) -> bytes:
    """The figure as PNG of at most 256 colors, a third of the size that it has with all; the same
    figure always gives the same bytes."""
    figure.savefig(drawn := io.BytesIO(), format="png", dpi=DPI)
    image = Image.open(drawn).convert("RGB")
    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer := io.BytesIO(), format="png", optimize=True)
    return buffer.getvalue()
