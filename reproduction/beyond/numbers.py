"""Methods that the papers don't have against the paper's best setting, k by k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reproduction.comparing import Difference, difference, t_quantile
from reproduction.studies.runs import StudyData, pass_at_k
from reproduction.studies.settings import BEYOND_METHODS, K_VALUES
from reproduction.studies.tables import ANNEALED, OPTIMISED, gap_for_k, present

PAPER_SETTINGS = (*OPTIMISED.values(), ANNEALED)
"""What the paper proposes: k_opt = k, k_opt = 1 for pass@1, and annealing."""

CENTRED = {4: BEYOND_METHODS[0].label, 8: BEYOND_METHODS[1].label}
"""max@k with the centred leave-one-out baseline, by k."""

LEVEL = 0.05
"""Of the tests, that is of the intervals' complement."""


def beyond_methods(data: StudyData) -> tuple[str, ...]:
    """Labels of the study's methods that the papers don't have."""
    return tuple(method.label for method in data.study.methods if method.beyond)


@dataclass(frozen=True)
class Best:
    """The paper's best setting for one k, by validation.

    Args:
        method, arm: which.
        validation: pass@k in [0, 1] on validation problems, mean over the tuning seeds.
    """

    method: str
    arm: str
    validation: float


def paper_best(data: StudyData, k: int) -> Best:
    """Of the paper's settings, the one with the highest validation pass@k in the tuning runs."""
    found = [
        Best(method, arm, data.choices[method].scores[arm][k])
        for method in present(data, PAPER_SETTINGS)
        for arm in [data.choices[method].by_k[k]]
    ]
    return max(found, key=lambda best: best.validation)


def over_best(data: StudyData, method: str, k: int) -> Difference:
    """Held-out pass@k of a method minus that of `paper_best`, by seed."""
    best = pass_at_k(data.arm(paper_best(data, k).arm), k)
    return difference(data.scores(method, k, for_k=True), best)


def gaps(data: StudyData, method: str) -> dict[int, Difference]:
    """`over_best` at each k."""
    return {k: over_best(data, method, k) for k in K_VALUES}


def centred_gaps(data: StudyData, k: int) -> dict[int, Difference]:
    """max@k with the centred baseline minus max@k with that of eq. (33), at each k_eval."""
    return {at: gap_for_k(data, CENTRED[k], OPTIMISED[k], at) for at in K_VALUES}


def holm(found: Sequence[Difference], seeds: int) -> tuple[bool, ...]:
    """Which differences are not zero by Holm's procedure, that is with a chance of at most LEVEL
    to be wrong about any.

    Args:
        found: differences over the same number of seeds.
        seeds: that number.
    """
    if seeds < 2:
        return (False,) * len(found)
    sizes = [_size(one) for one in found]
    rejected = [False] * len(found)
    for left, place in enumerate(sorted(range(len(found)), key=lambda i: -sizes[i])):
        if sizes[place] <= t_quantile(1 - LEVEL / (2 * (len(found) - left)), seeds - 1):
            break
        rejected[place] = True
    return tuple(rejected)


def _size(one: Difference) -> float:
    """|t|; infinite where all seeds agree on a difference."""
    if one.standard_error > 0:
        return abs(one.mean) / one.standard_error
    return math.inf if one.mean else 0.0


@dataclass(frozen=True)
class Count:
    """How many comparisons came out beyond the error.

    Args:
        total: comparisons.
        above, below: beyond the 95 % interval.
        above_holm, below_holm: by Holm's procedure over all of them.
    """

    total: int
    above: int
    below: int
    above_holm: int
    below_holm: int

    @property
    def by_chance(self) -> float:
        """How many would be beyond the interval, on either side, if there were no difference."""
        return LEVEL * self.total


def counted(data: StudyData, methods: Sequence[str]) -> Count:
    """Over all methods and k."""
    found = [gap for method in methods for gap in gaps(data, method).values()]
    kept = holm(found, len(data.reported.seeds))
    return Count(
        total=len(found),
        above=sum(gap.above for gap in found),
        below=sum(gap.below for gap in found),
        above_holm=sum(keep and gap.mean > 0 for keep, gap in zip(kept, found)),
        below_holm=sum(keep and gap.mean < 0 for keep, gap in zip(kept, found)),
    )
