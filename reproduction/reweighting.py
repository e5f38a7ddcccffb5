"""What the pass@k gradient is, and where its signal vanishes (arXiv:2511.16231), on one prompt."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

import pkpo
from pkpo.core.objectives import Objective
from pkpo.core.weights import Baseline, required_size
from pkpo.report.style import arm_style, legend_above, new_figure, style_axes
from pkpo.tables import Table
from reproduction.measures import Measure, exact
from reproduction.one_prompt import gap, signal, weight, widest_gap
from reproduction.results import Drawing, Result
from reproduction.topics import Context

N = 16
KS = (2, 4, 8, 16)
SHOWN = (0.01, 0.1, 0.5, 0.9, 0.99)
"""p of the tables."""

HOPELESS, SOLVED = 1e-4, 0.999
"""p at which nearly every group of 16 is wrong, or right, throughout."""
HARD = (HOPELESS, 0.01, 0.05, 0.1)

STARTS: Mapping[str, tuple[float, ...]] = {
    "the right answer likeliest, p = .2": (0.2, *(0.1,) * 8),
    "the right answer likeliest, p = .6": (0.6, 0.3, 0.1),
    "a wrong answer likeliest, p = .45": (0.45, 0.55),
    "a wrong answer likeliest, p = .1": (0.1, 0.9),
}
"""Policies to concentrate; the first answer is the right one."""
TEMPERATURES = np.geomspace(1.0, 0.02, 60)

Estimator = tuple[Objective, Baseline]

MEAN = pkpo.mean_reward()
MIXTURE = 0.5 * pkpo.max_at(8) + 0.5 * MEAN
PASS_OBJECTIVES = (MEAN, *(pkpo.max_at(k) for k in KS))
MIXED_OBJECTIVES = (MEAN, pkpo.max_at(8), MIXTURE, pkpo.log_pass(N))
ESTIMATORS: tuple[Estimator, ...] = (
    (MEAN, "loo"),
    *((pkpo.max_at(k), b) for k in (4, 8) for b in ("loo", "loo_minus_one")),
    (pkpo.max_at(N), "loo_minus_one"),
)
MIXED: tuple[Estimator, ...] = (
    (MEAN, "loo"),
    *((objective, "loo_minus_one") for objective in MIXED_OBJECTIVES[1:]),
)
LEAVE_ONE_OUT: tuple[Estimator, ...] = tuple(
    (pkpo.max_at(k), baseline)
    for k in KS
    for baseline in ("loo", "loo_minus_one")
    if required_size(pkpo.max_at(k), baseline) <= N
)
"""Of which the noise on hard prompts is looked at."""


def concentration(start: Sequence[float], k: int) -> np.ndarray:
    """The gap pass@k - pass@1 at each of TEMPERATURES, all probabilities to the power of one over
    the temperature."""
    powers = np.array(start) ** (1 / TEMPERATURES[:, None])
    return gap(k, powers[:, 0] / powers.sum(axis=1))


def make(context: Context) -> Result:
    """Identity, regimes, mixtures."""
    points = 61 if context.quick else 241
    return Result(
        settings={
            "n": N,
            "k": list(KS),
            "p": list(SHOWN),
            "points": points,
            "starts": list(STARTS),
            "lowest_temperature": float(TEMPERATURES[-1]),
        },
        tables=tables(),
        drawings=drawings(points),
        measures=measures(),
        notes=(
            "Of the paper only the abstract was at hand; where it doesn't say which regime it "
            "means, both readings are looked at.",
            "As p → 0 the signal vanishes, as any objective's does whose dJ/dp is finite, and "
            "stays k times as large as that of pass@1. On one prompt the gap of pass@k and pass@1 "
            "is widest where the weight is 1: below that, concentrating on the right answer widens "
            "it; above, on a wrong one.",
            "Everything is for one prompt. Whether an objective that weighs prompts so is a good "
            "one to train for, and whether exploration is better bought otherwise (the abstract's "
            "last sentences), is a matter of training: see the studies.",
        ),
    )


def measures() -> dict[str, Measure]:
    """What the abstract's statements, and ours, are judged by."""
    everywhere, hopeless = np.linspace(0.0, 1.0, 10_001), np.array([HOPELESS])

    def in_logit(k: int, p: np.ndarray) -> np.ndarray:
        return weight(pkpo.max_at(k), p) * p * (1 - p)

    found: dict[str, float] = {}
    for k in KS:
        own = float(in_logit(k, hopeless)[0])
        found |= {
            f"unsolved prompts: gradient over its largest, k = {k}": own
            / float(in_logit(k, everywhere).max()),
            f"unsolved prompts: gradient over that of pass@1, k = {k}": own
            / float(in_logit(1, hopeless)[0]),
            f"solved prompts: gradient over that of pass@1, k = {k}": float(
                weight(pkpo.max_at(k), np.array([SOLVED]))[0]
            ),
        }
    for (label, start), k in itertools.product(STARTS.items(), KS):
        gaps = concentration(start, k)
        found |= {
            f"widening of the gap on the way from {label}, k = {k}": gaps.max() - gaps[0],
            f"share of the gap that is left from {label}, k = {k}": gaps[-1] / gaps.max(),
        }
    return {name: exact(number) for name, number in {**found, **_hard(), **_mixtures()}.items()}


