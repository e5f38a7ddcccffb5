"""What the pass@k gradient is, and where its signal vanishes (arXiv:2511.16231)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import pkpo
from pkpo.core.objectives import Objective
from pkpo.core.weights import Baseline
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.reweighting.claims import K_VALUES, STARTS, TEMPERATURES, claims
from reproduction.reweighting.figures import Panel, panels
from reproduction.reweighting.numbers import Signal, gap, signal, weight, widest_gap

N = 16
SHOWN = (0.01, 0.1, 0.5, 0.9, 0.99)
"""p of the tables."""


@dataclass(frozen=True)
class Estimator:
    """An objective with its baseline."""

    objective: Objective
    baseline: Baseline

    @property
    def label(self) -> str:
        return f"{self.objective}, {self.baseline}"

    def signal(self, p: np.ndarray) -> Signal:
        return signal(N, self.objective, self.baseline, p)


MEAN = pkpo.mean_reward()
PASS_OBJECTIVES = (MEAN, *(pkpo.max_at(k) for k in K_VALUES))
MIXED_OBJECTIVES = (MEAN, pkpo.max_at(8), 0.5 * pkpo.max_at(8) + 0.5 * MEAN, pkpo.log_pass(N))
ESTIMATORS = (
    Estimator(MEAN, "loo"),
    *(Estimator(pkpo.max_at(k), b) for k in (4, 8) for b in ("loo", "loo_minus_one")),
    Estimator(pkpo.max_at(N), "loo_minus_one"),
)
MIXED = (
    Estimator(MEAN, "loo"),
    *(Estimator(objective, "loo_minus_one") for objective in MIXED_OBJECTIVES[1:]),
)


def _chances(points: int) -> np.ndarray:
    logits = np.linspace(-1, 1, points) * np.log(999)
    return 1 / (1 + np.exp(-logits))


def _table(name: str, title: str, rows: dict[str, np.ndarray], *notes: str) -> Table:
    return Table(
        name=name,
        title=title,
        headers=("", *(f"p = {p:g}" for p in SHOWN)),
        rows=tuple((label, *(f"{v:.3g}" for v in values)) for label, values in rows.items()),
        notes=notes,
    )


def tables() -> tuple[Table, ...]:
    p = np.array(SHOWN)
    objectives = dict.fromkeys((*PASS_OBJECTIVES, *MIXED_OBJECTIVES))
    signals = {e.label: e.signal(p) for e in dict.fromkeys((*ESTIMATORS, *MIXED))}
    weights = {str(o): weight(o, p) for o in objectives}
    return (
        _table(
            "weights",
            "Weight dJ/dp: the gradient over that of pass@1",
            weights,
            "From the objectives' weights of the sorted rewards. On one prompt all objectives "
            "have one gradient up to this factor.",
        ),
        _table(
            "gradients",
            "Gradient in the logit, p(1-p) dJ/dp",
            {label: w * p * (1 - p) for label, w in weights.items()},
        ),
        _table(
            "signal",
            f"Chance that a group of {N} has any advantage but 0",
            {label: found.chance for label, found in signals.items()},
        ),
        _table(
            "noise",
            f"Signal to noise of one group of {N}: squared mean over variance",
            {label: found.ratio for label, found in signals.items()},
            "Exact, for a Bernoulli policy in its logit. Its inverse is the number of groups after "
            "which the mean estimate is as large as its standard error. Which baseline is best "
            "depends on the policy; where the gradient is large or small does not.",
        ),
        Table(
            name="gap",
            title="pass@k less pass@1 on one prompt",
            headers=("", "widest at p", "widest", *(f"p = {v:g}" for v in SHOWN)),
            rows=tuple(
                (
                    f"k = {k}",
                    f"{widest_gap(k):.3f}",
                    f"{gap(k, np.array([widest_gap(k)]))[0]:.3f}",
                    *(f"{v:.3g}" for v in gap(k, p)),
                )
                for k in K_VALUES
            ),
        ),
    )


def drawings(points: int) -> tuple[Drawing, ...]:
    p = _chances(points)
    weights = {str(o): weight(o, p) for o in PASS_OBJECTIVES}
    pass_gradient = panels(
        p,
        (
            ("Weight", "dJ/dp", weights, (1e-4, 30.0), True),
            (
                "Gradient in the logit",
                "p(1-p) dJ/dp",
                {label: w * p * (1 - p) for label, w in weights.items()},
                (1e-6, 1.0),
                True,
            ),
            (
                "What k samples add",
                "pass@k - pass@1",
                {str(o): gap(o.k, p) for o in PASS_OBJECTIVES[1:]},
                (0.0, 0.8),
                False,
            ),
        ),
    )
    estimators = panels(p, _signal_panels(p, ESTIMATORS))
    mixed = panels(
        p,
        (
            (
                "Weight",
                "dJ/dp",
                {e.label: weight(e.objective, p) for e in MIXED},
                (1e-4, 30.0),
                True,
            ),
            *_signal_panels(p, MIXED),
        ),
    )
    return (
        Drawing(
            name="weights",
            title="The pass@k gradient, by how hard the prompt is",
            caption="Left: what multiplies the gradient of pass@1 on a prompt with chance p. "
            "Middle: the gradient itself, in the policy's logit. Right: how far pass@k is above "
            "pass@1. p on a logit scale, so that both ends show.",
            alt="Weights start at k for small p, cross 1 between p = .17 (k = 16) and .5 (k = 2) "
            "and fall steeply towards p = 1. Gradients fall in parallel towards p = 0, k times "
            "above that of the mean, and steeper than it towards p = 1. Gaps are widest in "
            "between, for larger k at smaller p.",
            figure=pass_gradient,
        ),
        Drawing(
            name="signal",
            title=f"What one group of {N} tells",
            caption="Left: the chance that not all advantages of the group are 0. Right: squared "
            "mean over variance of the group's gradient estimate, exact for a Bernoulli policy in "
            "its logit. Dashed: loo_minus_one, eq. (33).",
            alt="Towards p = 0 all curves fall together in both panels. Towards p = 1 the chance "
            "stays that of p = 0 for the mean, and falls the sooner the larger k is.",
            figure=estimators,
        ),
        Drawing(
            name="mixtures",
            title="The same with pass@1 mixed in",
            caption=f"max@8 and the mean alone, half of each, and log_pass({N}), the sum of "
            f"max@j / j to j = {N}; groups of {N}. In the middle "
            "all but max@8 lie on one another.",
            alt="Half of each has weight 4.5 for small p and 1/2 near p = 1; log_pass falls from "
            "16 to 1 as 1/p. Both have the mean's chance of a signal at every p.",
            figure=mixed,
        ),
    )


def _signal_panels(p: np.ndarray, estimators: tuple[Estimator, ...]) -> tuple[Panel, Panel]:
    signals = {e.label: e.signal(p) for e in estimators}
    chances = {label: found.chance for label, found in signals.items()}
    ratios = {label: found.ratio for label, found in signals.items()}
    return (
        ("Chance of a signal", f"P(not all of {N} advantages 0)", chances, (0.0, 1.02), False),
        ("Signal to noise of a group", "mean² / variance", ratios, (1e-6, 1e3), True),
    )


def make(context: Context) -> Result:
    """Identity, regimes, mixtures."""
    points, listed = (61, 4) if context.quick else (241, 5)
    return Result(
        settings={
            "n": N,
            "k": K_VALUES,
            "p": SHOWN,
            "points": points,
            "listed": listed,
            "starts": [label for label, _ in STARTS],
            "lowest_temperature": TEMPERATURES[-1],
        },
        tables=tables(),
        drawings=drawings(points),
        claims=claims(N, listed),
        notes=(
            "Of the paper only the abstract was at hand; where it doesn't say which regime it "
            "means, both readings are claims.",
            "Everything is for one prompt. Whether an objective that weighs prompts so is a good "
            "one to train for, and whether exploration is better bought otherwise (the abstract's "
            "last sentences), is a matter of training: see the studies.",
        ),
    )
