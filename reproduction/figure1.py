"""Fig. 1: how the best policy for max@k moves with k on the problem of eq. (35).

With F(x) the chance that a sample's reward is at most x^2,

    max@k = 1 - int_0^1 F(x)^k 2x dx,    d max@k / d theta = -int_0^1 k F(x)^(k-1) dF/dtheta 2x dx,

both by Gauss-Legendre quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial import legendre
from scipy import optimize
from scipy.special import ndtr

from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure, exact
from reproduction.one_dimensional import GaussianProblem
from reproduction.results import Drawing, Result
from reproduction.topics import Context

KS = (1, 2, 4, 8, 16)
THETAS = (0.6, 1.2)
"""Range of theta that is drawn and searched."""

POINTS = 241
"""Values of theta that are drawn, and at which the derivative's sign is looked at."""

NODES = 128
"""Nodes of the quadrature."""


def curve(
    theta: float, ks: Sequence[int] = KS, nodes: int = NODES
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) max@k and (K,) its derivative in theta, the policy's mean."""
    places, weights = _rule(nodes)
    chance, slope, _ = GaussianProblem(theta).at_most(places)
    k = np.asarray(ks)[:, None]
    measure = weights * 2.0 * places
    return 1.0 - chance**k @ measure, -(k * chance ** (k - 1) * slope) @ measure


@lru_cache(maxsize=4)
def _rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    places, weights = legendre.leggauss(nodes)
    return 0.5 * (places + 1.0), 0.5 * weights


def value(theta: float, k: int) -> float:
    """max@k."""
    return float(curve(theta, (k,))[0][0])


def slope(theta: float, k: int) -> float:
    """d max@k / d theta."""
    return float(curve(theta, (k,))[1][0])


@dataclass(frozen=True)
class Optimum:
    """The best policy for one k."""

    k: int
    theta: float  # where the derivative crosses zero
    peak: float  # where the value is highest, found without the derivative
    value: float  # max@k at theta


def optimum(k: int) -> Optimum:
    """The optimum in THETAS. Values near a peak differ by the square of the distance, so that
    `peak` is known to about 1e-8."""
    theta = optimize.root_scalar(slope, args=(k,), bracket=THETAS, xtol=1e-15).root
    peak = optimize.fminbound(lambda t: -value(t, k), *THETAS, xtol=1e-9)
    return Optimum(k, theta, float(np.asarray(peak)), value(theta, k))


def chance_between(theta: float, low: float, high: float) -> float:
    """Chance that a sample of the policy lies between two places."""
    sigma = GaussianProblem(theta).sigma
    return float(ndtr((high - theta) / sigma) - ndtr((low - theta) / sigma))


def chance_above_one(theta: float) -> float:
    """Chance that a sample is above one, where the reward is zero."""
    return chance_between(theta, 1.0, math.inf)


def chance_of_one_close(theta: float, k: int) -> float:
    """Chance that at least one of k samples is at most a standard deviation below one."""
    close = chance_between(theta, 1.0 - GaussianProblem(theta).sigma, 1.0)
    return 1.0 - (1.0 - close) ** k


def make(context: Context) -> Result:
    """The figure, the optima and what the caption says of them; the same in quick settings."""
    thetas = np.linspace(*THETAS, POINTS)
    values, slopes = (np.array(c) for c in zip(*(curve(float(t)) for t in thetas)))
    optima = [optimum(k) for k in KS]
    return Result(
        settings={
            "sigma": GaussianProblem().sigma,
            "k": list(KS),
            "theta": list(THETAS),
            "points": POINTS,
            "nodes": NODES,
        },
        tables={"optima": optima_table(optima)},
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
        measures=measures(optima, slopes),
        notes=(
            "The text of the paper gives neither the figure's k nor its range of theta nor any "
            "number in it; k and the range are ours. By quadrature, with no sampling.",
        ),
    )


def measures(optima: Sequence[Optimum], slopes: np.ndarray) -> dict[str, Measure]:
    """What the caption's statements are judged by.

    Args:
        optima: by rising k.
        slopes: (T, K) derivatives on the grid.
    """
    changes = (np.diff(np.sign(slopes), axis=0) != 0).sum(axis=0).tolist()
    first, found = optima[0].theta, {}
    for best, change in zip(optima, changes):
        k = best.k
        found |= {
            f"best theta at k = {k}": best.theta,
            f"distance of zero crossing and peak at k = {k}": abs(best.theta - best.peak),
            f"sign changes of the derivative after the first at k = {k}": change - 1,
            f"chance of a sample above one at k = {k}": chance_above_one(best.theta),
            f"chance of one close below one at k = {k}": chance_of_one_close(best.theta, k),
            f"the same at the best theta of k = 1, k = {k}": chance_of_one_close(first, k),
        }
    return {name: exact(number) for name, number in found.items()}


def optima_table(optima: Sequence[Optimum]) -> Table:
    """Where each optimum is, and what it risks and gains."""
    first = optima[0]
    rows = tuple(
        (
            str(best.k),
            f"{best.theta:.6f}",
            f"{best.value:.6f}",
            f"{value(first.theta, best.k):.6f}",
            f"{chance_above_one(best.theta):.4f}",
            f"{chance_of_one_close(best.theta, best.k):.4f}",
            f"{chance_of_one_close(first.theta, best.k):.4f}",
            f"{slope(1.0, best.k):.5f}",
        )
        for best in optima
    )
    return Table(
        title="The best policy for each k",
        headers=(
            "k",
            "best theta",
            "max@k there",
            f"max@k at k = {first.k}'s best theta",
            "chance that a sample exceeds 1",
            "chance that one of k is close to 1",
            f"the same at k = {first.k}'s best theta",
            "d max@k / d theta at 1",
        ),
        rows=rows,
        notes=(
            "Close to 1: below it by at most one standard deviation. The last column is at the "
            "place of Fig. 4.",
        ),
    )


def optima_figure(
    thetas: np.ndarray, values: np.ndarray, slopes: np.ndarray, optima: Sequence[Optimum]
) -> Figure:
    """max@k (T, K) on the left, its derivative on the right, with the optima marked."""
    figure = new_figure(9.4, 4.0)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Objective", "θ", "max@k")
    style_axes(right, "Derivative", "θ", "d max@k / dθ")
    right.axhline(0.0, color=BASE_GREY, linewidth=1.0)
    for index, best in enumerate(optima):
        look = arm_style(index)
        for axes, lines, height in ((left, values, best.value), (right, slopes, 0.0)):
            axes.plot(thetas, lines[:, index], color=look.color, linewidth=1.8)
            axes.plot(
                best.theta, height, color=look.color, marker=look.marker, markersize=6.0, zorder=3
            )
    for axes in (left, right):
        axes.set_xlim(*THETAS)
    legend_above(figure, [arm_handle(index, f"k = {o.k}") for index, o in enumerate(optima)])
    return figure
