"""What a path from rewards to a gradient trains for, by enumeration.

A policy with few completions is so small that the expected gradient of any path, advantages and
loss included, is a sum over all batches it can draw, and the objective's own gradient a
polynomial. The two are the same, or they differ by a constant, or the path trains for something
else.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pkpo.core.inputs import host_array
from pkpo.core.objectives import Objective, max_at, mean_reward, min_at
from pkpo.core.parsing import as_objective
from pkpo.errors import InvalidInputError

TOLERANCE = 1e-5
"""Of the expected gradient's norm: engines compute in float32."""

_FEW_DRAWS, _MOST_DRAWS = 1_000, 30_000
"""Batches that are gone through in every order in any case, and where order matters."""

_TOKENS = ((0,), (1, 2), (1, 3, 4))
"""The completions of every prompt: of one, two and three tokens."""

Rewards = tuple[tuple[float, ...], ...]
CONTINUOUS: Rewards = ((0.0, 1.0, 0.3), (0.5, 0.0, 2.0))
BINARY: Rewards = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
_CHANCES = ((0.3, 0.4), (0.55, 0.25))
"""Of each prompt's first token 0, and of token 2 after 1."""


@dataclass(frozen=True)
class Batch:
    """Groups of completions, in flat rows.

    Args:
        rewards_B: float64.
        group_ids_B: 0, ..., 0, 1, ..., 1.
        logps_BT: float64 log-probabilities of the tokens, 0 behind the end.
        mask_BT: which tokens there are.
    """

    rewards_B: np.ndarray
    group_ids_B: np.ndarray
    logps_BT: np.ndarray
    mask_BT: np.ndarray


Path = Callable[[Batch], Any]
"""What is audited: batch -> (B, T) derivatives of minus the loss by each token's
log-probability, where the loss is an average over prompts."""


@dataclass(frozen=True)
class Audit:
    """Two gradients by the parameters of the tiny policy.

    Args:
        objective: whose gradient it should be.
        expected: (D,) of the path, over everything that can be drawn.
        exact: (D,) of the objective.
        family: gradients of other objectives, by name.
    """

    objective: Objective
    expected: np.ndarray
    exact: np.ndarray
    family: dict[str, np.ndarray]

    @cached_property
    def factor(self) -> float:
        """The multiple of the exact gradient that comes closest."""
        return float(self.expected @ self.exact / (self.exact @ self.exact))

    @cached_property
    def ratios(self) -> list[float]:
        """expected / exact, where the exact gradient isn't zero."""
        kept = np.abs(self.exact) > 1e-9 * np.abs(self.exact).max()
        return (self.expected[kept] / self.exact[kept]).tolist()

    @property
    def is_constant(self) -> bool:
        """Whether it is the objective's gradient, times a constant > 0."""
        off = np.linalg.norm(self.expected - self.factor * self.exact)
        return self.factor > 0 and bool(off <= TOLERANCE * np.linalg.norm(self.expected))

    @property
    def is_exact(self) -> bool:
        return self.is_constant and abs(self.factor - 1.0) <= TOLERANCE

    def angle(self, other: np.ndarray | None = None) -> float:
        """Degrees between the expected gradient and another, by default the exact one."""
        other = self.exact if other is None else other
        lengths = np.linalg.norm(self.expected) * np.linalg.norm(other)
        cosine = float(self.expected @ other / lengths) if lengths else math.nan
        return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))

    @property
    def verdict(self) -> str:
        """A sentence with numbers."""
        if self.is_exact:
            return "exact"
        if self.is_constant:
            return f"exact up to a constant factor {self.factor:.6g}"
        if not np.linalg.norm(self.expected):
            return "another objective: the expected gradient is zero"
        nearest = min(self.family, key=lambda name: self.angle(self.family[name]))
        angle = self.angle(self.family[nearest])
        kind = "that of" if angle < math.degrees(TOLERANCE) else f"{angle:.2f}° from that of"
        return (
            f"another objective: {self.angle():.2f}° from the gradient of {self.objective}, "
            f"{min(self.ratios):.4g} to {max(self.ratios):.4g} times its coordinates; {kind} "
            f"{nearest}"
        )


