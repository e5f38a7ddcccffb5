"""Corollary 3: the asymptotic variance of pass@k's estimate against the exact one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import arm_handle, arm_style, legend_above, new_figure, style_axes
from reproduction.corollary3.claims import LIMIT_N, RATE_N, claims
from reproduction.corollary3.numbers import (
    CHANCES,
    KS,
    NS,
    asymptotic_variance,
    distance_from_normal,
    exact_variance,
    first_order_samples,
    ratio,
    samples_for,
)
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context

NORMAL_NS = (64, 1024, 2**14, 2**18)
"""n at which the law of the estimate is compared with the normal one."""

ACCURACIES = (0.05, 0.01)
"""Shares by which eq. (40) may be too small."""

DRAWN = (0.1, 0.3, 0.5)
"""p of the figure's panels."""

_FINE_NS = tuple(round(2 ** (j / 4)) for j in range(16, 41))

Distances = Mapping[tuple[float, int], tuple[float, ...]]


def make(context: Context) -> Result:
    """Ratios, the n from which on the limit is good, and claims; the same in quick settings."""
    distances = {
        (p, k): tuple(distance_from_normal(n, k, p) for n in NORMAL_NS) for p in CHANCES for k in KS
    }
    return Result(
        settings={
            "n": list(NS),
            "k": list(KS),
            "p": list(CHANCES),
            "limit_n": LIMIT_N,
            "rate_n": RATE_N,
            "normal_n": list(NORMAL_NS),
        },
        tables=(ratio_table(), samples_table(), normal_table(distances)),
        drawings=(
            Drawing(
                "corollary3",
                "Exact and asymptotic variance of the pass@k estimate",
                "Above: variance of the estimate from n samples, exact (lines) and by eq. (40) "
                "(dashed). Below: eq. (40) over the exact variance.",
                "Dashed lines lie below the solid ones, the further the larger k and p and the "
                "smaller n; the ratios rise towards 1 with n.",
                variance_figure(),
            ),
        ),
        claims=claims(distances),
        notes=("Exact throughout: the number of correct samples is binomial. Nothing is sampled.",),
    )


def ratio_table() -> Table:
    """Eq. (40) over the exact variance, with the latter."""
    rows = tuple(
        (
            f"{p:g}",
            str(k),
            *(f"{ratio(n, k, p):.3g} ({exact_variance(n, k, p):.3g})" for n in NS),
        )
        for p in CHANCES
        for k in KS
    )
    return Table(
        name="corollary3_ratios",
        title="Asymptotic over exact variance",
        headers=("p", "k", *(f"n={n}" for n in NS)),
        rows=rows,
        notes=("In parentheses the exact variance.",),
    )


def samples_table() -> Table:
    """The n from which on eq. (40) is good, by p and k."""
    rows = []
    for p in CHANCES:
        cells = [
            ", ".join(f"{samples_for(accuracy, k, p):,}" for accuracy in ACCURACIES)
            + f" ({first_order_samples(ACCURACIES[0], k, p):,.0f})"
            for k in KS
        ]
        rows.append((f"{p:g}", *cells))
    shares = " and ".join(f"{100 * accuracy:g} %" for accuracy in ACCURACIES)
    return Table(
        name="corollary3_samples",
        title="Samples that eq. (40) needs",
        headers=("p", *(f"k={k}" for k in KS)),
        rows=tuple(rows),
        notes=(
            f"The smallest n >= k from which on it is at most {shares} too small; in parentheses "
            f"what the first term that it leaves out makes of {100 * ACCURACIES[0]:g} %: "
            "1 + (k-1)^2 p / (1-p) (1/share - 1) / 2.",
        ),
    )


def normal_table(distances: Distances) -> Table:
    """Kolmogorov's distances from the normal law."""
    rows = tuple(
        (f"{p:g}", str(k), *(f"{distance:.4f}" for distance in found))
        for (p, k), found in distances.items()
    )
    return Table(
        name="corollary3_normal",
        title="Distance of the estimate's law from the normal one of eq. (37)",
        headers=("p", "k", *(f"n={n:,}" for n in NORMAL_NS)),
        rows=rows,
        notes=("Largest difference of the distribution functions (Kolmogorov's distance).",),
    )


def variance_figure() -> Figure:
    """Variances above, ratios below, one column for each p of DRAWN."""
    figure = new_figure(10.0, 6.2)
    grid = figure.subplots(2, len(DRAWN), sharex=True, sharey="row")
    for column, p in enumerate(DRAWN):
        _draw(grid[0, column], grid[1, column], p)
    grid[0, 0].set_ylabel("variance (dashed: eq. (40))")
    grid[1, 0].set_ylabel("eq. (40) / exact")
    handles = [arm_handle(index, f"k = {k}", marker=False) for index, k in enumerate(KS)]
    legend_above(figure, handles)
    return figure


def _draw(above: Axes, below: Axes, p: float) -> None:
    style_axes(above, f"p = {p:g}")
    style_axes(below, "", "samples n, log scale")
    for index, k in enumerate(KS):
        color = arm_style(index).color
        exact = np.array([exact_variance(n, k, p) for n in _FINE_NS])
        limit = np.array([asymptotic_variance(n, k, p) for n in _FINE_NS])
        above.plot(_FINE_NS, exact, color=color, linewidth=1.8)
        above.plot(_FINE_NS, limit, color=color, linewidth=1.2, linestyle="--")
        below.plot(_FINE_NS, limit / exact, color=color, linewidth=1.8)
    above.set_xscale("log", base=2)
    above.set_yscale("log")
    below.set_ylim(0.0, 1.04)
    below.set_xticks(NS, labels=[str(n) for n in NS])