def _hard() -> dict[str, float]:
    """Groups with a signal, and signal over noise, against those of the mean, for small p."""
    p = np.array(HARD)
    fine = np.geomspace(HARD[0], HARD[-1], 31)
    first, chance = signal(N, MEAN, "loo", p).ratio, signal(N, MEAN, "loo", fine).chance
    found = {}
    for objective, baseline in LEAVE_ONE_OUT:
        name = _label((objective, baseline))
        excess = (signal(N, objective, baseline, fine).chance - chance).max()
        ratios = signal(N, objective, baseline, p).ratio / first
        found[f"excess chance of a signal with {name}"] = excess
        for at, ratio in zip(HARD, ratios):
            found[f"signal to noise over that of the mean, {name}, p = {at:g}"] = ratio
    return found


def _mixtures() -> dict[str, float]:
    p = np.linspace(0.001, 0.999, 999)
    chance = signal(N, MEAN, "loo_minus_one", p).chance
    found = {}
    for objective, share in ((MIXTURE, 0.5), (pkpo.log_pass(N), 1.0)):
        off = np.abs(signal(N, objective, "loo_minus_one", p).chance - chance).max()
        least = weight(objective, p).min() / share
        found[f"least weight of {objective} over the share of pass@1 in it"] = least
        found[f"chance of a signal of {objective} less that of the mean"] = off
    return found


def _label(estimator: Estimator) -> str:
    objective, baseline = estimator
    return f"{objective}, {baseline}"


def tables() -> dict[str, Table]:
    """Numbers at the p of SHOWN."""
    p = np.array(SHOWN)
    signals = {_label(e): signal(N, *e, p) for e in dict.fromkeys((*ESTIMATORS, *MIXED))}
    weights = {str(o): weight(o, p) for o in dict.fromkeys((*PASS_OBJECTIVES, *MIXED_OBJECTIVES))}
    widest = {k: widest_gap(k) for k in KS}
    return {
        "weights": _table(
            "Weight dJ/dp: the gradient over that of pass@1",
            weights,
            "From the objectives' weights of the sorted rewards. On one prompt all objectives "
            "have one gradient up to this factor.",
        ),
        "gradients": _table(
            "Gradient in the logit, p(1-p) dJ/dp",
            {label: w * p * (1 - p) for label, w in weights.items()},
        ),
        "signal": _table(
            f"Chance that a group of {N} has any advantage but 0",
            {label: found.chance for label, found in signals.items()},
        ),
        "noise": _table(
            f"Signal to noise of one group of {N}: squared mean over variance",
            {label: found.ratio for label, found in signals.items()},
            "Exact, for a Bernoulli policy in its logit. Its inverse is the number of groups after "
            "which the mean estimate is as large as its standard error. Which baseline is best "
            "depends on the policy; where the gradient is large or small does not.",
        ),
        "gap": Table(
            title="pass@k less pass@1 on one prompt",
            headers=("", "widest at p", "widest", *(f"p = {v:g}" for v in SHOWN)),
            rows=tuple(
                (
                    f"k = {k}",
                    f"{at:.3f}",
                    f"{gap(k, np.array([at]))[0]:.3f}",
                    *(f"{v:.3g}" for v in gap(k, p)),
                )
                for k, at in widest.items()
            ),
        ),
    }


def _table(title: str, rows: Mapping[str, np.ndarray], *notes: str) -> Table:
    return Table(
        title=title,
        headers=("", *(f"p = {p:g}" for p in SHOWN)),
        rows=tuple((label, *(f"{v:.3g}" for v in values)) for label, values in rows.items()),
        notes=notes,
    )


Panel = tuple[str, str, Mapping[str, np.ndarray], tuple[float, float], bool]
"""Title, y label, curves (m,) by label, y limits, whether y is logarithmic."""


