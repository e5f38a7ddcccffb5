"""Seeds of the random numbers of a run: each a function of the run's seed, a named stream and
what tells its uses apart."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import numpy as np


class Stream(StrEnum):
    """What random numbers are for, and by what their uses are told apart."""

    WEIGHTS = "weights of a new policy"
    PROBLEMS = "problems of a task"
    DEMONSTRATIONS = "demonstrations of a task, by the task's seed"
    LESSONS = "order of demonstrations in a warm start"
    EPOCHS = "order of training problems, by epoch"
    SAMPLING = "completions of a training step, by step"
    EVALUATION = "completions of an evaluation, by split and step"
    FROZEN = "completions of a policy that doesn't learn, by step"
    UNIFORM = "completions drawn uniformly, by step"
    SHOTS = "solved problems shown in every prompt"
    GUESSES = "answers drawn from those to training problems"


def seed_of(seed: int, stream: Stream, *use: int | str) -> int:
    """A seed below 2⁶³ for a generator.

    Calls that differ in anything, the number of arguments too, give unrelated seeds: digests
    of the arguments. (`numpy.random.SeedSequence` takes [0, 3] and [0, 3, 0] for the same.)

    >>> seed_of(0, Stream.SAMPLING, 7) == seed_of(0, Stream.SAMPLING, 7)
    True
    >>> len({seed_of(0, stream, *use) for stream in Stream for use in [(), (0,), (0, 0)]})
    33
    """
    key = (stream.name, *(one if isinstance(one, str) else int(one) for one in (seed, *use)))
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def generator_of(seed: int, stream: Stream, *use: int | str) -> np.random.Generator:
    """NumPy's generator with that seed."""
    return np.random.default_rng(seed_of(seed, stream, *use))
