"""Fig. 5: transformed rewards against raw ones, without and with baselines, then centred."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pkpo.report.style import (
    BASE_GREY,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    style_axes,
)
from reproduction.figure5.claims import POLICIES, Moments, Samples, claims, text
from reproduction.figure5.numbers import (
    BINS,
    CENTRED,
    GROUPS,
    KEYS,
    KS,
    MINUS_ONE,
    QUICK_GROUPS,
    SEED,
    SLOO,
    TRANSFORMS,
    N,
    S,
    Transform,
    bin_edges,
    exact_moments,
    expected_curve,
    expected_mean,
    sample,
)
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context


def make(context: Context) -> Result:
    """The figure, once with the paper's transforms and once with ours, and what is said of it."""
    groups = QUICK_GROUPS if context.quick else GROUPS
    samples = sample(groups)
    moments = {(transform, k): exact_moments(transform, k) for transform, k in KEYS}
    return Result(
        settings={"n": N, "k": list(KS), "bins": BINS, "groups": groups, "seed": SEED},
        tables=(offset_table(samples, moments), variance_table(moments)),
        drawings=_drawings(samples, groups),
        claims=claims(samples, moments),
        notes=(
            "The text of the paper gives neither the figure's k nor its bins nor any number in "
            "it; they are ours. Eq. (33) has no meaning at k = 1, where panel (c) has no curve.",
            "After the first run the sampled points' errors got a floor of 1e-4 of their curve's "
            "range: where a bin holds only zeros it has no standard error.",
        ),
    )


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
            transforms_figure(samples, (S, SLOO, MINUS_ONE), share=False),
        ),
        Drawing(
            "figure5_with_loo",
            "The baselines beside the centred one",
            how,
            "The same for s(loo), s(loo-1) and the centred loo, whose curves average to zero.",
            transforms_figure(samples, (SLOO, MINUS_ONE, CENTRED), share=True),
        ),
    )


def offset_table(samples: Samples, moments: Moments) -> Table:
    """Vertical offsets, sampled and exact, by k."""
    rows = []
    for k in KS:
        cells = [str(k)]
        for transform in TRANSFORMS:
            if (transform, k) not in samples:
                cells.append("-")
                continue
            seen, exact = samples[transform, k].offset, expected_mean(transform, k)
            spread = math.sqrt(moments[transform, k].square - exact**2)
            cells.append(
                f"{text(seen.mean)} ± {seen.error:.6f} ({text(exact)}; {exact / spread:+.2f})"
            )
        rows.append(tuple(cells))
    return Table(
        name="figure5_offsets",
        title="Vertical offset: mean of the transformed rewards",
        headers=("k", *(t.label for t in TRANSFORMS)),
        rows=tuple(rows),
        notes=(
            "Sampled ± standard error; in parentheses exact, and over the standard deviation of "
            "a transformed reward.",
        ),
    )


def variance_table(moments: Moments) -> Table:
    """Exact variance of the gradient with each transform over that with s."""
    with_baseline = [t for t in TRANSFORMS if t is not S]
    rows, bold = [], set()
    for k in KS:
        cells = [str(k)]
        for variance in POLICIES.values():
            defined = [t for t in with_baseline if (t, k) in moments]
            plain = variance(moments[S, k])
            ratios = {t: variance(moments[t, k]) / plain for t in defined}
            cells.append(f"{plain:.4g}")
            for transform in with_baseline:
                if transform not in ratios:
                    cells.append("-")
                    continue
                if math.isclose(ratios[transform], min(ratios.values())):
                    bold.add((len(rows), len(cells)))
                cells.append(f"{ratios[transform]:.4g}")
        rows.append(tuple(cells))
    headers = [
        f"{policy}: {title}"
        for policy in POLICIES
        for title in (S.label, *(f"{t.label} / {S.label}" for t in with_baseline))
    ]
    return Table(
        name="figure5_variances",
        title="Variance of the gradient on these rewards",
        headers=("k", *headers),
        rows=tuple(rows),
        notes=(
            "Exact. Unrelated: each sample's score has length 1 in a direction that has nothing "
            "to do with its reward. Tilt: the density is proportional to exp(theta x), at "
            "theta = 0, so that a sample's score is its raw reward. Bold: lowest with a baseline.",
        ),
        bold=frozenset(bold),
    )


def transforms_figure(samples: Samples, transforms: Sequence[Transform], *, share: bool) -> Figure:
    """A panel for each transform, a curve for each k.

    Args:
        samples: of `sample`.
        transforms: three.
        share: whether the panels have one vertical axis.
    """
    figure = new_figure(10.4, 3.9)
    panels = figure.subplots(1, len(transforms), sharey=share)
    for axes, transform in zip(panels, transforms):
        style_axes(axes, f"{transform.panel} {transform.label}".strip(), "raw reward")
        _draw(axes, samples, transform)
    panels[0].set_ylabel("mean transformed reward")
    legend_above(figure, [arm_handle(index, f"k = {k}") for index, k in enumerate(KS)])
    return figure


def _draw(axes: Axes, samples: Samples, transform: Transform) -> None:
    edges = bin_edges()
    middles, fine = 0.5 * (edges[1:] + edges[:-1]), np.linspace(-0.5, 0.5, 201)
    axes.axhline(0.0, color=BASE_GREY, linewidth=1.0)
    for index, k in enumerate(KS):
        if k not in transform.ks:
            continue
        style = arm_style(index)
        axes.plot(fine, expected_curve(transform, k, fine), color=style.color, linewidth=1.4)
        axes.plot(
            middles,
            samples[transform, k].bins,
            color=style.color,
            marker=style.marker,
            markersize=3.2,
            linestyle="",
        )
    axes.set_xlim(-0.5, 0.5)
