"""Seeds of the random numbers of a run: each a function of the run's seed, a stream, a number."""

from __future__ import annotations

import numpy as np

EPOCHS, SAMPLING, EVALUATION, CONTROLS = 2, 3, 4, 5
"""Streams: orders of problems, completions of a step, evaluations, samplers that don't learn."""


def seed_of(*key: int) -> int:
    """A seed below 2⁶³ for a generator, from integers >= 0.

    >>> seed_of(0, SAMPLING, 7) == seed_of(0, SAMPLING, 7) != seed_of(0, EVALUATION, 7)
    True
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
