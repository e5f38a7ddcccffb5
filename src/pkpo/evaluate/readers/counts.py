"""Scores that some tools keep of a problem's samples together, turned back into counts."""

from __future__ import annotations

_TOLERANCE = 1e-6


def solved_of(score: float, num_samples: int) -> int | None:
    """How many of the samples a solve rate stands for, or None if it is no solve rate of them.

    >>> solved_of(0.75, 4), solved_of(0.7, 4)
    (3, None)
    """
    solved = round(score * num_samples)
    whole = abs(score * num_samples - solved) <= _TOLERANCE * num_samples
    return solved if whole and 0 <= solved <= num_samples else None
