"""Comparing what was found with what it should be, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reproduction.old_results import PKPO, Claim, Verdict

TOLERANCE = 1e-12
"""How far floating point may be from the exact value."""

WITHIN = f"No number is further than {TOLERANCE:g} from the exact one."
EXACT = "No deviation at all, in rational numbers."


@dataclass(frozen=True)
class Sizes:
    """How much is compared.

    Args:
        listed: the most samples in groups of which all outcomes are listed.
        subsets: the most samples in groups of which all subsets are listed.
        groups: random groups of each such size.
        counts: the most samples in groups given by their number of correct samples.
        operations: sizes of groups at which operations are counted.
        timed: sizes of groups at which times are taken.
        repetitions: of each time.
    """

    listed: int = 6
    subsets: int = 8
    groups: int = 4
    counts: int = 16
    operations: tuple[int, ...] = (64, 256, 1024, 4096)
    timed: tuple[int, ...] = (16, 64, 256, 1024, 4096, 16384, 65536)
    repetitions: int = 20


QUICK = Sizes(
    listed=4, subsets=6, groups=2, counts=8, operations=(64, 1024), timed=(16, 1024), repetitions=3
)


@dataclass(frozen=True)
class Finding:
    """A claim with its row of the table.

    Args:
        claim: the claim.
        checked: on what.
        deviation: the largest, or what happened instead of a number.
    """

    claim: Claim
    checked: str
    deviation: str


class Comparison:
    """The largest deviation among pairs of numbers, and where it was.

    Attributes:
        largest: deviation; NaN once any was.
        where: the label of that pair, "" without one.
        count: of numbers compared.
    """

    def __init__(self) -> None:
        self.largest = 0.0
        self.where = ""
        self.count = 0

    def add(self, found: Sequence[Any], wanted: Sequence[Any], where: str = "") -> None:
        """Compares two sequences of the same length number by number."""
        for a, b in zip(found, wanted, strict=True):
            self.count += 1
            deviation = abs(float(a - b))
            if deviation > self.largest or deviation != deviation:
                self.largest, self.where = deviation, where

    @property
    def within(self) -> bool:
        """Whether there is something, and all of it within TOLERANCE."""
        return self.count > 0 and self.largest <= TOLERANCE

    @property
    def exact(self) -> bool:
        return self.count > 0 and self.largest == 0.0

    def __str__(self) -> str:
        return f"{self.largest:.2g}" if self.largest else "0"

    @property
    def found(self) -> str:
        """As a sentence."""
        place = f" ({self.where})" if self.where else ""
        return f"Largest deviation {self}{place}; {self.count:,} numbers compared."


def yes_or_no(holds: bool) -> Verdict:
    return Verdict.HOLDS if holds else Verdict.NO


def within(place: str, statement: str, checked: str, comparison: Comparison) -> Finding:
    """A statement that holds if nothing is further than TOLERANCE from the exact value."""
    verdict = yes_or_no(comparison.within)
    claim = Claim(PKPO, place, statement, WITHIN, comparison.found, verdict)
    return Finding(claim, checked, str(comparison))


def exact(place: str, statement: str, checked: str, comparison: Comparison) -> Finding:
    """A statement that holds if two formulas give the same rational numbers."""
    verdict = yes_or_no(comparison.exact)
    claim = Claim(PKPO, place, statement, EXACT, comparison.found, verdict)
    return Finding(claim, checked, str(comparison))
