"""RS-GRPO's bandit (2509.24261): a local peak where the policy starts, a higher one elsewhere.

The set-up is that of its authors' public script (github.com/Jackory/RS-GRPO, codes/bandit.py):
rewards, first policy, learning rate, 16 samples an update, 25,000 updates. Nothing was tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import pkpo
from pkpo.core.objectives import Objective
from pkpo.plans.schedules import Schedule
from pkpo.report.style import (
    BASE_GREY,
    GRID,
    INK,
    arm_handle,
    arm_style,
    legend_above,
    new_figure,
    percent_axis,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed, exact
from reproduction.one_prompt import weight
from reproduction.results import Drawing, Result
from reproduction.topics import Context

SEEDS, QUICK_SEEDS = tuple(range(10)), tuple(range(3))
QUICK_UPDATES = 12_000

K = 8
"""Of the best-of-k that is reported."""

PAST = 0.5
"""Chance of the best peak from which on a policy counts as past the local one."""

_BLOCK = 500
"""Most updates whose uniform draws are made at a time; the draws don't depend on it."""


def objectives(updates: int) -> dict[str, Schedule]:
    """By name, the objective at each of so many updates."""
    specs = {
        "mean reward": "mean",
        "max@2": "max@2",
        "max@4": "max@4",
        "max@8": "max@8",
        "max@8, then mean": f"switch(max@8, {updates // 2}, mean)",
        "½ max@8 + ½ mean": "0.5*max@8 + 0.5*mean",
    }
    return {name: pkpo.schedule(spec) for name, spec in specs.items()}


@dataclass(frozen=True)
class Bandit:
    """Arms in a row with certain rewards, and the policy that training starts from; peaks have a
    place and a height above the base."""

    num_arms: int = 100
    width: float = 5.0  # of all peaks, exp(-(arm - place)^2 / (2 width^2)) times the height
    base: float = 0.1
    best: tuple[int, float] = (40, 0.9)
    local: tuple[int, float] = (75, 0.5)
    start: tuple[int, float] = (75, 1.0)  # of the first policy, before it is normalised
    start_base: float = 0.1

    def _peak(self, place: int, height: float) -> np.ndarray:
        away = np.arange(self.num_arms) - place
        return height * np.exp(-(away**2) / (2.0 * self.width**2))

    @property
    def rewards(self) -> np.ndarray:
        """(arms,) reward of each arm."""
        return self.base + self._peak(*self.best) + self._peak(*self.local)

    @property
    def first_policy(self) -> np.ndarray:
        """(arms,) chances."""
        chances = self._peak(*self.start) + self.start_base
        return chances / chances.sum()

    @property
    def at_best(self) -> np.ndarray:
        """(arms,) whether an arm is within two widths of the best one."""
        return np.abs(np.arange(self.num_arms) - self.best[0]) <= 2.0 * self.width


@dataclass(frozen=True)
class Learned:
    """What training for one objective gives, recorded on the way."""

    bandit: Bandit
    updates: np.ndarray  # (records,) number of updates done
    policies: np.ndarray  # (records, seeds, arms) chances then

    def reward(self) -> np.ndarray:
        """(records, seeds) expected reward of one sample."""
        return self.policies @ self.bandit.rewards

    def share_at_best(self) -> np.ndarray:
        """(records, seeds) chance of an arm within two widths of the best one."""
        return self.policies @ self.bandit.at_best

    def best_of(self, k: int) -> np.ndarray:
        """(records, seeds) expected best reward of k samples."""
        rewards = self.bandit.rewards
        order = np.argsort(rewards)
        below = np.cumsum(self.policies[..., order], axis=-1)
        below = np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1) ** k
        return np.diff(below, axis=-1) @ rewards[order]

    def passing(self) -> np.ndarray:
        """(seeds,) updates until most of the policy is at the best peak; NaN for never."""
        past = self.share_at_best() > PAST
        first = self.updates[past.argmax(axis=0)].astype(float)
        return np.where(past.any(axis=0), first, np.nan)


