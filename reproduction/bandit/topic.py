"""RS-GRPO's bandit (2509.24261): a local peak where the policy starts, a higher one elsewhere.

The set-up is that of its authors' public script (github.com/Jackory/RS-GRPO, codes/bandit.py):
rewards, first policy, learning rate, 16 samples an update, 25,000 updates. Nothing was tuned.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

import pkpo
from pkpo.plans.schedules import Schedule
from reproduction.bandit.claims import (
    LABELS,
    MAX_2,
    MAX_4,
    MAX_8,
    MEAN,
    MIXED,
    SWITCH,
    K,
    Outcomes,
    bandit_claims,
    span,
)
from reproduction.bandit.drawings import bandit_figure
from reproduction.bandit.learning import Bandit, Training
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context

SEEDS, QUICK_SEEDS = tuple(range(10)), tuple(range(3))
QUICK_UPDATES = 12_000


def make(context: Context) -> Result:
    """Trains for every objective with every seed."""
    training, seeds = Training(), SEEDS
    if context.quick:
        training, seeds = Training(updates=QUICK_UPDATES, every=120), QUICK_SEEDS
    found = learn(training, seeds)
    schedules = {name: str(schedule) for name, schedule in objectives(training.updates).items()}
    return Result(
        settings={
            "bandit": asdict(found.bandit),
            "training": asdict(training),
            "objectives": schedules,
            "baseline": "loo_minus_one",
            "seeds": list(seeds),
        },
        tables=(summary_table(found), seeds_table(found)),
        drawings=(
            Drawing(
                "bandit",
                "A bandit on which training for the mean reward is stuck",
                f"Left: all {len(seeds)} seeds, one line each; dotted, training with the exact "
                'gradient of the same objective; up to half-way, max@8 lies under "max@8, then '
                'mean". Right: what each arm pays, the policy that training starts from, and the '
                "policies that it ends with.",
                "Expected reward and chance of the best peak by update for each objective; "
                "rewards and policies by arm. The mean reward stays at the local peak.",
                bandit_figure(found),
            ),
        ),
        claims=bandit_claims(found),
        notes=(
            "The set-up is that of the public script of RS-GRPO's authors "
            "(github.com/Jackory/RS-GRPO, codes/bandit.py): peaks of height 0.9 at arm 40 and 0.5 "
            "at arm 75, width 5, on a base of 0.1, so that these arms pay 1.0 and 0.6; the first "
            "policy in proportion to exp(-(arm - 75)² / 50) + 0.1; learning rate 0.1 on the mean "
            "of 16 samples' gradients; 400,000 samples. Nothing was tuned; seeds 100 to 109 were "
            "looked at before the rules were written.",
            "The script's own objective (exponential utility) is not trained here. For the mean "
            "reward it subtracts the group's mean, here it is the others' mean: 16/15 times as "
            "large a step. Its figure shows one seed and is not available as numbers.",
            "All objectives see the same uniform draws of a seed.",
            "One rule was changed before the ten seeds were run: that larger k also leaves the "
            "local peak sooner was dropped, as max@4 and max@8 overlap there with seeds 100-109.",
        ),
    )


def objectives(updates: int) -> dict[str, Schedule]:
    """By name, the objective at each of so many updates."""
    specs = {
        MEAN: "mean",
        MAX_2: "max@2",
        MAX_4: "max@4",
        MAX_8: "max@8",
        SWITCH: f"switch(max@8, {updates // 2}, mean)",
        MIXED: "0.5*max@8 + 0.5*mean",
    }
    return {name: pkpo.schedule(spec) for name, spec in specs.items()}


def learn(training: Training, seeds: tuple[int, ...]) -> Outcomes:
    """Trains for every objective: with each seed, and with the exact gradient."""
    bandit, schedules = Bandit(), objectives(training.updates)
    return Outcomes(
        bandit=bandit,
        seeds=seeds,
        sampled={name: training.sampled(bandit, s, seeds) for name, s in schedules.items()},
        exact={name: training.exact(bandit, s) for name, s in schedules.items()},
    )


def summary_table(found: Outcomes) -> Table:
    """Means and ranges over seeds at the end of training."""
    rows = []
    for name in found.sampled:
        passing, exact = found.passing(name), found.exact[name]
        reached = passing[np.isfinite(passing)]
        when = f"{reached.min():,.0f} to {reached.max():,.0f}" if reached.size else "never"
        rows.append(
            (
                LABELS[name],
                _range(found.reward(name)),
                f"{exact.reward(found.bandit)[-1, 0]:.3f}",
                _range(found.best_of(name)),
                _range(found.share(name)),
                f"{reached.size}/{passing.size}",
                when,
            )
        )
    return Table(
        name="bandit",
        title=f"After training, {len(found.seeds)} seeds",
        headers=(
            "objective",
            "expected reward",
            "with the exact gradient",
            f"best of {K}",
            "chance of the best peak",
            "seeds past",
            "updates until past",
        ),
        rows=tuple(rows),
        notes=(
            "Mean over seeds, lowest to highest in parentheses; all values are exact for the "
            "policy that was learned. Best peak: the arms within 10 of arm 40. Past: most of the "
            "policy is there at some record.",
        ),
    )


def seeds_table(found: Outcomes) -> Table:
    """Expected reward of every seed."""
    rows = tuple(
        (LABELS[name], *(f"{value:.4f}" for value in found.reward(name))) for name in found.sampled
    )
    return Table(
        name="bandit_seeds",
        title="Expected reward after training, every seed",
        headers=("objective", *(f"seed {seed}" for seed in found.seeds)),
        rows=rows,
    )


def _range(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({span(values)})"
