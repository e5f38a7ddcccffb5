"""RS-GRPO's bandit, and training on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import pkpo
from pkpo.core.objectives import Objective
from pkpo.plans.schedules import Schedule

_Gradient = Callable[[int, np.ndarray], np.ndarray]
"""(update, policies (runs, arms)) -> gradients in the logits, (runs, arms)."""

_BLOCK = 500
"""Updates whose uniform draws are made at a time."""


@dataclass(frozen=True)
class Peak:
    """A bump exp(-(arm - at)^2 / (2 width^2)) * height."""

    at: int
    height: float
    width: float

    def over(self, arms: np.ndarray) -> np.ndarray:
        return self.height * np.exp(-((arms - self.at) ** 2) / (2.0 * self.width**2))


@dataclass(frozen=True)
class Bandit:
    """Arms in a row with certain rewards, and the policy that training starts from.

    Args:
        num_arms: how many.
        base: reward that every arm has.
        best, local: peaks of the reward above the base.
        start: peak of the first policy, whose heights are chances before they are normalised.
        start_base: chance that every arm has in addition.
    """

    num_arms: int = 100
    base: float = 0.1
    best: Peak = Peak(40, 0.9, 5.0)
    local: Peak = Peak(75, 0.5, 5.0)
    start: Peak = Peak(75, 1.0, 5.0)
    start_base: float = 0.1

    @property
    def rewards(self) -> np.ndarray:
        """(arms,) reward of each arm."""
        arms = np.arange(self.num_arms)
        return self.base + self.best.over(arms) + self.local.over(arms)

    @property
    def first_policy(self) -> np.ndarray:
        """(arms,) chances."""
        chances = self.start.over(np.arange(self.num_arms)) + self.start_base
        return chances / chances.sum()

    @property
    def at_best(self) -> np.ndarray:
        """(arms,) whether an arm is within two widths of the best one."""
        return np.abs(np.arange(self.num_arms) - self.best.at) <= 2.0 * self.best.width


@dataclass(frozen=True)
class Learned:
    """Training for one objective.

    Args:
        updates: (records,) number of updates done.
        policies: (records, seeds, arms) chances then.
    """

    updates: np.ndarray
    policies: np.ndarray

    def reward(self, bandit: Bandit) -> np.ndarray:
        """(records, seeds) expected reward of one sample."""
        return self.policies @ bandit.rewards

    def share_at_best(self, bandit: Bandit) -> np.ndarray:
        """(records, seeds) chance of an arm within two widths of the best one."""
        return self.policies @ bandit.at_best

    def best_of(self, bandit: Bandit, k: int) -> np.ndarray:
        """(records, seeds) expected best reward of k samples."""
        order = np.argsort(bandit.rewards)
        below = np.cumsum(self.policies[..., order], axis=-1)
        below = np.concatenate([np.zeros_like(below[..., :1]), below], axis=-1) ** k
        return np.diff(below, axis=-1) @ bandit.rewards[order]


@dataclass(frozen=True)
class Training:
    """Gradient ascent on the logits.

    Args:
        updates: how many.
        num_samples: for each update.
        learning_rate: step size on the gradient of the objective.
        every: updates between records.
    """

    updates: int = 25_000
    num_samples: int = 16
    learning_rate: float = 0.1
    every: int = 250

    def sampled(self, bandit: Bandit, schedule: Schedule, seeds: Sequence[int]) -> Learned:
        """With the package's estimate of the gradient from samples, in independent runs.

        Args:
            bandit: what is learned.
            schedule: objective by update.
            seeds: one of each run. A run's draws depend on its seed alone.
        """
        streams = [np.random.default_rng(seed) for seed in seeds]
        rows = np.arange(len(seeds))[:, None]
        rewards, draws = bandit.rewards, np.empty(0)

        def gradient(update: int, policies: np.ndarray) -> np.ndarray:
            nonlocal draws
            if update % _BLOCK == 0:
                shape = (_BLOCK, self.num_samples)
                draws = np.stack([rng.random(shape) for rng in streams], axis=1)
            arms = sample_arms(policies, draws[update % _BLOCK])
            advantages = pkpo.advantages(rewards[arms], schedule(update))
            found = -advantages.sum(axis=-1, keepdims=True) * policies
            np.add.at(found, (rows, arms), advantages)
            return found

        return self._ascend(bandit, len(seeds), gradient)

    def exact(self, bandit: Bandit, schedule: Schedule) -> Learned:
        """With the objective's own gradient: what infinitely many samples would give."""

        def gradient(update: int, policies: np.ndarray) -> np.ndarray:
            return exact_gradient(policies, bandit.rewards, schedule(update))

        return self._ascend(bandit, 1, gradient)

    def _ascend(self, bandit: Bandit, runs: int, gradient: _Gradient) -> Learned:
        logits = np.tile(np.log(bandit.first_policy), (runs, 1))
        updates = [*range(0, self.updates, self.every), self.updates]
        kept = []
        for update in range(self.updates):
            policies = _softmax(logits)
            if update % self.every == 0:
                kept.append(policies)
            logits = logits + self.learning_rate * gradient(update, policies)
        return Learned(np.array(updates), np.stack([*kept, _softmax(logits)]))


def sample_arms(policies: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Arms drawn by inverting the cumulative chances.

    Args:
        policies: (runs, arms) chances.
        uniform: (runs, samples) in [0, 1).

    Returns:
        (runs, samples) indices.
    """
    runs, num_arms = policies.shape
    cumulative = np.cumsum(policies, axis=-1)
    cumulative /= cumulative[:, -1:]
    # Row r lies in [r, r + 1], so that one search serves all rows.
    shift = np.arange(runs)[:, None]
    found = np.searchsorted((cumulative + shift).ravel(), uniform + shift, side="right")
    return np.minimum(found - shift * num_arms, num_arms - 1)


def exact_gradient(policies: np.ndarray, rewards: np.ndarray, objective: Objective) -> np.ndarray:
    """Gradient of the objective in the logits.

    With F the chance of a reward up to each sorted one and d the gaps above it, the objective is
    the largest reward less sum_i d_i P(F_i), where P' = phi is the objective's weight density
    (docs/mathematics.md, section 1).

    Args:
        policies: (..., arms) chances.
        rewards: (arms,).
        objective: what is maximised.

    Returns:
        (..., arms).
    """
    order = np.argsort(rewards)
    below = np.cumsum(policies[..., order], axis=-1)[..., :-1]
    pull = np.diff(rewards[order]) * _weight_density(objective, below)
    # An arm's chance counts in every F from its own rank on.
    of_rank = np.zeros_like(policies)
    of_rank[..., :-1] = -np.cumsum(pull[..., ::-1], axis=-1)[..., ::-1]
    of_arm = np.empty_like(policies)
    of_arm[..., order] = of_rank
    return policies * (of_arm - (policies * of_arm).sum(axis=-1, keepdims=True))


def _weight_density(objective: Objective, t: np.ndarray) -> np.ndarray:
    total = np.zeros_like(t)
    for weight, term in objective.simple_terms:
        for below, coefficient in enumerate(term.coefficients):
            if coefficient:
                above = term.k - 1 - below
                ways = math.comb(term.k - 1, below)
                total += weight * coefficient * term.k * ways * t**below * (1.0 - t) ** above
    return total


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
