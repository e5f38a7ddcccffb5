"""Fig. 5: transformed rewards against raw ones, without and with baselines, then centred.

Let u = x + 1/2 be uniform on [0, 1]. A sample is in a share k/n of the subsets, and the largest of
it and k - 1 others has mean (k-1 + u^k) / k - 1/2, so that E[s | x] = (u^k + k/2 - 1) / n. The
baselines are made from the other samples and lower this by a constant, which the mean of the
largest of k (or k - 1) rewards gives. All four curves are (u^k + constant) / n.

Transformed rewards are linear in the n + 1 spacings d that the samples cut [0, 1] into, which have
a flat Dirichlet law: exponential variables e over their sum. A quadratic form has the moments

    E[d'Qd] = E[e'Qe] / ((n+1)(n+2)),    E[(d'Qd)^2] = E[(e'Qe)^2] / ((n+1)(n+2)(n+3)(n+4)),

and E[e_i e_j e_k e_l] is the number of permutations whose cycles join only equal indices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

import pkpo
from pkpo.core.weights import Baseline
from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure, estimated, exact
from reproduction.results import Drawing, Result
from reproduction.topics import Context

N = 32
KS = (1, 2, 4, 8, 16)
BINS = 40
GROUPS, QUICK_GROUPS = 50_000, 5_000
SEED = 5

LABELS: Mapping[Baseline, str] = {
    "none": "s",
    "paper_loo": "s(loo)",
    "loo_minus_one": "s(loo-1)",
    "loo": "centred loo (ours)",
}
"""What the transforms are called, the paper's first."""

PANELS: Mapping[Baseline, str] = {"none": "(a)", "paper_loo": "(b)", "loo_minus_one": "(c)"}

RESOLUTION = 1e-4 / N
"""The least error of a bin, 1e-4 of the curves' range: the lowest bins hold next to no values but
zero, and have no standard error to compare with."""

Key = tuple[Baseline, int]
KEYS: tuple[Key, ...] = tuple(
    (baseline, k) for baseline in LABELS for k in KS if k > 1 or baseline != "loo_minus_one"
)


def constant(baseline: Baseline, k: int, n: int = N) -> float:
    """The constant c of the curve (u^k + c) / n."""
    mean_of_largest = k / (k + 1) - 0.5
    return {
        "none": k / 2 - 1.0,
        "paper_loo": k / 2 - 1.0 - n / (n - 1) * k * mean_of_largest,
        "loo_minus_one": 0.0,
        "loo": -1.0 / (k + 1),
    }[baseline]


def expected_curve(baseline: Baseline, k: int, x: np.ndarray, n: int = N) -> np.ndarray:
    """Mean transformed reward of a sample with raw reward x in [-1/2, 1/2]."""
    return ((x + 0.5) ** k + constant(baseline, k, n)) / n


def expected_bins(baseline: Baseline, k: int, edges: np.ndarray, n: int = N) -> np.ndarray:
    """The same, averaged over each bin between the edges (B+1,)."""
    powers = (edges + 0.5) ** (k + 1) / (k + 1)
    return (np.diff(powers) / np.diff(edges) + constant(baseline, k, n)) / n


def expected_mean(baseline: Baseline, k: int, n: int = N) -> float:
    """Mean transformed reward: the vertical offset of the curve."""
    return (1.0 / (k + 1) + constant(baseline, k, n)) / n


@dataclass(frozen=True)
class Exact:
    """Exact moments of one transform at one k."""

    square: float  # mean square of a transformed reward
    gradient: float  # mean of the gradient estimate of `tilt_gradient`
    variance: float  # of that estimate


POLICIES = {"unrelated": lambda of: N * of.square, "tilt": lambda of: of.variance}
"""Variance of the gradient for two policies: scores of length 1 in directions that have nothing to
do with the rewards, which is n times the mean square, and the density proportional to
exp(theta x)."""


def exact_moments(baseline: Baseline, k: int, n: int = N) -> Exact:
    """By quadratic forms in the spacings."""
    # Row j has ones from rank j on: what spacing j adds to the sorted rewards plus one half.
    steps = 1.0 - np.tri(n + 1, n, -1)
    of_steps = pkpo.advantages(steps, k, baseline=baseline)
    transformed, rewards = of_steps - 0.5 * of_steps[0], steps - 0.5
    square, _ = _moments(transformed @ transformed.T / n)
    gradient, gradient_square = _moments(transformed @ rewards.T)
    return Exact(square, gradient, gradient_square - gradient**2)


def _moments(form: np.ndarray) -> tuple[float, float]:
    """Mean and mean square of d'Qd for spacings d (n+1,)."""
    q = 0.5 * (form + form.T)
    cells = len(q)
    total, trace, rows, diagonal = q.sum(), np.trace(q), q.sum(axis=0), np.diag(q)
    square = (
        total**2
        + 2.0 * total * trace
        + 4.0 * rows @ rows
        + trace**2
        + 2.0 * (q * q).sum()
        + 8.0 * diagonal @ rows
        + 6.0 * diagonal @ diagonal
    )
    pairs = cells * (cells + 1)
    return float(total + trace) / pairs, float(square) / (pairs * (cells + 2) * (cells + 3))