def drawings(points: int) -> tuple[Drawing, ...]:
    """Curves over p on a logit scale."""
    logits = np.linspace(-1, 1, points) * np.log(999)
    p = 1 / (1 + np.exp(-logits))
    weights = {str(o): weight(o, p) for o in PASS_OBJECTIVES}
    gradients = {label: w * p * (1 - p) for label, w in weights.items()}
    gaps = {str(o): gap(o.k, p) for o in PASS_OBJECTIVES[1:]}
    mixed_weights = {_label(e): weight(e[0], p) for e in MIXED}
    return (
        Drawing(
            name="pass_gradient",
            title="The pass@k gradient, by how hard the prompt is",
            caption="Left: what multiplies the gradient of pass@1 on a prompt with chance p. "
            "Middle: the gradient itself, in the policy's logit. Right: how far pass@k is above "
            "pass@1. p on a logit scale, so that both ends show.",
            alt="Weights start at k for small p, cross 1 between p = .17 (k = 16) and .5 (k = 2) "
            "and fall steeply towards p = 1. Gradients fall in parallel towards p = 0, k times "
            "above that of the mean, and steeper than it towards p = 1. Gaps are widest in "
            "between, for larger k at smaller p.",
            figure=panels(
                p,
                ("Weight", "dJ/dp", weights, (1e-4, 30.0), True),
                ("Gradient in the logit", "p(1-p) dJ/dp", gradients, (1e-6, 1.0), True),
                ("What k samples add", "pass@k - pass@1", gaps, (0.0, 0.8), False),
            ),
        ),
        Drawing(
            name="group_signal",
            title=f"What one group of {N} tells",
            caption="Left: the chance that not all advantages of the group are 0. Right: squared "
            "mean over variance of the group's gradient estimate, exact for a Bernoulli policy in "
            "its logit. Dashed: loo_minus_one, eq. (33).",
            alt="Towards p = 0 all curves fall together in both panels. Towards p = 1 the chance "
            "stays that of p = 0 for the mean, and falls the sooner the larger k is.",
            figure=panels(p, *_signal_panels(p, ESTIMATORS)),
        ),
        Drawing(
            name="mixtures",
            title="The same with pass@1 mixed in",
            caption=f"max@8 and the mean alone, half of each, and log_pass({N}), the sum of "
            f"max@j / j to j = {N}; groups of {N}. In the middle "
            "all but max@8 lie on one another.",
            alt="Half of each has weight 4.5 for small p and 1/2 near p = 1; log_pass falls from "
            "16 to 1 as 1/p. Both have the mean's chance of a signal at every p.",
            figure=panels(
                p,
                ("Weight", "dJ/dp", mixed_weights, (1e-4, 30.0), True),
                *_signal_panels(p, MIXED),
            ),
        ),
    )


def _signal_panels(p: np.ndarray, estimators: Sequence[Estimator]) -> tuple[Panel, Panel]:
    signals = {_label(e): signal(N, *e, p) for e in estimators}
    chances = {label: found.chance for label, found in signals.items()}
    ratios = {label: found.ratio for label, found in signals.items()}
    return (
        ("Chance of a signal", f"P(not all of {N} advantages 0)", chances, (0.0, 1.02), False),
        ("Signal to noise of a group", "mean² / variance", ratios, (1e-6, 1e3), True),
    )


def panels(p: np.ndarray, *shown: Panel) -> Figure:
    """Panels side by side over the same p, the curves of one label alike in all.

    Labels are an objective, or one with its baseline after a comma: colours tell objectives
    apart, dashes the baseline loo_minus_one.

    Args:
        p: (m,) chances between 0 and 1.
        shown: from left to right.
    """
    figure = new_figure(max(10.6, 4.3 * len(shown)), 3.9)
    labels = list(dict.fromkeys(label for _, _, curves, _, _ in shown for label in curves))
    objectives = list(dict.fromkeys(label.split(", ")[0] for label in labels))

    def look(label: str) -> dict[str, Any]:
        color = arm_style(objectives.index(label.split(", ")[0])).color
        return {"color": color, "linestyle": "--" if label.endswith("loo_minus_one") else "-"}

    for place, (title, ylabel, curves, limits, logarithmic) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        style_axes(axes, title, "p, the chance of a correct sample", ylabel)
        for label, values in curves.items():
            axes.plot(p, values, linewidth=1.9, **look(label))
        if logarithmic:
            axes.set_yscale("log")
        axes.set_ylim(*limits)
        ticks = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
        axes.set_xscale("logit")
        axes.set_xlim(float(p[0]), float(p[-1]))
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
    legend_above(figure, [Line2D([], [], linewidth=2.2, label=x, **look(x)) for x in labels])
    return figure
