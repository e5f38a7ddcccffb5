"""Verdicts on statements that are looked at in several cases."""

from __future__ import annotations

from collections.abc import Sequence

from reproduction.old_results import Verdict

IN_PART_RULE = "In part: in some of them."
"""What a rule says that `over_cases` decides."""


def over_cases(held: Sequence[bool]) -> Verdict:
    """In all cases: holds; in some: in part; in none: no; without cases: can't tell."""
    if not held:
        return Verdict.OPEN
    if all(held):
        return Verdict.HOLDS
    return Verdict.IN_PART if any(held) else Verdict.NO