def tilt_gradient(k: int) -> float:
    """d max@k / d theta at theta = 0 of the policy whose density is proportional to exp(theta x)
    on [-1/2, 1/2]. The score of a sample is then its raw reward x."""
    return k / (2.0 * (k + 1) * (k + 2))


Estimate = tuple[float, float]
"""A sampled mean and its standard error."""


def _estimate(values: np.ndarray) -> Estimate:
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))


@dataclass(frozen=True)
class Sampled:
    """One transform at one k, over all groups."""

    bins: np.ndarray  # (B,) mean transformed reward by raw reward
    bin_errors: np.ndarray  # (B,) standard errors
    offset: Estimate  # mean transformed reward
    largest_sum: float  # over a group, in absolute value
    square: Estimate  # mean square of a transformed reward
    variance: Estimate  # of the gradient estimate of `tilt_gradient`


def bin_edges() -> np.ndarray:
    """The edges (BINS + 1,) of the bins of raw rewards."""
    return np.linspace(-0.5, 0.5, BINS + 1)


def sample(groups: int, seed: int = SEED) -> dict[Key, Sampled]:
    """All transforms of the same random groups of N rewards."""
    rewards = np.random.default_rng(seed).uniform(-0.5, 0.5, (groups, N))
    places = np.minimum((BINS * (rewards + 0.5)).astype(np.int64), BINS - 1)
    found = {}
    for baseline, k in KEYS:
        transformed = np.asarray(pkpo.advantages(rewards, k, baseline=baseline))
        found[baseline, k] = _averages(rewards, places, transformed, tilt_gradient(k))
    return found


def _averages(
    rewards: np.ndarray, places: np.ndarray, transformed: np.ndarray, gradient: float
) -> Sampled:
    groups = len(rewards)
    flat = places.ravel()
    counts = np.bincount(flat, minlength=BINS)
    bins = np.bincount(flat, transformed.ravel(), minlength=BINS) / counts
    # Samples of one group depend on each other; their deviations are added up before squaring.
    cells = (np.arange(groups)[:, None] * BINS + places).ravel()
    deviations = (transformed - bins[places]).ravel()
    by_group = np.bincount(cells, deviations, minlength=groups * BINS).reshape(groups, BINS)
    return Sampled(
        bins=bins,
        bin_errors=np.sqrt((by_group**2).sum(axis=0)) / counts,
        offset=_estimate(transformed.mean(axis=1)),
        largest_sum=float(np.abs(transformed.sum(axis=1)).max()),
        square=_estimate((transformed**2).mean(axis=1)),
        variance=_estimate(((transformed * rewards).sum(axis=1) - gradient) ** 2),
    )


Samples = Mapping[Key, Sampled]
Moments = Mapping[Key, Exact]


def make(context: Context) -> Result:
    """The figure, once with the paper's transforms and once with ours, and what is said of it."""
    groups = QUICK_GROUPS if context.quick else GROUPS
    samples = sample(groups)
    moments = {key: exact_moments(*key) for key in KEYS}
    return Result(
        settings={"n": N, "k": list(KS), "bins": BINS, "groups": groups, "seed": SEED},
        tables={
            "offsets": offset_table(samples, moments),
            "variances": variance_table(moments),
        },
        drawings=_drawings(samples, groups),
        measures=measures(samples, moments),
        notes=(
            "The text of the paper gives neither the figure's k nor its bins nor any number in "
            "it; they are ours. Eq. (33) has no meaning at k = 1, where panel (c) has no curve.",
            "At k = 2 the baseline of s(loo-1) has mean zero, as the raw rewards do, and moves "
            "nothing.",
            "After the first run the sampled points' errors got a floor of 1e-4 of their curve's "
            "range: where a bin holds only zeros it has no standard error.",
        ),
    )


def measures(samples: Samples, moments: Moments) -> dict[str, Measure]:
    """What the caption's statements and ours are judged by."""
    away = agreement(samples, moments)
    found = {
        "furthest sampled number from the exact one, in standard errors": exact(max(away)),
        "largest sum of a group with the centred loo": exact(
            max(samples["loo", k].largest_sum for k in KS)
        ),
    }
    for (baseline, k), moment in moments.items():
        name = LABELS[baseline]
        found |= {
            f"offset of {name} at k = {k}": estimated(*samples[baseline, k].offset),
            f"distance of the mean of {name} from zero at k = {k}": exact(
                abs(expected_mean(baseline, k))
            ),
            **{
                f"variance of the gradient with {name}, {policy} score, k = {k}": exact(of(moment))
                for policy, of in POLICIES.items()
            },
        }
    return found


def agreement(samples: Samples, moments: Moments) -> list[float]:
    """Standard errors between what was sampled and the exact bins, mean squares and variances."""
    edges, away = bin_edges(), []
    for key, seen in samples.items():
        known = moments[key]
        gaps = np.abs(seen.bins - expected_bins(*key, edges))
        away += (gaps / np.maximum(seen.bin_errors, RESOLUTION)).tolist()
        for (mean, error), wanted in ((seen.square, known.square), (seen.variance, known.variance)):
            away.append(abs(mean - wanted) / error)
    return away


