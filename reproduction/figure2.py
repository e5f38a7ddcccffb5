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
from reproduction.old_results import PKPO, Claim, Drawing, Result, Table, Verdict
from reproduction.old_topics import Context
from reproduction.verdicts import IN_PART_RULE, over_cases

N = 8
KS = tuple(range(1, N + 1))

LAW = (
    (Fraction(-1), Fraction(1, 2)),
    (Fraction(1, 2), Fraction(1, 3)),
    (Fraction(2), Fraction(1, 6)),
)
"""Rewards and their chances, ascending, on which the estimate's expectation is worked out."""

ROUNDING = 4 * float(np.finfo(float).eps)
"""How far a weight of the package may be from the exact one, relative to it."""


def paper_weights(n: int, k: int) -> tuple[Fraction, ...]:
    """mu_i / C(n, k) of eq. (12) and (13), by rank."""
    return tuple(Fraction(math.comb(i - 1, k - 1), math.comb(n, k)) for i in range(1, n + 1))


def package_weights(n: int, k: int) -> np.ndarray:
    """The weights (n,) that `pkpo.estimate` gives sorted rewards."""
    return estimate_weights(n, max_at(k)).of_rewards


def mean_rank(weights: Sequence[Fraction]) -> Fraction:
    """Of the sample that counts, ranks from 1."""
    return sum((i * w for i, w in enumerate(weights, start=1)), Fraction(0))


def upper_sums(weights: Sequence[Fraction]) -> list[Fraction]:
    """Weight of the top 1, 2, ..., n samples."""
    return list(itertools.accumulate(reversed(weights)))


def expected_estimate(weights: Sequence[Fraction]) -> Fraction:
    """Expectation of the weighted sum over all groups of rewards that LAW gives."""
    total = Fraction(0)
    for ranked in itertools.combinations_with_replacement(LAW, len(weights)):
        counts = [ranked.count(outcome) for outcome in LAW]
        orders = math.factorial(len(weights)) // math.prod(map(math.factorial, counts))
        chance = orders * math.prod((p for _, p in ranked), start=Fraction(1))
        total += chance * sum((w * g for w, (g, _) in zip(weights, ranked)), Fraction(0))
    return total


def expected_largest(k: int) -> Fraction:
    """Expectation of the largest of k rewards from LAW."""
    below, total = Fraction(0), Fraction(0)
    for reward, chance in LAW:
        total += reward * ((below + chance) ** k - below**k)
        below += chance
    return total


def deviation(weights: Sequence[float], exact: Sequence[Fraction]) -> float:
    """The largest relative distance of a weight from the exact one; infinite where that is zero
    and the weight is not."""
    largest = 0.0
    for found, wanted in zip(weights, exact, strict=True):
        if wanted:
            largest = max(largest, abs(float(Fraction(found) / wanted - 1)))
        elif found:
            return math.inf
    return largest


def make(context: Context) -> Result:
    """The figure and its numbers; the same in quick settings."""
    return Result(
        settings={
            "n": N,
            "k": list(KS),
            "law": [[str(reward), str(chance)] for reward, chance in LAW],
            "rounding": ROUNDING,
        },
        tables=(weights_table(),),
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
        claims=claims(),
        notes=("The gradients that follow from these weights are checked with the theorems.",),
    )


def weights_table() -> Table:
    """Exact weights, with what the package's print as."""
    exact = [paper_weights(N, k) for k in KS]
    floats = [package_weights(N, k) for k in KS]
    rows = [
        (str(i + 1), *(f"{e[i]} ({f[i]:.4f})" if e[i] else "0" for e, f in zip(exact, floats)))
        for i in range(N)
    ]
    ranks = ("mean rank", *(f"{mean_rank(e)} ({float(mean_rank(e)):.4f})" for e in exact))
    return Table(
        name="figure2",
        title=f"Weights of the sorted samples, n = {N}",
        headers=("sort index i", *(f"k={k}" for k in KS)),
        rows=(*rows, ranks),
        notes=(
            "C(i-1, k-1) / C(n, k), in parentheses the package's number. Mean rank: of the "
            "sample that counts, k (n+1) / (k+1).",
        ),
    )