@dataclass(frozen=True)
class Training:
    """Gradient ascent on the logits."""

    updates: int = 25_000
    num_samples: int = 16
    learning_rate: float = 0.1
    every: int = 250  # updates between records

    def sampled(self, bandit: Bandit, schedule: Schedule, seeds: Sequence[int]) -> Learned:
        """With the package's estimate of the gradient from samples, in independent runs.

        Args:
            bandit: what is learned.
            schedule: objective by update.
            seeds: one of each run. A run's draws depend on its seed alone.
        """
        streams = [np.random.default_rng(seed) for seed in seeds]
        rows = np.arange(len(seeds))[:, None]
        rewards, draws, block = bandit.rewards, np.empty(0), min(_BLOCK, self.updates)

        def gradient(update: int, policies: np.ndarray) -> np.ndarray:
            nonlocal draws
            if update % block == 0:
                shape = (block, self.num_samples)
                draws = np.stack([rng.random(shape) for rng in streams], axis=1)
            arms = sample_arms(policies, draws[update % block])
            advantages = pkpo.advantages(rewards[arms], schedule(update))
            found = -advantages.sum(axis=-1, keepdims=True) * policies
            np.add.at(found, (rows, arms), advantages)
            return found

        return self._ascend(bandit, len(seeds), gradient)

    def exact(self, bandit: Bandit, schedule: Schedule) -> Learned:
        """With the objective's own gradient: what infinitely many samples would give."""
        rewards = bandit.rewards
        return self._ascend(bandit, 1, lambda i, p: exact_gradient(p, rewards, schedule(i)))

    def _ascend(
        self, bandit: Bandit, runs: int, gradient: Callable[[int, np.ndarray], np.ndarray]
    ) -> Learned:
        """`gradient` is that in the logits (runs, arms), from the update and the policies."""
        logits = np.tile(np.log(bandit.first_policy), (runs, 1))
        updates = [*range(0, self.updates, self.every), self.updates]
        kept = []
        for update in range(self.updates):
            policies = _softmax(logits)
            if update % self.every == 0:
                kept.append(policies)
            logits = logits + self.learning_rate * gradient(update, policies)
        return Learned(bandit, np.array(updates), np.stack([*kept, _softmax(logits)]))


def sample_arms(policies: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """(runs, samples) indices of arms.

    Args:
        policies: (runs, arms) chances.
        uniform: (runs, samples) in [0, 1).
    """
    runs, num_arms = policies.shape
    cumulative = np.cumsum(policies, axis=-1)
    cumulative /= cumulative[:, -1:]
    # Row r lies in [r, r + 1], so that one search serves all rows.
    shift = np.arange(runs)[:, None]
    found = np.searchsorted((cumulative + shift).ravel(), uniform + shift, side="right")
    return np.minimum(found - shift * num_arms, num_arms - 1)


def exact_gradient(policies: np.ndarray, rewards: np.ndarray, objective: Objective) -> np.ndarray:
    """(..., arms) gradient of the objective in the logits.

    With F the chance of a reward up to each sorted one and d the gaps above it, the objective is
    the largest reward less sum_i d_i P(F_i), where P' is the objective's weight density
    (docs/mathematics.md, section 1): the weight of a prompt with chance 1 - F.

    Args:
        policies: (..., arms) chances.
        rewards: (arms,).
        objective: what is maximised.
    """
    order = np.argsort(rewards)
    below = np.cumsum(policies[..., order], axis=-1)[..., :-1]
    pull = np.diff(rewards[order]) * weight(objective, 1.0 - below)
    # An arm's chance counts in every F from its own rank on.
    of_rank = np.zeros_like(policies)
    of_rank[..., :-1] = -np.cumsum(pull[..., ::-1], axis=-1)[..., ::-1]
    of_arm = np.empty_like(policies)
    of_arm[..., order] = of_rank
    return policies * (of_arm - (policies * of_arm).sum(axis=-1, keepdims=True))


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


Runs = Mapping[str, Learned]
"""By objective."""


def make(context: Context) -> Result:
    """Trains for every objective: with every seed, and with the exact gradient."""
    training, seeds = Training(), SEEDS
    if context.quick:
        training, seeds = Training(updates=QUICK_UPDATES, every=120), QUICK_SEEDS
    bandit, schedules = Bandit(), objectives(training.updates)
    sampled = {name: training.sampled(bandit, s, seeds) for name, s in schedules.items()}
    known = {name: training.exact(bandit, s) for name, s in schedules.items()}
    return Result(
        settings={
            "bandit": asdict(bandit),
            "training": asdict(training),
            "objectives": {name: str(schedule) for name, schedule in schedules.items()},
            "baseline": "loo_minus_one",
            "seeds": list(seeds),
        },
        tables={
            "after_training": summary_table(sampled, known),
            "seeds": seeds_table(sampled, seeds),
        },
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
                bandit_figure(sampled, known),
            ),
        ),
        measures=measures(sampled, known),
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


