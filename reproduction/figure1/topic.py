"""Fig. 1: how the best policy for max@k moves with k on the problem of eq. (35)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    style_axes,
)
from reproduction.figure1.numbers import (
    KS,
    NODES,
    THETAS,
    Optimum,
    chance_above_one,
    chance_of_one_close,
    curve,
    optimum,
    value,
)
from reproduction.figure4.problem import GaussianProblem
from reproduction.old_results import PKPO, Claim, Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.verdicts import IN_PART_RULE, over_cases

POINTS = 241
"""Values of theta that are drawn, and at which the derivative's sign is looked at."""

SAME = 1e-6
"""Distance below which two values of theta are the same; the quadrature's error is far below."""


def grid() -> np.ndarray:
    """The drawn values of theta (POINTS,)."""
    return np.linspace(*THETAS, POINTS)


def make(context: Context) -> Result:
    """The figure, the optima and what the caption says of them; the same in quick settings."""
    thetas = grid()
    curves = [curve(float(theta)) for theta in thetas]
    values = np.array([c.value for c in curves])
    slopes = np.array([c.slope for c in curves])
    optima = tuple(optimum(k) for k in KS)
    return Result(
        settings={
            "sigma": GaussianProblem().sigma,
            "k": list(KS),
            "theta": list(THETAS),
            "points": POINTS,
            "nodes": NODES,
            "same": SAME,
        },
        tables=(optima_table(optima),),
        drawings=(
            Drawing(
                "figure1",
                "max@k and its derivative against the policy's mean",
                "x ~ N(theta, 0.1), reward x^2 on [0, 1] and 0 elsewhere. Markers: the optimum "
                "of each k, at the peak on the left and at the zero crossing on the right.",
                "Left, five single-peaked curves whose peaks move right and up with k, from "
                "theta 0.86 to 0.99. Right, their derivatives, which cross zero once each.",
                optima_figure(thetas, values, slopes, optima),
            ),
        ),
        claims=claims(optima, slopes),
        notes=(
            "The text of the paper gives neither the figure's k nor its range of theta nor any "
            "number in it; k and the range are ours. By quadrature, with no sampling.",
        ),
    )


def optima_table(optima: Sequence[Optimum]) -> Table:
    """Where each optimum is, and what it risks and gains."""
    first = optima[0].theta
    rows = tuple(
        (
            str(best.k),
            f"{best.theta:.6f}",
            f"{best.value:.6f}",
            f"{value(first, best.k):.6f}",
            f"{chance_above_one(best.theta):.4f}",
            f"{chance_of_one_close(best.theta, best.k):.4f}",
            f"{chance_of_one_close(first, best.k):.4f}",
            f"{best.slope_at_one:.5f}",
        )
        for best in optima
    )
    return Table(
        name="figure1",
        title="The best policy for each k",
        headers=(
            "k",
            "best theta",
            "max@k there",
            f"max@k at k = {optima[0].k}'s best theta",
            "chance that a sample exceeds 1",
            "chance that one of k is close to 1",
            f"the same at k = {optima[0].k}'s best theta",
            "d max@k / d theta at 1",
        ),
        rows=rows,
        notes=(
            "Close to 1: below it by at most one standard deviation. The last column is at the "
            "place of Fig. 4.",
        ),
    )


def claims(optima: Sequence[Optimum], slopes: np.ndarray) -> tuple[Claim, ...]:
    """What the caption says.

    Args:
        optima: by rising k.
        slopes: (T, K) derivatives on the grid.
    """
    return (
        _moves(optima),
        _crosses(optima, slopes),
        _tolerates(optima),
        _gains(optima),
    )


def sign_changes(slopes: np.ndarray) -> list[int]:
    """How often the derivative changes sign along the grid, by k."""
    return (np.diff(np.sign(slopes), axis=0) != 0).sum(axis=0).tolist()


