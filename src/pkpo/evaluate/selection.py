"""Which objectives to evaluate: lists and ranges of k as text, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective
from pkpo.core.parsing import as_objective
from pkpo.errors import InvalidInputError

Selection = Iterable[Objective | int | str] | Objective | int | str
_RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")
_POWERS = re.compile(r"\s*powers of (?:two|2)(?:\s+(?:up\s+)?to\s+(\d+))?\s*")
_MOST = 10_000
"""Values in a range."""


def parse_ks(text: str, largest: int) -> list[int]:
    """The ks that `text` names, in increasing order: comma-separated numbers and ranges ("1,2,4",
    "1-16", "1-4,8,16"), or "powers of two", with or without "to 64"; else up to the largest.

    >>> parse_ks("1-3, 8", 16), parse_ks("powers of two", 16)
    ([1, 2, 3, 8], [1, 2, 4, 8, 16])
    """
    powers = _POWERS.fullmatch(text)
    if powers:
        end = int(powers[1]) if powers[1] else largest
        return [2**j for j in range(max(end, 0).bit_length())]
    found: set[int] = set()
    for part in text.split(","):
        span = _RANGE.fullmatch(part)
        if span:
            first, last = int(span[1]), int(span[2])
        elif re.fullmatch(r"\s*\d+\s*", part):
            first = last = int(part)
        else:
            raise InvalidInputError(
                f"can't read {part.strip()!r} in {text!r} as values of k; allowed: numbers and "
                "ranges such as '1,2,4' or '1-16', or 'powers of two'"
            )
        if first < 1 or last < first:
            raise InvalidInputError(
                f"values of k must be >= 1 and ranges ascend, got {part.strip()!r} in {text!r}"
            )
        if last - first >= _MOST:
            raise InvalidInputError(
                f"at most {_MOST:,} values of k, got {part.strip()!r} in {text!r}"
            )
        found.update(range(first, last + 1))
    return sorted(found)


def as_objectives(selection: Selection) -> tuple[Objective, ...]:
    """One or several objectives, without repetition, in the order given."""
    single = isinstance(selection, Objective | int | str)
    items = [selection] if single else list(selection)
    objectives = tuple(dict.fromkeys(as_objective(item) for item in items))
    if not objectives:
        raise InvalidInputError("at least one objective is needed")
    return objectives


def name_of(objective: Objective, binary: bool) -> str:
    """What the objective is called: pass@k, pass^k for 0/1 rewards.

    >>> from pkpo.core.objectives import max_at, min_at
    >>> name_of(max_at(4), True), name_of(min_at(4), True), name_of(max_at(4), False)
    ('pass@4', 'pass^4', 'max@4')
    """
    (weight, term), *others = objective.terms
    if binary and not others and weight == 1:
        if isinstance(term, Mean):
            return "pass@1"
        if isinstance(term, MaxAt):
            return f"pass@{term.k}"
        if isinstance(term, MinAt):
            return f"pass^{term.k}"
    return str(objective)
