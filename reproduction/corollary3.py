"""Corollary 3: the asymptotic variance of pass@k's estimate against the exact one.

With c ~ Binomial(n, p) the estimate is 1 - C(n-c, k) / C(n, k), and

    Var rho = (1-p)^(2k) sum_{j=1..k} C(k,j)^2 / C(n,j) (p / (1-p))^j.

All terms are positive. The first is eq. (40); the j-th falls as n^-j.
"""

from __future__ import annotations

import bisect
import itertools
import math

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from pkpo.report.style import arm_handle, arm_style, legend_above, new_figure, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, exact
from reproduction.results import Drawing, Result
from reproduction.topics import Context

NS = (16, 64, 256, 1024)
KS = (1, 2, 4, 8, 16)
CHANCES = (0.02, 0.1, 0.3, 0.5, 0.8)
CASES = tuple(itertools.product(CHANCES, KS))

LIMIT_N, RATE_N = 2**24, 2**18
"""n at which eq. (40) is compared with the exact variance, and from which its slope is taken."""

NORMAL_NS = (64, 1024, 2**14, 2**18)
"""n at which the law of the estimate is compared with the normal one."""

ACCURACIES = (0.05, 0.01)
"""Shares by which eq. (40) may be too small."""

DRAWN = (0.1, 0.3, 0.5)
"""p of the figure's panels."""

_DEVIATIONS = 12.0
"""Standard deviations beyond which numbers of correct samples are left out."""


def exact_variance(n: int, k: int, p: float) -> float:
    """Of the estimate from n >= k samples that are correct with chance p in (0, 1)."""
    return math.fsum(
        math.comb(k, j) ** 2 / math.comb(n, j) * p**j * (1.0 - p) ** (2 * k - j)
        for j in range(1, k + 1)
    )


def asymptotic_variance(n: int, k: int, p: float) -> float:
    """Eq. (40)."""
    return k**2 * p * (1.0 - p) ** (2 * k - 1) / n


def ratio(n: int, k: int, p: float) -> float:
    """Eq. (40) over the exact variance, at most 1."""
    return asymptotic_variance(n, k, p) / exact_variance(n, k, p)


def samples_for(accuracy: float, k: int, p: float) -> int:
    """The smallest n >= k from which on eq. (40) is too small by at most this share."""

    def enough(n: int) -> bool:
        return ratio(n, k, p) >= 1.0 - accuracy

    high = k
    while not enough(high):
        high *= 2
    return bisect.bisect_left(range(high + 1), True, lo=k, key=enough)


def first_order_samples(accuracy: float, k: int, p: float) -> float:
    """About the same, from the first term that eq. (40) leaves out: the second is
    (k-1)^2 / (2 (n-1)) p / (1-p) times the first."""
    return 1.0 + (k - 1) ** 2 * p / (1.0 - p) * (1.0 / accuracy - 1.0) / 2.0


def rate(n: int, k: int, p: float) -> float:
    """Log-log slope of the exact variance from n to 4 n."""
    return math.log(exact_variance(4 * n, k, p) / exact_variance(n, k, p)) / math.log(4.0)


def distance_from_normal(n: int, k: int, p: float) -> float:
    """Kolmogorov's distance of the law of sqrt(n) (rho - pass@k) from the normal one of
    eq. (37), with mean 0 and variance k^2 p (1-p)^(2k-1)."""
    reach = _DEVIATIONS * math.sqrt(n * p * (1.0 - p))
    correct = np.arange(max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach)) + 1)
    # rho - pass@k = (1-p)^k - C(n-c, k) / C(n, k), both over (1-p)^k.
    drawn = np.arange(k)
    left = np.maximum(n - correct[:, None] - drawn, 0) / ((n - drawn) * (1.0 - p))
    away = (1.0 - left.prod(axis=1)) * math.sqrt(n * (1.0 - p) / p) / k
    normal = stats.norm.cdf(away)
    upto = np.cumsum(stats.binom.pmf(correct, n, p))
    before = np.append(0.0, upto[:-1])
    return float(max(np.abs(upto - normal).max(), np.abs(before - normal).max()))


