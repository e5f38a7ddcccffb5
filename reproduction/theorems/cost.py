"""What Theorems 5-7 cost: the proofs' recursions with their operations counted, and times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import pkpo


@dataclass
class Tally:
    """A count of arithmetic operations."""

    operations: int = 0


@dataclass(frozen=True)
class Counted:
    """A number whose operations are counted.

    Args:
        value: any number.
        tally: where they are.
    """

    value: Any
    tally: Tally

    def _result(self, value: Any) -> Counted:
        self.tally.operations += 1
        return Counted(value, self.tally)

    def __add__(self, other: Counted) -> Counted:
        return self._result(self.value + other.value)

    def __sub__(self, other: Counted) -> Counted:
        return self._result(self.value - other.value)

    def __mul__(self, other: Counted) -> Counted:
        return self._result(self.value * other.value)

    def __truediv__(self, other: Counted) -> Counted:
        return self._result(self.value / other.value)


Number = Callable[[int], Any]
"""An integer as the kind of number to calculate with."""


def _weights(n: int, k: int, number: Number) -> tuple[list[Any], list[Any]]:
    """m_ii and m_ij (i < j) over C(n,k), each by one ratio from the one before; O(n + k)."""
    first = number(1)
    for a in range(k):
        first = first * number(a + 1) / number(n - a)
    zero = number(0)
    own, above = [zero] * (k - 1) + [first], [zero] * (k - 1) + [first if k >= 2 else zero]
    for i in range(k, n):
        own.append(own[-1] * number(i) / number(i - k + 1))
        above.append(above[-1] * number(i - 1) / number(i - k + 1) if k >= 2 else zero)
    return own, above


def effective(g: Sequence[Any], k: int, number: Number) -> list[Any]:
    """s of sorted rewards by eq. (48) and (49), the weights in sequence as App. A.4 proposes."""
    own, above = _weights(len(g), k, number)
    found = [own[-1] * g[-1]]
    for i in range(len(g) - 2, -1, -1):
        found.append(found[-1] + g[i] * own[i] + g[i + 1] * (above[i + 1] - own[i + 1]))
    return found[::-1]


def baselines(g: Sequence[Any], k: int, number: Number) -> list[Any]:
    """b of sorted rewards by eq. (31) and (32), mended; k < n."""
    n = len(g)
    own, above = _weights(n - 1, k, number)
    weights = [o + number(i) * a for i, (o, a) in enumerate(zip(own, above, strict=True))]
    first = weights[0] * g[1]
    for w, reward in zip(weights[1:], g[2:], strict=True):
        first = first + w * reward
    found = [first]
    for i in range(n - 1):
        found.append(found[-1] + (g[i] - g[i + 1]) * weights[i])
    return found


def sloo(g: Sequence[Any], k: int, number: Number) -> list[Any]:
    """Eq. (29), k < n."""
    others = number(len(g) - 1)
    pairs = zip(effective(g, k, number), baselines(g, k, number), strict=True)
    return [s - b / others for s, b in pairs]


def sloo_minus_one(g: Sequence[Any], k: int, number: Number) -> list[Any]:
    """Eq. (33) by eq. (34), k >= 2."""
    factor = number(k) / (number(len(g)) * number(k - 1))
    pairs = zip(effective(g, k, number), baselines(g, k - 1, number), strict=True)
    return [s - b * factor for s, b in pairs]


Recursion = Callable[[Sequence[Any], int, Number], list[Any]]
RECURSIONS: dict[str, Recursion] = {
    "s": effective,
    "sloo": sloo,
    "sloo_minus_one": sloo_minus_one,
}


def operations(recursion: Recursion, n: int, k: int) -> int:
    """How many additions, multiplications and divisions it takes after the sort."""
    tally = Tally()
    rewards = [Counted(0.0, tally)] * n
    recursion(rewards, k, lambda value: Counted(float(value), tally))
    return tally.operations


@dataclass(frozen=True)
class Timing:
    """Seconds per sample, the least of several repetitions.

    Args:
        n: samples in a group.
        sort: of numpy's argsort alone.
        package: of `pkpo.advantages`.
    """

    n: int
    sort: float
    package: float


def timing(n: int, k: int, samples: int, repetitions: int, seed: int) -> Timing:
    """Times groups of n, as many as make `samples` rewards."""
    rewards = np.random.default_rng(seed).normal(size=(max(1, samples // n), n))
    return Timing(
        n,
        _least(lambda: np.argsort(rewards, axis=-1), repetitions) / rewards.size,
        _least(lambda: pkpo.advantages(rewards, k), repetitions) / rewards.size,
    )


def _least(run: Callable[[], Any], repetitions: int) -> float:
    run()
    least = math.inf
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
    return least