def audit(
    path: Path,
    objective: Objective | int | str,
    *,
    sizes: Sequence[int] | None = None,
    rewards: Rewards = CONTINUOUS,
) -> Audit:
    """Compare the expected gradient of a path with that of the objective, the mean over two
    prompts.

    Args:
        path: see `Path`; `of_advantages` makes one from a function of rewards.
        objective: whose k is small.
        sizes: of the two groups; k + 1 and k + 2 by default.
        rewards: of the three completions of each prompt.

    Raises:
        InvalidInputError: the path tells apart more orders of samples than can be gone through,
            or gives something that isn't finite.

    Groups of up to 1000 batches, as two of 3, are gone through in every order that they can be
    drawn in. Larger ones are drawn in one order, where two of a group's samples that change
    places, and a group that is shifted by one, only do the same to its weights.

    Cost: a call of the path for each of the 3^(sum of sizes) batches, or, where these are more
    than 1000, five for each pair of groups without order, 750 for groups of 3 and 4.

    >>> from pkpo import advantages
    >>> audit(of_advantages(lambda rewards: advantages(rewards, "max@2")), "max@2").verdict
    'exact'
    >>> audit(of_advantages(lambda rewards: rewards - rewards.mean()), "mean", sizes=(3, 3)).verdict
    'exact up to a constant factor 2'
    """
    objective = as_objective(objective)
    sizes = (objective.k + 1, objective.k + 2) if sizes is None else sizes
    prompts = [_Prompt(*given) for given in zip(_CHANCES, rewards)]
    group_ids_B = np.repeat(np.arange(len(sizes)), sizes)
    of_arms = ("chances_A", "rewards_A", "logps_AT", "scores_ATD")
    chances_PA, rewards_PA, logps_PAT, scores_PATD = (
        np.array([getattr(prompt, name) for prompt in prompts]) for name in of_arms
    )

    def weights_of(arms_B: np.ndarray) -> np.ndarray:
        drawn, mask_BT = (group_ids_B, arms_B), _MASK_AT[arms_B]
        given = path(Batch(rewards_PA[drawn], group_ids_B, logps_PAT[drawn], mask_BT))
        weights_BT = np.asarray(given, dtype=np.float64) * mask_BT
        if not np.isfinite(weights_BT).all():
            raise InvalidInputError(
                f"for groups {group_ids_B.tolist()} of rewards {rewards_PA[drawn].tolist()} the "
                "path's gradient isn't finite"
            )
        return weights_BT

    def keeps(order_B: np.ndarray) -> bool:
        """Whether samples in another order get the same weights in that order."""
        return all(_alike(w_BT[order_B], weights_of(a_B[order_B])) for w_BT, a_B, _ in draws)

    draws: list[tuple[np.ndarray, np.ndarray, int]] = []
    in_any_order = False
    if len(_TOKENS) ** sum(sizes) > _FEW_DRAWS:
        draws = [(weights_of(arms_B), arms_B, count) for arms_B, count in _sorted_draws(sizes)]
        in_any_order = all(map(keeps, _generators(sizes)))
    if not in_any_order:
        draws = [(weights_of(arms_B), arms_B, 1) for arms_B in _all_draws(sizes)]
    found = np.zeros((len(prompts), _Prompt.SIZE))
    for weights_BT, arms_B, count in draws:
        drawn = group_ids_B, arms_B
        of_rows = np.einsum("bt,btd->bd", weights_BT, scores_PATD[drawn])
        np.add.at(found, group_ids_B, count * chances_PA[drawn].prod() * of_rows)
    most = range(2, min(sizes) + 1)
    family = [mean_reward(), *map(max_at, most), *map(min_at, most)]
    return Audit(
        objective,
        found.reshape(-1),
        _gradient(prompts, objective),
        {str(other): _gradient(prompts, other) for other in family},
    )