def make(context: Context) -> Result:
    """Ratios, the n from which on the limit is good, and claims; the same in quick settings."""
    distances = {
        (p, k, n): distance_from_normal(n, k, p)
        for (p, k), n in itertools.product(CASES, NORMAL_NS)
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
        tables={
            "ratios": ratio_table(),
            "samples": samples_table(),
            "normal": normal_table(distances),
        },
        drawings=(
            Drawing(
                "corollary3",
                "Exact and asymptotic variance of the pass@k estimate",
                "Above: variance of the estimate from n samples, exact (lines) and by eq. (40) "
                "(dashed). Below: eq. (40) over the exact variance.",
                "Dashed lines lie below the solid ones, the further the larger k and p and the "
                "smaller n; the ratios rise towards 1 with n. At p = .5 k = 1 and 2 have one line.",
                variance_figure(),
            ),
        ),
        measures=measures(distances),
        notes=(
            "Exact throughout: the number of correct samples is binomial. Nothing is sampled.",
            f"From n = {NS[0]} to {4 * NS[0]} the log-log slope is as low as "
            f"{min(rate(NS[0], k, p) for p, k in CASES):.2f}: where n isn't large yet, the "
            "variance falls faster than 1/n.",
        ),
    )


Distances = dict[tuple[float, int, int], float]
"""Kolmogorov's distances by p, k and n."""


def measures(distances: Distances) -> dict[str, Measure]:
    """What the paper's statements and ours are judged by."""
    found = {}
    for p, k in CASES:
        where = f"k = {k}, p = {p:g}"
        found[f"log-log slope of the variance in n at {where}"] = rate(RATE_N, k, p)
        for n in (*NS, LIMIT_N):
            found[f"eq. (40) over the exact variance at n = {n}, {where}"] = ratio(n, k, p)
    for (p, k, n), distance in distances.items():
        found[f"distance from the normal law at n = {n}, k = {k}, p = {p:g}"] = distance
    return {name: exact(number) for name, number in found.items()}


def ratio_table() -> Table:
    """Eq. (40) over the exact variance, with the latter."""
    rows = tuple(
        (
            f"{p:g}",
            str(k),
            *(f"{ratio(n, k, p):.3g} ({exact_variance(n, k, p):.3g})" for n in NS),
        )
        for p, k in CASES
    )
    return Table(
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
        (f"{p:g}", str(k), *(f"{distances[p, k, n]:.4f}" for n in NORMAL_NS)) for p, k in CASES
    )
    return Table(
        title="Distance of the estimate's law from the normal one of eq. (37)",
        headers=("p", "k", *(f"n={n:,}" for n in NORMAL_NS)),
        rows=rows,
        notes=("Largest difference of the distribution functions (Kolmogorov's distance).",),
    )


def variance_figure() -> Figure:
    """Variances above, ratios below, one column for each p of DRAWN."""
    figure = new_figure(10.0, 6.2)
    grid = figure.subplots(2, len(DRAWN), sharex=True, sharey="row")
    ns = [round(2 ** (j / 4)) for j in range(16, 41)]
    for (above, below), p in zip(grid.T, DRAWN):
        style_axes(above, f"p = {p:g}")
        style_axes(below, "", "samples n, log scale")
        for index, k in enumerate(KS):
            color = arm_style(index).color
            known = np.array([exact_variance(n, k, p) for n in ns])
            limit = np.array([asymptotic_variance(n, k, p) for n in ns])
            above.plot(ns, known, color=color, linewidth=1.8)
            above.plot(ns, limit, color=color, linewidth=1.2, linestyle="--")
            below.plot(ns, limit / known, color=color, linewidth=1.8)
        above.set_xscale("log", base=2)
        above.set_yscale("log")
        below.set_ylim(0.0, 1.04)
        below.set_xticks(NS, labels=[str(n) for n in NS])
    grid[0, 0].set_ylabel("variance (dashed: eq. (40))")
    grid[1, 0].set_ylabel("eq. (40) / exact")
    legend_above(figure, [arm_handle(i, f"k = {k}", marker=False) for i, k in enumerate(KS)])
    return figure
