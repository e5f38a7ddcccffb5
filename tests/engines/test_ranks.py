"""Groups over dozens of ranks: ragged, empty, in any order, each group on several."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import oracles
from pkpo.engines import groups


class Row(NamedTuple):
    """An output: of which prompt and session, its reward, and whether it counts."""

    prompt: str
    session: int
    reward: int
    counts: bool


def drawn(rng: np.random.Generator) -> list[Row]:
    """Sessions of 1 to 3 outputs, of 1 to 12 prompts with 3 to 9 that count and some that don't."""
    rows = []
    for prompt in rng.permutation(1000)[: rng.integers(1, 13)]:
        sizes = rng.integers(3, 10), rng.integers(0, 3)
        for session, counts in enumerate(np.repeat([True, False], sizes).tolist()):
            reward, outputs = int(rng.integers(0, 4)), int(rng.integers(1, 4))
            rows += [Row(f"p{prompt}", session, reward, counts)] * outputs
    return rows


def over_ranks(rows: list[Row], num_ranks: int, rng: np.random.Generator) -> list[list[Row]]:
    """Cut at random places, so that some ranks are empty, and in a random order."""
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    cuts = np.sort(rng.integers(0, len(rows) + 1, num_ranks - 1)).tolist()
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)])]
    return [parts[i] for i in rng.permutation(num_ranks)]


@cache
def enumerated(rewards: tuple[int, ...], baseline: str) -> tuple[float, ...]:
    given = [Fraction(reward) for reward in rewards]
    return tuple(map(float, oracles.advantages(given, oracles.maximum(2), baseline)))


def expected(rows: list[Row], baseline: str) -> dict[Row, float]:
    """Each session's advantage, from its whole group by enumeration."""
    sessions: defaultdict[str, dict[Row, None]] = defaultdict(dict)
    for row in rows:
        if row.counts:
            sessions[row.prompt][row] = None
    found = dict.fromkeys((row for row in rows if not row.counts), 0.0)
    for own in sessions.values():
        found |= zip(own, enumerated(tuple(row.reward for row in own), baseline))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_any_number_of_ranks(seed: int) -> None:
    """What all ranks gathered gives each its rows' advantages, whoever else gathered what."""
    rng = np.random.default_rng(seed)
    rows = drawn(rng)
    num_ranks = int(rng.integers(1, 97))
    baseline: Any = ["loo", "loo_minus_one"][seed % 2]
    wanted = expected(rows, baseline)
    ranks = over_ranks(rows, num_ranks, rng)
    gathered = [row for rank in ranks for row in rank]
    prompts, sessions, rewards, counts = zip(*gathered)
    found = groups.advantages(
        np.array(rewards, dtype=float),
        prompts,
        "max@2",
        sessions=sessions,
        mask=np.array(counts),
        baseline=baseline,
    )
    parts = np.split(found, np.cumsum([len(rank) for rank in ranks])[:-1])
    assert [len(part) for part in parts] == [len(rank) for rank in ranks]
    for rank, part in zip(ranks, parts):
        np.testing.assert_allclose(part, [wanted[row] for row in rank], atol=1e-14)


def test_the_sweep_covers_what_it_says() -> None:
    """Empty ranks, groups on more than ten ranks, ranks with several groups."""
    rng = np.random.default_rng(3)
    empty, spread, shared = 0, 0, 0
    for _ in range(20):
        rows = drawn(rng)
        ranks = over_ranks(rows, 64, rng)
        empty += sum(not rank for rank in ranks)
        places = defaultdict(set)
        for number, rank in enumerate(ranks):
            shared += len({row.prompt for row in rank}) > 1
            for row in rank:
                places[row.prompt].add(number)
        spread = max(spread, *(len(numbers) for numbers in places.values()))
    assert min(empty, shared) > 50
    assert spread > 10
