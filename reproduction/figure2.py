"""Fig. 2: the weight that each of n = 8 sorted samples has in the estimate of max@k, eq. (12)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from matplotlib.figure import Figure

from pkpo.core.objectives import max_at
from pkpo.core.weights import estimate_weights
from pkpo.report.style import arm_handle, arm_style, legend_inside, new_figure, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, exact
from reproduction.results import Drawing, Result
from reproduction.topics import Context

N = 8
KS = tuple(range(1, N + 1))


def paper_weights(n: int, k: int) -> tuple[Fraction, ...]:
    """mu_i / C(n, k) of eq. (12) and (13), by rank."""
    return tuple(Fraction(math.comb(i - 1, k - 1), math.comb(n, k)) for i in range(1, n + 1))


def package_weights(n: int, k: int) -> np.ndarray:
    """The weights (n,) that `pkpo.estimate` gives sorted rewards."""
    return estimate_weights(n, max_at(k)).of_rewards


def mean_rank(weights: Sequence[Fraction]) -> Fraction:
    """Of the sample that counts, ranks from 1."""
    return sum((i * w for i, w in enumerate(weights, start=1)), Fraction(0))


def between(weights: Sequence[Sequence[Fraction]]) -> list[bool]:
    """For each k and the next: whether the weights still add up to 1, no upper part of the ranks
    loses weight, and the mean rank rises."""
    return [
        sum(upper, Fraction(0)) == 1
        and all(sum(a) <= sum(b) for a, b in zip(_tops(lower), _tops(upper)))
        and mean_rank(lower) < mean_rank(upper)
        for lower, upper in itertools.pairwise(weights)
    ]


def _tops(weights: Sequence[Fraction]) -> list[Sequence[Fraction]]:
    return [weights[-top:] for top in range(1, len(weights) + 1)]


def deviation(weights: Sequence[float], exact: Sequence[Fraction]) -> float:
    """The largest relative distance of a weight from the exact one; 1 where that is zero and the
    weight is not."""
    return max(
        abs(float(Fraction(found) / wanted - 1)) if wanted else float(found != 0)
        for found, wanted in zip(weights, exact, strict=True)
    )


def make(context: Context) -> Result:
    """The figure and its numbers; the same in quick settings."""
    return Result(
        settings={"n": N, "k": list(KS)},
        tables={"weights": weights_table()},
        drawings=(
            Drawing(
                "figure2",
                "Weights of the sorted samples",
                f"Weight mu_i / C(n, k) of each of n = {N} samples in the estimate of max@k, "
                "sorted from the smallest reward to the largest.",
                "One curve for each k from 1, flat at 1/8, to 8, which is 0 up to the last "
                "sample and 1 there; the curves between rise ever more steeply.",
                weights_figure(),
            ),
        ),
        measures=measures([paper_weights(N, k) for k in KS]),
        notes=("That the weights make the estimate unbiased is checked with Theorem 3.",),
    )


def measures(weights: Sequence[Sequence[Fraction]]) -> dict[str, Measure]:
    """What the caption's statements, and the package's own weights, are judged by.

    Args:
        weights: by rank, for each k up to n.
    """
    *others, largest = weights[-1]
    steps = {f"k = {k} to {k + 1}": held for k, held in zip(KS, between(weights))}
    return {
        "weight of the largest sample at k = n": exact(float(largest)),
        "weight of all others at k = n": exact(float(sum(others))),
        "largest distance of a weight from 1/n at k = 1": exact(
            float(max(abs(w - Fraction(1, N)) for w in weights[0]))
        ),
        **{
            f"the weights move to larger samples from {step}": exact(v) for step, v in steps.items()
        },
        **{
            f"relative deviation of the package's weights at k = {k}": exact(
                deviation(package_weights(N, k).tolist(), w)
            )
            for k, w in zip(KS, weights)
        },
    }


def weights_table() -> Table:
    """Exact weights, with what the package's print as."""
    weights = [paper_weights(N, k) for k in KS]
    floats = [package_weights(N, k) for k in KS]
    rows = [
        (str(i + 1), *(f"{e[i]} ({f[i]:.4f})" if e[i] else "0" for e, f in zip(weights, floats)))
        for i in range(N)
    ]
    ranks = ("mean rank", *(f"{mean_rank(e)} ({float(mean_rank(e)):.4f})" for e in weights))
    return Table(
        title=f"Weights of the sorted samples, n = {N}",
        headers=("sort index i", *(f"k={k}" for k in KS)),
        rows=(*rows, ranks),
        notes=(
            "C(i-1, k-1) / C(n, k), in parentheses the package's number. Mean rank: of the "
            "sample that counts, k (n+1) / (k+1).",
        ),
    )


def weights_figure() -> Figure:
    """The package's weight of each rank, one curve for each k."""
    figure = new_figure(7.4, 4.2)
    axes, legend = figure.subplots(1, 2, width_ratios=(5.0, 1.0))
    style_axes(axes, f"Weights, n = {N}", "sort index i", r"$\mu_i\ /\ \binom{n}{k}$")
    ranks = np.arange(1, N + 1)
    for index, k in enumerate(KS):
        look = arm_style(index)
        axes.plot(
            ranks,
            package_weights(N, k),
            color=look.color,
            linestyle=look.line,
            marker=look.marker,
            markersize=5.0,
            linewidth=2.0,
        )
    axes.set_xticks(ranks)
    axes.set_ylim(-0.03, 1.03)
    legend_inside(legend, [arm_handle(index, f"k = {k}") for index, k in enumerate(KS)])
    return figure
