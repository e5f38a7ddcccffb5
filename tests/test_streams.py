"""Random streams that differ in anything are separate, and nothing that trains has another."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pkpo
from pkpo.streams import Stream, generator_of, seed_of

SOURCES = Path(pkpo.__file__).parent
REPRODUCTION = Path(__file__).parents[1] / "reproduction"
TRAINING = (
    *(SOURCES / name for name in ("engines", "execution", "tasks", "train")),
    REPRODUCTION / "studies",
)
MAKERS = {"manual_seed", "default_rng", "Random", "RandomState", "SeedSequence", "seed"}
PROBLEM_SETS = "grid_programs.py: np.random.default_rng([self.seed, 0])"
"""Data of a task, the same in every version, no random numbers of a run."""


def test_every_key_has_a_seed_of_its_own():
    numbers = range(12)
    uses = [(), *itertools.product(numbers), *itertools.product(numbers, repeat=2)]
    uses += [("test",), *(("test", number) for number in numbers), ("validation", 0)]
    seeds = [
        seed_of(seed, stream, *use)
        for seed in (*range(30), 2**32, 2**63)
        for stream in Stream
        for use in uses
    ]
    assert len(set(seeds)) == len(seeds) == 32 * len(Stream) * len(uses)
    assert 0 <= min(seeds) < max(seeds) < 2**63


def test_numbers_of_any_type_are_the_same_key():
    numbers: Any = np.array([3, 4], dtype=np.int32)
    assert seed_of(3, Stream.EPOCHS, 4) == seed_of(numbers[0], Stream.EPOCHS, numbers[1])
    assert seed_of(3, Stream.EPOCHS, 4) != seed_of(3, Stream.EPOCHS, "4")


def test_generators_have_the_seed_of_their_stream():
    first = generator_of(1, Stream.UNIFORM, 2).random(4)
    again = np.random.default_rng(seed_of(1, Stream.UNIFORM, 2)).random(4)
    assert first.tolist() == again.tolist()


def made_without_a_stream(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        named = {getattr(node, "id", "") for node in ast.walk(call)}
        if name in MAKERS and "seed_of" not in named:
            yield ast.unparse(call)


def test_whatever_trains_seeds_its_generators_from_a_stream():
    assert all(folder.is_dir() for folder in TRAINING)
    found = [
        f"{path.name}: {call}"
        for folder in TRAINING
        for path in sorted(folder.rglob("*.py"))
        for call in made_without_a_stream(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == [PROBLEM_SETS]


def test_the_check_sees_bare_seeds():
    bare = "torch.Generator().manual_seed(seed)\nnp.random.default_rng([seed, 1])\nrandom.Random(0)"
    assert len(list(made_without_a_stream(ast.parse(bare)))) == 3
    assert not list(made_without_a_stream(ast.parse("g.manual_seed(seed_of(0, s))")))
