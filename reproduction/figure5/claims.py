"""What is said of Fig. 5, judged by the numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np

from reproduction.figure5.numbers import (
    CENTRED,
    KS,
    MINUS_ONE,
    SLOO,
    Exact,
    Key,
    N,
    S,
    Sampled,
    Transform,
    bin_edges,
    expected_bins,
    expected_curve,
    expected_mean,
)
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.verdicts import IN_PART_RULE, over_cases

AGREES = 4.5
"""Standard errors within which a sampled number agrees with an exact one. About 800 are compared:
by chance one of them is further away in 1 of 190 runs."""

RESOLUTION = 1e-4 / N
"""Differences of curves that are not looked at, 1e-4 of their range: the lowest bins hold next to
no values but zero, and have no standard error to compare with."""

CLEARLY = 1e-9
"""By how much of it a number must be below another; the rest is rounding."""

Samples = Mapping[Key, Sampled]
Moments = Mapping[Key, Exact]

POLICIES: Mapping[str, Callable[[Exact], float]] = {
    "unrelated": lambda exact: N * exact.square,
    "tilt": lambda exact: exact.variance,
}
"""Variance of the gradient for two policies: scores of length 1 in directions that have nothing to
do with the rewards, and the density proportional to exp(theta x)."""


def claims(samples: Samples, moments: Moments) -> tuple[Claim, ...]:
    """The caption's statements, then our own."""
    return (
        offset_grows(samples),
        more_centred(SLOO),
        more_centred(MINUS_ONE),
        variance_falls(moments, SLOO),
        variance_falls(moments, MINUS_ONE),
        centred_sums(samples),
        agreement(samples, moments),
    )


def offset_grows(samples: Samples) -> Claim:
    """What the caption says of (a)."""
    found = [samples[S, k].offset for k in KS]
    held = [
        b.mean - a.mean > max(AGREES * math.hypot(a.error, b.error), RESOLUTION)
        for a, b in itertools.pairwise(found)
    ]
    listed = ", ".join(f"{text(e.mean)} (k = {k})" for e, k in zip(found, KS))
    return Claim(
        PKPO,
        "Fig. 5 (a)",
        "Without a baseline, transformed rewards have a vertical offset that grows with k, though "
        "the raw rewards are centred around zero.",
        f"The mean of s rises by more than {AGREES:g} standard errors from each k to the next. "
        f"{IN_PART_RULE}",
        f"{listed}. Exactly, k (k-1) / (2 n (k+1)).",
        over_cases(held),
    )


def more_centred(transform: Transform) -> Claim:
    """What the caption says of the baselines."""
    ks = [k for k in transform.ks if k > 1]
    pairs = [(abs(expected_mean(transform, k)), abs(expected_mean(S, k))) for k in ks]
    held = [mine < (1.0 - CLEARLY) * plain for mine, plain in pairs]
    listed = ", ".join(
        f"{mine:.5f} for {plain:.5f} (k = {k})" for (mine, plain), k in zip(pairs, ks)
    )
    return Claim(
        PKPO,
        f"Fig. 5 {transform.panel}",
        f"Transformed rewards {transform.label} are more centred than s.",
        "Their exact mean is closer to zero than that of s at each k > 1; at k = 1 that of s is "
        f"zero. {IN_PART_RULE}",
        f"Distance from zero {listed}.{_also(transform)}",
        over_cases(held),
    )


def _also(transform: Transform) -> str:
    if transform is not MINUS_ONE:
        return ""
    lowest = float(expected_curve(transform, KS[-1], np.array([-0.5]))[0])
    return (
        " At k = 2 the baseline has mean zero, as the raw rewards do, and moves nothing. The curve "
        f"starts at {lowest:g} for every k."
    )


def variance_falls(moments: Moments, transform: Transform) -> Claim:
    """What the caption says of the gradient."""
    held, parts = [], []
    for name, variance in POLICIES.items():
        ratios = [variance(moments[transform, k]) / variance(moments[S, k]) for k in transform.ks]
        held += [ratio < 1.0 - CLEARLY for ratio in ratios]
        listed = ", ".join(f"{ratio:.3g} (k = {k})" for ratio, k in zip(ratios, transform.ks))
        parts.append(f"{name}: {listed}")
    return Claim(
        PKPO,
        f"Fig. 5 {transform.panel}",
        f"Transformed rewards {transform.label} give gradients of lower variance than s.",
        "On these rewards the exact variance of the gradient is lower at each k, both for scores "
        "that have nothing to do with the rewards (unrelated) and for a density proportional to "
        f"exp(theta x) at theta = 0 (tilt). {IN_PART_RULE}",
        f"Times the variance of s, {'; '.join(parts)}.",
        over_cases(held),
    )


def centred_sums(samples: Samples) -> Claim:
    """Our own baseline."""
    largest = max(samples[CENTRED, k].largest_sum for k in KS)
    others = max(samples[SLOO, k].largest_sum for k in KS)
    return Claim(
        "here",
        "docs/mathematics.md",
        "With the centred leave-one-out baseline every group's transformed rewards add up to zero.",
        "No sum over a group is further from zero than 1e-12.",
        f"The largest is {largest:.1e}; of {SLOO.label} {others:.2g}.",
        Verdict.HOLDS if largest < 1e-12 else Verdict.NO,
    )


def agreement(samples: Samples, moments: Moments) -> Claim:
    """That the exact formulas and the samples say the same."""
    edges, away = bin_edges(), []
    for (transform, k), seen in samples.items():
        exact = moments[transform, k]
        gaps = np.abs(seen.bins - expected_bins(transform, k, edges))
        away += (gaps / np.maximum(seen.bin_errors, RESOLUTION)).tolist()
        away.append(abs(seen.square.mean - exact.square) / seen.square.error)
        away.append(abs(seen.variance.mean - exact.variance) / seen.variance.error)
    return Claim(
        "here",
        "Fig. 5",
        "All curves are (u^k + constant) / n, where u is the raw reward plus 1/2 and only the "
        "constant depends on the baseline; variances are as calculated.",
        f"No bin, mean square or variance is further than {AGREES:g} standard errors from the "
        f"exact number (or {RESOLUTION:.1g}, where a bin's error is less).",
        f"The furthest of {len(away)} is {max(away):.2f} away.",
        Verdict.HOLDS if max(away) <= AGREES else Verdict.NO,
    )


def text(value: float) -> str:
    """Five decimals, without a sign where they are zeros."""
    return f"{value:.5f}" if abs(value) >= 5e-6 else "0.00000"