def claims() -> tuple[Claim, ...]:
    """What the caption says, and the package's own weights."""
    return (_ends(), _flat(), _between(), _unbiased(), _package())


def _ends() -> Claim:
    *others, largest = paper_weights(N, N)
    holds = largest == 1 and not any(others)
    return Claim(
        PKPO,
        "Fig. 2",
        "For k = n only the largest sample is included.",
        "Its weight is exactly 1 and every other weight exactly 0.",
        f"Largest: {largest}; the others add up to {sum(others, Fraction(0))}.",
        Verdict.HOLDS if holds else Verdict.NO,
    )


def _flat() -> Claim:
    found = set(paper_weights(N, 1))
    return Claim(
        PKPO,
        "Fig. 2",
        "For k = 1 all samples are weighted equally.",
        "All weights are exactly 1/n.",
        f"Weights that occur: {', '.join(map(str, sorted(found)))}.",
        Verdict.HOLDS if found == {Fraction(1, N)} else Verdict.NO,
    )


def _between() -> Claim:
    exact = [paper_weights(N, k) for k in KS]
    held = [
        sum(upper, Fraction(0)) == 1
        and all(a <= b for a, b in zip(upper_sums(lower), upper_sums(upper)))
        and mean_rank(lower) < mean_rank(upper)
        for lower, upper in itertools.pairwise(exact)
    ]
    ranks = ", ".join(f"{float(mean_rank(weights)):.3f}" for weights in exact)
    return Claim(
        PKPO,
        "Fig. 2",
        "Values of k between 1 and n interpolate the two extremes.",
        "From each k to the next the weights still add up to 1, no upper part of the ranks loses "
        f"weight, and the mean rank rises. {IN_PART_RULE}",
        f"In {sum(held)} of {len(held)} steps. Mean rank for k = 1 to {N}: {ranks}.",
        over_cases(held),
    )


def _unbiased() -> Claim:
    pairs = [(expected_estimate(paper_weights(N, k)), expected_largest(k)) for k in KS]
    held = [found == wanted for found, wanted in pairs]
    return Claim(
        PKPO,
        "Fig. 2, Theorem 3",
        "The weights are precisely those that make the estimate unbiased.",
        f"Over all groups of {N} rewards from a law with {len(LAW)} values, the weighted sum's "
        f"mean is the mean of the largest of k, in rational numbers, for each k. {IN_PART_RULE}",
        f"For {sum(held)} of {len(held)} k; for instance {pairs[1][0]} at k = 2 and "
        f"{pairs[-1][0]} at k = {N}.",
        over_cases(held),
    )


def _package() -> Claim:
    worst = max(deviation(package_weights(N, k).tolist(), paper_weights(N, k)) for k in KS)
    return Claim(
        "here",
        "eq. (12)",
        "The package's weights are the paper's.",
        f"No weight is off by more than {ROUNDING:.1g} of itself, and zeros are zero.",
        f"The largest relative deviation is {worst:.2g}.",
        Verdict.HOLDS if worst <= ROUNDING else Verdict.NO,
    )


def weights_figure() -> Figure:
    """The package's weight of each rank, one curve for each k."""
    figure = new_figure(7.4, 4.2)
    axes, legend = figure.subplots(1, 2, width_ratios=(5.0, 1.0))
    style_axes(axes, f"Weights, n = {N}", "sort index i", r"$\mu_i\ /\ \binom{n}{k}$")
    ranks = np.arange(1, N + 1)
    for index, k in enumerate(KS):
        style = arm_style(index)
        axes.plot(
            ranks,
            package_weights(N, k),
            color=style.color,
            linestyle=style.line,
            marker=style.marker,
            markersize=5.0,
            linewidth=2.0,
        )
    axes.set_xticks(ranks)
    axes.set_ylim(-0.03, 1.03)
    legend_inside(legend, [arm_handle(index, f"k = {k}") for index, k in enumerate(KS)])
    return figure