def _drawings(samples: Samples, groups: int) -> tuple[Drawing, ...]:
    how = (
        f"Markers: transformed rewards of {groups:,} groups of n = {N} raw rewards uniform on "
        f"[-1/2, 1/2], averaged in {BINS} bins of the raw reward. Lines: the exact expectation, "
        "(u^k + constant) / n with u = raw reward + 1/2, where only the constant depends on the "
        "baseline."
    )
    return (
        Drawing(
            "figure5",
            "Transformed rewards against raw rewards",
            f"{how} The vertical axes differ.",
            "Three panels of curves that rise with the raw reward: s lies ever higher above zero "
            "for larger k, s(loo) around zero and below it, s(loo-1) from zero upwards.",
            transforms_figure(samples, ("none", "paper_loo", "loo_minus_one"), share=False),
        ),
        Drawing(
            "figure5_with_loo",
            "The baselines beside the centred one",
            how,
            "The same for s(loo), s(loo-1) and the centred loo, whose curves average to zero.",
            transforms_figure(samples, ("paper_loo", "loo_minus_one", "loo"), share=True),
        ),
    )


def offset_table(samples: Samples, moments: Moments) -> Table:
    """Vertical offsets, sampled and exact, by k."""

    def cell(baseline: Baseline, k: int) -> str:
        if (baseline, k) not in samples:
            return "-"
        (mean, error), known = samples[baseline, k].offset, expected_mean(baseline, k)
        spread = math.sqrt(moments[baseline, k].square - known**2)
        return f"{text(mean)} ± {error:.6f} ({text(known)}; {known / spread:+.2f})"

    return Table(
        title="Vertical offset: mean of the transformed rewards",
        headers=("k", *LABELS.values()),
        rows=tuple((str(k), *(cell(baseline, k) for baseline in LABELS)) for k in KS),
        notes=(
            "Sampled ± standard error; in parentheses exact, and over the standard deviation of "
            "a transformed reward.",
        ),
    )


def variance_table(moments: Moments) -> Table:
    """Exact variance of the gradient with each transform over that with s."""
    with_baseline: tuple[Baseline, ...] = ("paper_loo", "loo_minus_one", "loo")
    rows, bold = [], set()
    for k in KS:
        cells = [str(k)]
        for variance in POLICIES.values():
            plain = variance(moments["none", k])
            ratios = {
                b: variance(moments[b, k]) / plain for b in with_baseline if (b, k) in moments
            }
            cells.append(f"{plain:.4g}")
            for baseline in with_baseline:
                if baseline in ratios and math.isclose(ratios[baseline], min(ratios.values())):
                    bold.add((len(rows), len(cells)))
                cells.append(f"{ratios[baseline]:.4g}" if baseline in ratios else "-")
        rows.append(tuple(cells))
    titles = ("s", *(f"{LABELS[baseline]} / s" for baseline in with_baseline))
    return Table(
        title="Variance of the gradient on these rewards",
        headers=("k", *(f"{policy}: {title}" for policy in POLICIES for title in titles)),
        rows=tuple(rows),
        notes=(
            "Exact. Unrelated: each sample's score has length 1 in a direction that has nothing "
            "to do with its reward. Tilt: the density is proportional to exp(theta x), at "
            "theta = 0, so that a sample's score is its raw reward. Bold: lowest with a baseline.",
        ),
        bold=frozenset(bold),
    )


def transforms_figure(samples: Samples, baselines: Sequence[Baseline], *, share: bool) -> Figure:
    """A panel for each of three transforms, a curve for each k.

    Args:
        samples: of `sample`.
        baselines: of the panels.
        share: whether the panels have one vertical axis.
    """
    figure = new_figure(10.4, 3.9)
    panels = figure.subplots(1, len(baselines), sharey=share)
    edges = bin_edges()
    middles, fine = 0.5 * (edges[1:] + edges[:-1]), np.linspace(-0.5, 0.5, 201)
    for axes, baseline in zip(panels, baselines):
        name = f"{PANELS.get(baseline, '')} {LABELS[baseline]}".strip()
        style_axes(axes, name, "raw reward")
        axes.axhline(0.0, color=BASE_GREY, linewidth=1.0)
        for index, k in enumerate(KS):
            if (baseline, k) not in samples:
                continue
            look = arm_style(index)
            axes.plot(fine, expected_curve(baseline, k, fine), color=look.color, linewidth=1.4)
            axes.plot(
                middles,
                samples[baseline, k].bins,
                color=look.color,
                marker=look.marker,
                markersize=3.2,
                linestyle="",
            )
        axes.set_xlim(-0.5, 0.5)
    panels[0].set_ylabel("mean transformed reward")
    legend_above(figure, [arm_handle(index, f"k = {k}") for index, k in enumerate(KS)])
    return figure


def text(number: float) -> str:
    """Five decimals, without a sign where they are zeros."""
    return f"{number:.5f}" if abs(number) >= 5e-6 else "0.00000"
