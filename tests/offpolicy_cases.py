"""Objectives, ratios and policies for the tests of off-policy estimates."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial

import numpy as np

import offpolicy_oracles as exact
import oracles
import pkpo
from cases import Case
from pkpo import offpolicy

BASELINES = exact.BASELINES


def cases(k: int) -> list[Case]:
    """Objectives of max, min and mean that need k samples."""
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    maximum, minimum, mean = oracles.maximum(k), oracles.minimum(k), oracles.mean()
    return [
        Case(pkpo.max_at(k), maximum),
        Case(pkpo.min_at(k), minimum),
        Case(pkpo.log_pass(k), oracles.log_pass(k)),
        Case(
            0.5 * pkpo.max_at(k) + 0.5 * pkpo.mean_reward(),
            oracles.mixture((half, maximum), (half, mean)),
        ),
        Case(
            pkpo.max_at(max(k - 1, 1)) - 0.25 * pkpo.min_at(k),
            oracles.mixture((1, oracles.maximum(max(k - 1, 1))), (-quarter, minimum)),
        ),
    ]


def ratio_groups(n: int, rows: int) -> list[list[Fraction]]:
    generator = np.random.default_rng(n)
    return [[Fraction(int(a), 8) for a in row] for row in generator.integers(1, 33, (rows, n))]


def logs(ratios: list[list[Fraction]]) -> np.ndarray:
    return np.array([[math.log(r) for r in row] for row in ratios])


def defined(case: Case, baseline: str, n: int) -> bool:
    return oracles.is_defined(case.kernel, baseline, n)


@dataclass(frozen=True)
class Pair:
    target: oracles.SoftmaxPolicy
    sampler: oracles.SoftmaxPolicy

    @classmethod
    def of(cls, target: list[str], sampler: list[str], rewards: list[int]) -> "Pair":
        worth = tuple(Fraction(g) for g in rewards)
        return cls(
            oracles.SoftmaxPolicy(tuple(map(Fraction, target)), worth),
            oracles.SoftmaxPolicy(tuple(map(Fraction, sampler)), worth),
        )

    @property
    def ratios(self) -> list[Fraction]:
        return [
            p / q
            for p, q in zip(self.target.probabilities, self.sampler.probabilities, strict=True)
        ]


PAIRS = {
    "binary": Pair.of(["1/2", "3/10", "1/5"], ["1/5", "1/5", "3/5"], [0, 1, 0]),
    "distinct": Pair.of(["1/6", "1/2", "1/3"], ["1/2", "1/4", "1/4"], [-3, 2, 5]),
    "tied": Pair.of(
        ["4/10", "1/10", "3/10", "2/10"], ["1/10", "5/10", "2/10", "2/10"], [1, -2, 1, 4]
    ),
}


SIZES = {"binary": range(1, 6), "distinct": range(1, 7), "tied": range(2, 5)}


GROUPS = [(name, n) for name, sizes in SIZES.items() for n in sizes]


@cache
def outcomes(name: str, n: int) -> tuple[np.ndarray, ...]:
    """Of the sampler: rewards (O, n), log ratios (O, n), probabilities (O,) and the scores
    (O, n, arms) under the target."""
    pair = PAIRS[name]
    arms, chances = zip(*pair.sampler.outcomes(n), strict=True)
    index = np.array(arms)
    rewards = np.array([float(g) for g in pair.target.rewards])[index]
    log_ratios = np.array([math.log(r) for r in pair.ratios])[index]
    scores = np.array([[float(x) for x in pair.target.score(a)] for a in pair.target.arms])[index]
    return rewards, log_ratios, np.array([float(p) for p in chances]), scores


def example(seed: int, n: int = 9, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(4, n)), spread * generator.normal(size=(4, n))


def functions() -> list:
    found = [partial(offpolicy.advantages, objective=3, baseline=b) for b in BASELINES]
    found += [partial(offpolicy.estimate, objective="0.5*max@3 + min@2")]
    return [*found, partial(offpolicy.variance, objective=2)]
