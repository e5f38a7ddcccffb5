"""Small policies in rational numbers, whose groups can all be listed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Effective = Callable[[Sequence[Fraction]], Sequence[Fraction]]
"""From the rewards of a group, in any order, to one number for each sample."""


@dataclass(frozen=True)
class Policy:
    """A softmax policy over a few outcomes.

    Args:
        name: in tables.
        probabilities: of the outcomes.
        rewards: of the outcomes, exact in float64.
    """

    name: str
    probabilities: tuple[Fraction, ...]
    rewards: tuple[Fraction, ...]

    def groups(self, n: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        """Every sequence of n outcomes, with its probability."""
        for outcomes in itertools.product(range(len(self.rewards)), repeat=n):
            yield outcomes, math.prod((self.probabilities[x] for x in outcomes), start=Fraction(1))

    def rewards_of_groups(self, n: int) -> np.ndarray:
        """(outcomes**n, n) float64, in the order of `groups`."""
        rewards = np.array([float(g) for g in self.rewards])
        return rewards[np.array([outcomes for outcomes, _ in self.groups(n)])]

    def score(self, outcome: int) -> list[Fraction]:
        """The gradient of the outcome's log-probability in the logits."""
        return [Fraction(int(outcome == b)) - p for b, p in enumerate(self.probabilities)]

    def value(self, k: int) -> Fraction:
        """max@k, eq. (11), from the distribution function of the rewards."""
        return sum(
            (g * (self._below(g) ** k - self._under(g) ** k) for g in set(self.rewards)),
            Fraction(0),
        )

    def gradient(self, k: int) -> list[Fraction]:
        """Of max@k in the logits; that of a distribution function F is p_b ([g_b <= g] - F)."""
        found = []
        for p, own in zip(self.probabilities, self.rewards, strict=True):
            total = Fraction(0)
            for g in set(self.rewards):
                up, down = self._below(g), self._under(g)
                total += g * k * up ** (k - 1) * p * (int(own <= g) - up)
                total -= g * k * down ** (k - 1) * p * (int(own < g) - down)
            found.append(total)
        return found

    def _below(self, reward: Fraction) -> Fraction:
        pairs = zip(self.probabilities, self.rewards, strict=True)
        return sum((p for p, g in pairs if g <= reward), Fraction(0))

    def _under(self, reward: Fraction) -> Fraction:
        pairs = zip(self.probabilities, self.rewards, strict=True)
        return sum((p for p, g in pairs if g < reward), Fraction(0))


HALF_CORRECT = Policy(
    "0/1, two right answers",
    (Fraction(1, 2), Fraction(1, 4), Fraction(1, 5), Fraction(1, 20)),
    (Fraction(0), Fraction(0), Fraction(1), Fraction(1)),
)
HARD = Policy("0/1, p = 1/10", (Fraction(9, 10), Fraction(1, 10)), (Fraction(0), Fraction(1)))
TIED = Policy(
    "real rewards, two equal",
    (Fraction(2, 5), Fraction(3, 10), Fraction(1, 5), Fraction(1, 10)),
    (Fraction(-1, 2), Fraction(1, 4), Fraction(1, 4), Fraction(2)),
)
SPREAD = Policy(
    "real rewards",
    (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)),
    (Fraction(3, 8), Fraction(-1), Fraction(5, 4)),
)

BINARY_POLICIES = (HALF_CORRECT, HARD)
POLICIES = (HALF_CORRECT, HARD, TIED, SPREAD)


def expected_value(policy: Policy, n: int, values: Sequence[Fraction]) -> Fraction:
    """The mean of one number for each group of `policy.groups(n)`."""
    groups = policy.groups(n)
    return sum((w * v for (_, w), v in zip(groups, values, strict=True)), Fraction(0))


def expected_gradient(
    policy: Policy, n: int, effective: Sequence[Sequence[Fraction]]
) -> list[Fraction]:
    """The mean of sum_i a_i grad log p(x_i) over all groups, in the logits.

    Args:
        effective: for each group of `policy.groups(n)` its n numbers a_i.
    """
    total = [Fraction(0)] * len(policy.rewards)
    for (outcomes, weight), row in zip(policy.groups(n), effective, strict=True):
        own = [Fraction(0)] * len(total)
        for outcome, a in zip(outcomes, row, strict=True):
            own[outcome] += a
        everything = sum(own, Fraction(0))
        for b, p in enumerate(policy.probabilities):
            total[b] += weight * (own[b] - p * everything)
    return total


def on_groups(policy: Policy, n: int, effective: Effective) -> list[Sequence[Fraction]]:
    """`effective` on the rewards of each group of `policy.groups(n)`."""
    return [effective([policy.rewards[x] for x in xs]) for xs, _ in policy.groups(n)]


def exactly(values: np.ndarray) -> list[list[Fraction]]:
    """(rows, n) floats as the rational numbers that they are."""
    return [[Fraction(v) for v in row] for row in values.tolist()]