def _moves(optima: Sequence[Optimum]) -> Claim:
    held = [b.theta - a.theta > SAME for a, b in itertools.pairwise(optima)]
    return Claim(
        PKPO,
        "Fig. 1, Sec. 5.1",
        "The optimal policy varies with k: for larger k the optimal theta is larger.",
        f"The optimum rises by more than {SAME:g} from each k to the next. {IN_PART_RULE}",
        "theta " + ", ".join(f"{o.theta:.4f} (k = {o.k})" for o in optima) + ".",
        over_cases(held),
    )


def _crosses(optima: Sequence[Optimum], slopes: np.ndarray) -> Claim:
    apart = [abs(o.theta - o.peak) for o in optima]
    changes = sign_changes(slopes)
    held = [distance < SAME and change == 1 for distance, change in zip(apart, changes)]
    return Claim(
        PKPO,
        "Fig. 1",
        "The optimal theta is where max@k is highest and where its derivative crosses zero.",
        "For each k the derivative changes its sign once in the drawn range, and there, within "
        f"{SAME:g}, is the peak of the values, found without the derivative. {IN_PART_RULE}",
        f"Sign changes: {', '.join(map(str, changes))}; zero crossing and peak are at most "
        f"{max(apart):.1g} apart.",
        over_cases(held),
    )


def _tolerates(optima: Sequence[Optimum]) -> Claim:
    chances = [chance_above_one(o.theta) for o in optima]
    held = [b > a for a, b in itertools.pairwise(chances)]
    return Claim(
        PKPO,
        "Fig. 1",
        "For larger k the optimum is more risk tolerant: more samples exceed one and get nothing.",
        "At the optimum the chance that a sample exceeds one rises from each k to the next. "
        f"{IN_PART_RULE}",
        ", ".join(f"{100 * c:.1f} % (k = {o.k})" for c, o in zip(chances, optima)) + ".",
        over_cases(held),
    )


def _gains(optima: Sequence[Optimum]) -> Claim:
    first, *larger = optima
    pairs = [
        (chance_of_one_close(first.theta, o.k), chance_of_one_close(o.theta, o.k)) for o in larger
    ]
    held = [after > before for before, after in pairs]
    changes = ", ".join(
        f"{100 * before:.2f} to {100 * after:.2f} % (k = {o.k})"
        for (before, after), o in zip(pairs, larger)
    )
    return Claim(
        PKPO,
        "Fig. 1",
        "This is in order to raise the chance of at least one sample close to, but below, one.",
        "For each k > 1 the chance that one of k samples is within a standard deviation below one "
        f"is higher at k's optimum than at that of k = {first.k}. {IN_PART_RULE}",
        f"From {changes}. max@k rises by "
        + ", ".join(f"{o.value - value(first.theta, o.k):.4f}" for o in larger)
        + ".",
        over_cases(held),
    )


def optima_figure(
    thetas: np.ndarray, values: np.ndarray, slopes: np.ndarray, optima: Sequence[Optimum]
) -> Figure:
    """max@k on the left, its derivative on the right, with the optima marked.

    Args:
        thetas: (T,).
        values, slopes: (T, K).
        optima: by rising k.
    """
    figure = new_figure(9.4, 4.0)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Objective", "θ", "max@k")
    style_axes(right, "Derivative", "θ", "d max@k / dθ")
    right.axhline(0.0, color=BASE_GREY, linewidth=1.0)
    for index, best in enumerate(optima):
        style = arm_style(index)
        for axes, lines, height in ((left, values, best.value), (right, slopes, 0.0)):
            axes.plot(thetas, lines[:, index], color=style.color, linewidth=1.8)
            axes.plot(
                best.theta,
                height,
                color=style.color,
                marker=style.marker,
                markersize=6.0,
                linestyle="",
                zorder=3,
            )
    for axes in (left, right):
        axes.set_xlim(*THETAS)
    legend_above(figure, [arm_handle(index, f"k = {o.k}") for index, o in enumerate(optima)])
    return figure
