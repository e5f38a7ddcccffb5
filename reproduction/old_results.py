"""What a topic gives: tables, figures, and claims with what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from matplotlib.figure import Figure

PKPO = "2505.15201"
"""Walder & Karkhanis, Pass@K Policy Optimization."""

CRITIQUE = "2511.16231"
"""Yu, Pass@k Metric for RLVR: A Diagnostic Tool of Exploration, But Not an Objective."""


class Verdict(StrEnum):
    """What became of a claim here."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    NO = "does not hold here"
    OPEN = "can't tell"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        name: of its files, without a suffix.
        title: heading.
        headers: column titles.
        rows: cells; the first of each row names it.
        notes: sentences to stand below.
        bold: (row, column) of the cells that stand out.
    """

    name: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    bold: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.headers) for row in self.rows):
            raise ValueError(f"table {self.name}: rows and headers differ in length")


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that go with it.

    Args:
        name: of its files, without a suffix.
        title: heading.
        caption: how to read it.
        alt: what a reader is told who cannot see it.
        figure: made with `pkpo.report.style.new_figure`.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Claim:
    """One line of the ledger.

    Args:
        paper: PKPO or CRITIQUE, or "here" for a finding of our own.
        place: where the paper says it, such as "Fig. 4" or "Sec. 5.2.3".
        statement: what it says, in our words.
        rule: what had to be seen for "holds", stated before looking.
        found: the numbers.
        verdict: by the rule alone.
    """

    paper: str
    place: str
    statement: str
    rule: str
    found: str
    verdict: Verdict

    def about(self, what: str) -> Claim:
        """The same claim, its statement beginning with what it is judged on."""
        said = self.statement
        return replace(self, statement=f"{what}: {said[:1].lower()}{said[1:]}")


@dataclass(frozen=True)
class Result:
    """Everything that one topic gives.

    Args:
        settings: JSON values from which the numbers follow, seeds among them.
        tables, drawings, claims: in order.
        notes: sentences on what was left out or differs from the paper.
    """

    settings: Mapping[str, Any]
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = field(default=())
