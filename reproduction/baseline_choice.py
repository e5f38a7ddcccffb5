"""Which baseline has the lowest variance: it depends on the policy and on how hard the problem is.

0/1 rewards on one prompt, for a Bernoulli policy in its logit and for a softmax policy over 1,000
arms, exactly; and Sec. 4.3's reasons for the baseline of eq. (33).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
from reproduction.measures import Measure, exact
from reproduction.one_dimensional import DRAWN, MINUS_ONE, SLOO, Estimator
from reproduction.one_prompt import signal, softmax_variance
from reproduction.results import Drawing, Result
from reproduction.topics import Context

N, KS = 16, (4, 8)
CHANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
"""p, the chance that a sample is correct."""

PAPER_KS = (2, 4, 8)
"""The paper's k_opt that have a baseline of their own."""

BASELINES: Mapping[Baseline, str] = {
    "paper_loo": "s(loo)",
    "loo_minus_one": "s(loo-1)",
    "loo": "centred loo (ours)",
}
POLICIES: Mapping[str, Callable[..., np.ndarray]] = {
    "Bernoulli logit": lambda n, k, baseline, p: signal(n, k, baseline, p).variance,
    "softmax, 50 of 1,000 arms correct": partial(softmax_variance, correct=50, wrong=950),
}
"""From (n, k, baseline, p (m,)) to the variance (m,) of the gradient estimate."""


def variances(policy: str, k: int, p: Sequence[float] = CHANCES) -> dict[Baseline, np.ndarray]:
    """(len(p),) exact variances by baseline."""
    return {b: POLICIES[policy](N, k, b, np.asarray(p)) for b in BASELINES}


def make(context: Context) -> Result:
    """The same in quick settings."""
    return Result(
        settings={"n": N, "k": list(KS), "p": list(CHANCES), "policies": list(POLICIES)},
        tables={"variances_by_policy": policy_table()},
        drawings=(
            Drawing(
                "baselines_by_policy",
                "Which baseline is best depends on the policy",
                "Exact, n = 16. Below 1 a baseline has a lower variance than the centred loo; "
                "s(loo) leaves the panel where nearly all samples are correct.",
                "Variance ratios against p in four panels: s(loo-1) is below 1 for the Bernoulli "
                "policy from middling p on and above 1 for the softmax policy.",
                policies_figure(),
            ),
        ),
        measures=measures(),
        notes=(
            f"There are more subsets of k-1 others than of k just where k > n/2. At n = {N}: "
            + "; ".join(
                f"{math.comb(N - 1, k - 1):,} of {k - 1} against {math.comb(N - 1, k):,} of {k}"
                for k in PAPER_KS
            )
            + ".",
        ),
    )


def measures() -> dict[str, Measure]:
    """Variances by policy, how often each of two baselines has the lower one, and numbers of
    subsets."""
    found: dict[str, float] = {}
    lower: dict[Baseline, int] = {"loo_minus_one": 0, "loo": 0}
    for policy in POLICIES:
        for k in sorted({*KS, *PAPER_KS}):
            of = variances(policy, k)
            for i, p in enumerate(CHANCES):
                where = f"{policy}, k = {k}, p = {p:g}"
                found |= {f"variance with {BASELINES[b]}, {where}": of[b][i] for b in BASELINES}
                if k in KS:
                    lower[min(lower, key=lambda b: of[b][i])] += 1
    for baseline, count in lower.items():
        found[f"settings in which {BASELINES[baseline]} has the lower variance"] = count
    for k in range(2, N):
        found[f"subsets of k-1 others at n = {N}, k = {k}"] = math.comb(N - 1, k - 1)
        found[f"subsets of k others at n = {N}, k = {k}"] = math.comb(N - 1, k)
    return {name: exact(number) for name, number in found.items()}


def policy_table() -> Table:
    """Exact variances by policy, k and p; the lowest bold."""
    rows, bold = [], set()
    for policy in POLICIES:
        for k in KS:
            of = variances(policy, k)
            for i, p in enumerate(CHANCES):
                values = [of[baseline][i] for baseline in BASELINES]
                bold.add((len(rows), 3 + int(np.argmin(values))))
                ratio = f"{of['loo_minus_one'][i] / of['loo'][i]:.3f}"
                rows.append((policy, str(k), f"{p:g}", *(f"{v:.4g}" for v in values), ratio))
    return Table(
        title="Which baseline is best depends on the policy",
        headers=("policy", "k", "p", *BASELINES.values(), "s(loo-1) / centred loo"),
        rows=tuple(rows),
        notes=(
            "Exact variance (trace of the covariance) of the gradient estimate of pass@k in the "
            f"logits, n = {N}, p the chance that a sample is correct. Bold: lowest.",
        ),
        bold=frozenset(bold),
    )


def policies_figure() -> Figure:
    """Variance over that of the centred baseline against p, one panel a policy and k."""
    figure = new_figure(8.6, 5.8)
    grid = figure.subplots(len(KS), len(POLICIES), sharex=True, sharey=True)
    shares = np.linspace(0.01, 0.95, 95)
    lines: tuple[tuple[Estimator, Baseline], ...] = (
        (SLOO, "paper_loo"),
        (MINUS_ONE, "loo_minus_one"),
    )
    for column, policy in zip(grid.T, POLICIES):
        for axes, k in zip(column, KS):
            style_axes(axes, f"{policy}; k = {k}")
            of = variances(policy, k, shares.tolist())
            for one, baseline in lines:
                look = arm_style(DRAWN.index(one))
                ratios = of[baseline] / of["loo"]
                axes.plot(shares, ratios, color=look.color, linestyle=look.line, linewidth=2.0)
            axes.axhline(1.0, color=BASE_GREY, linewidth=1.6)
            axes.set_yscale("log")
            axes.set_xlim(0.0, 1.0)
            axes.set_ylim(0.05, 20.0)
            axes.set_yticks([0.1, 0.3, 1.0, 3.0, 10.0], labels=["0.1", "0.3", "1", "3", "10"])
            axes.minorticks_off()
    for axes in grid[-1]:
        axes.set_xlabel("chance p that a sample is correct")
    for axes in grid[:, 0]:
        axes.set_ylabel("variance / centred loo's")
    handles = [arm_handle(DRAWN.index(o), BASELINES[b], marker=False) for o, b in lines]
    centred = Line2D([], [], color=BASE_GREY, linewidth=1.6, label=BASELINES["loo"])
    legend_above(figure, [*handles, centred])
    return figure