def _sorted_draws(sizes: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
    """What the groups can hold, in one order, and in how many it can be drawn."""
    arms = range(len(_TOKENS))
    groups = (itertools.combinations_with_replacement(arms, size) for size in sizes)
    for drawn in itertools.product(*groups):
        orders = (
            math.factorial(len(g)) / math.prod(map(math.factorial, Counter(g).values()))
            for g in drawn
        )
        yield np.concatenate(drawn), round(math.prod(orders))


def _all_draws(sizes: Sequence[int]) -> Iterator[np.ndarray]:
    if len(_TOKENS) ** sum(sizes) > _MOST_DRAWS:
        raise InvalidInputError(
            f"the path depends on the order of a group's samples, and groups of "
            f"{' and '.join(map(str, sizes))} can be drawn in 3^{sum(sizes)} orders, too many to "
            "go through: audit an objective of smaller k"
        )
    yield from map(np.array, itertools.product(range(len(_TOKENS)), repeat=sum(sizes)))


def _generators(sizes: Sequence[int]) -> Iterator[np.ndarray]:
    """The rows with the first two of a group exchanged, and with a group shifted by one: all
    orders within groups come about by these."""
    rows = np.arange(sum(sizes))
    for end, size in zip(np.cumsum(sizes), sizes):
        before, own, behind = np.split(rows, [end - size, end])
        for other in (np.r_[own[1::-1], own[2:]], np.roll(own, 1)):
            yield np.concatenate([before, other, behind])


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))


def of_advantages(function: Callable[..., Any]) -> Path:
    """The path of a trainer that adds up advantage times log-probability over a group, and
    averages over groups.

    Args:
        function: rewards (n,) of a group -> its advantages; or, where it has a second argument
            without a default, rewards (B,) and group ids (B,) -> all.
    """
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]

    def path(batch: Batch) -> np.ndarray:
        ids_B, num_groups = batch.group_ids_B, batch.group_ids_B[-1] + 1
        if len(needed) > 1:
            found = host_array(function(batch.rewards_B, ids_B), "advantages")
        else:
            groups = (batch.rewards_B[ids_B == group] for group in range(num_groups))
            given = (host_array(function(g), "advantages") for g in groups)
            found = np.concatenate([*map(np.atleast_1d, given)])
        if found.shape != ids_B.shape:
            raise InvalidInputError(
                f"the function gave advantages of shape {found.shape} for {len(ids_B)} rewards"
            )
        return found[:, None] / num_groups * batch.mask_BT

    return path


_MASK_AT = np.array([[t < len(tokens) for t in range(3)] for tokens in _TOKENS])


class _Prompt:
    """Chances, log-probabilities and scores of the completions; the parameters are two logits
    for the first token and two for the one behind 1."""

    SIZE = 4

    def __init__(self, chances: tuple[float, float], rewards: Sequence[float]) -> None:
        first, second = chances
        self.rewards_A = rewards
        chance = {0: first, 1: 1 - first, 2: second, 3: 1 - second, 4: 1.0}
        score = {
            0: (1 - first, first - 1, 0, 0),
            1: (-first, first, 0, 0),
            2: (0, 0, 1 - second, second - 1),
            3: (0, 0, -second, second),
            4: (0, 0, 0, 0),
        }
        self.chances_A = [math.prod(chance[token] for token in tokens) for tokens in _TOKENS]
        self.logps_AT = np.zeros(_MASK_AT.shape)
        self.scores_ATD = np.zeros((*_MASK_AT.shape, self.SIZE))
        for arm, tokens in enumerate(_TOKENS):
            self.logps_AT[arm, : len(tokens)] = [math.log(chance[token]) for token in tokens]
            self.scores_ATD[arm, : len(tokens)] = [score[token] for token in tokens]


def _gradient(prompts: Sequence[_Prompt], objective: Objective) -> np.ndarray:
    """(D,) of the objective's mean over the prompts, by the product rule."""
    found = []
    for prompt in prompts:
        scores_AD, total = prompt.scores_ATD.sum(axis=1), np.zeros(_Prompt.SIZE)
        for weight, term in objective.simple_terms:
            for arms in itertools.product(range(len(_TOKENS)), repeat=term.k):
                value = np.sort([prompt.rewards_A[arm] for arm in arms]) @ term.coefficients
                chance = math.prod(prompt.chances_A[arm] for arm in arms)
                total += weight * chance * value * scores_AD[[*arms]].sum(axis=0)
        found.append(total)
    return np.concatenate(found) / len(prompts)