def measures(sampled: Runs, known: Runs) -> dict[str, Measure]:
    """What each objective ends with, one number a seed, and the furthest of its seeds."""
    found = {}
    for name, learned in sampled.items():
        reward, share = learned.reward()[-1], learned.share_at_best()[-1]
        found |= {
            f"expected reward after {name}": by_seed(reward),
            f"best of {K} after {name}": by_seed(learned.best_of(K)[-1]),
            f"chance of the best peak after {name}": by_seed(share),
            f"lowest expected reward of a seed after {name}": exact(float(reward.min())),
            f"highest expected reward of a seed after {name}": exact(float(reward.max())),
            f"expected reward after {name} with the exact gradient": exact(
                float(known[name].reward()[-1, 0])
            ),
        }
    bandit = next(iter(sampled.values())).bandit
    return {**found, "reward of the local peak": exact(float(bandit.rewards[bandit.local[0]]))}


def summary_table(sampled: Runs, known: Runs) -> Table:
    """Means and ranges over seeds at the end of training."""

    def span(values: np.ndarray) -> str:
        return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"

    rows = []
    for name, learned in sampled.items():
        passing = learned.passing()
        reached = passing[np.isfinite(passing)]
        rows.append(
            (
                name,
                span(learned.reward()[-1]),
                f"{known[name].reward()[-1, 0]:.3f}",
                span(learned.best_of(K)[-1]),
                span(learned.share_at_best()[-1]),
                f"{reached.size}/{passing.size}",
                f"{reached.min():,.0f} to {reached.max():,.0f}" if reached.size else "never",
            )
        )
    return Table(
        title=f"After training, {passing.size} seeds",
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


def seeds_table(sampled: Runs, seeds: Sequence[int]) -> Table:
    """Expected reward of every seed."""
    return Table(
        title="Expected reward after training, every seed",
        headers=("objective", *(f"seed {seed}" for seed in seeds)),
        rows=tuple(
            (name, *(f"{value:.4f}" for value in learned.reward()[-1]))
            for name, learned in sampled.items()
        ),
    )


def bandit_figure(sampled: Runs, known: Runs) -> Figure:
    """Four panels: expected reward and share at the best peak by update, rewards and first
    policy by arm, and final policies by arm."""
    figure = new_figure(9.6, 6.6)
    (reward, rewards), (share, policies) = figure.subplots(2, 2)
    style_axes(reward, "Expected reward", "update")
    reward.set_ylim(0.3, 1.03)
    style_axes(share, "Chance of the best peak", "update")
    share.set_ylim(-0.03, 1.03)
    percent_axis(share.yaxis)
    style_axes(policies, "Policies after training, mean over seeds", "arm", "chance, log scale")
    policies.set_yscale("log")
    policies.set_ylim(1e-6, 2.0)
    for index, (name, learned) in enumerate(sampled.items()):
        color, smooth = arm_style(index).color, known[name]
        for axes, of in ((reward, Learned.reward), (share, Learned.share_at_best)):
            axes.plot(learned.updates, of(learned), color=color, linewidth=0.8, alpha=0.6)
            axes.plot(smooth.updates, of(smooth), color=INK, linestyle=":", linewidth=1.0)
        policies.plot(learned.policies[-1].mean(axis=0), color=color, linewidth=1.6)
    _draw_rewards(rewards, next(iter(sampled.values())).bandit)
    handles = [arm_handle(i, name, marker=False) for i, name in enumerate(sampled)]
    dotted = Line2D([], [], color=INK, linestyle=":", linewidth=1.4, label="exact gradient")
    legend_above(figure, [*handles, dotted])
    return figure


def _draw_rewards(axes: Axes, bandit: Bandit) -> None:
    arms, first = np.arange(bandit.num_arms), bandit.first_policy
    style_axes(axes, "Rewards (grey) and the first policy (line)", "arm", "reward")
    axes.fill_between(arms, bandit.rewards, color=GRID, step="mid")
    axes.set_ylim(0.0, 1.05)
    chances = axes.twinx()
    chances.plot(arms, first, color=BASE_GREY, linewidth=1.6, drawstyle="steps-mid")
    chances.set_ylim(0.0, 2.0 * first.max())
    chances.set_ylabel("chance", fontsize=9.5, color=BASE_GREY)
    chances.tick_params(labelsize=9, colors=BASE_GREY, length=3, color=GRID)
    for side in ("top", "left", "bottom", "right"):
        chances.spines[side].set_visible(False)
