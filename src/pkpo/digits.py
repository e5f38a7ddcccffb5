"""Numbers as text that doesn't claim more than they do."""

from __future__ import annotations

import math
from collections.abc import Container
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Literal

Towards = Literal["nearest", "below", "above"]

_ROUNDING = {"nearest": ROUND_HALF_EVEN, "below": ROUND_FLOOR, "above": ROUND_CEILING}
_EXACT = Context(prec=700)
"""Digits that hold every float with as many decimals as are asked for."""
_MOST = 4
"""Decimals to keep a value apart with."""


def decimal_text(
    value: float,
    decimals: int,
    *,
    scale: int = 1,
    towards: Towards = "nearest",
    kept_apart: Container[Decimal] = (),
) -> str:
    """`scale` times the value with so many decimals, or more where it takes them.

    Args:
        value: a number.
        decimals: behind the point.
        scale: 100 for per cent.
        towards: "below" for lower bounds and "above" for upper ones, which so stay true.
        kept_apart: what only a value that is equal to it may look like, such as 0 and 100 %,
            with up to four decimals; a "<" or ">" says that they weren't enough.

    >>> decimal_text(0.9996, 1, scale=100), decimal_text(0.9996, 1, scale=100, towards="below")
    ('100.0', '99.9')
    >>> decimal_text(0.9996, 1, scale=100, kept_apart=(0, 100))
    '99.96'
    >>> decimal_text(1e-9, 1, scale=100, kept_apart=(0, 100))
    '< 0.0001'
    """
    if not math.isfinite(value):
        return str(float(value))
    exact = Decimal(repr(float(value))) * scale

    def rounded(decimals: int, towards: Towards = "nearest") -> Decimal:
        unit = Decimal(1).scaleb(-decimals)
        found = exact.quantize(unit, _ROUNDING[towards], _EXACT)
        return abs(found) if found == 0 else found  # no "-0.0"

    shown = decimals
    while (near := rounded(shown)) in kept_apart and near != exact:
        if shown >= _MOST:
            break
        shown += 1
    else:
        return str(rounded(shown, towards))
    if towards != "nearest":
        return str(rounded(shown, towards))
    less = exact < near
    inside = near - Decimal(1).scaleb(-shown) if less else near + Decimal(1).scaleb(-shown)
    return f"{'>' if less else '<'} {inside}"
