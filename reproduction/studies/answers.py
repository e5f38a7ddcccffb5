"""What policies answer to the same problems: texts, and how many are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.evaluate import Comparison, Samples, compare
from pkpo.tables import Table

PROBLEMS, ANSWERS = 6, 4
"""Shown of each study."""


def first_answers(samples: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The first problems with the first answers of each policy and their rewards.

    Args:
        samples: by policy, its samples.parquet; all of the same problems.
    """
    policies = {name: pl.read_parquet(path) for name, path in samples.items()}
    found = {}
    for name, rows in policies.items():
        for (problem,), own in rows.group_by("problem", maintain_order=True):
            if len(found) < PROBLEMS or problem in found:
                shown = found.setdefault(problem, {"prompt": own["prompt"][0], "answers": {}})
                answers = own.head(ANSWERS).select("completion", "reward").rows()
                shown["answers"][name] = [list(answer) for answer in answers]
    return list(found.values())


def correct_counts(samples: Path) -> str:
    """How many answers to each problem are right, in the order of a samples.parquet."""
    counts = pl.read_parquet(samples).group_by("problem", maintain_order=True)
    return " ".join(map(str, counts.agg(pl.col("reward").sum().cast(pl.Int64))["reward"]))


def differences(
    correct: Mapping[str, Mapping[str, str]],
    num_samples: int,
    baselines: Mapping[str, str],
    k_values: Sequence[int],
) -> Comparison:
    """Policies compared at each k, averaged over their seeds.

    The unit of the intervals is a problem with what all seeds answer to it: they are about other
    problems of the kind, trained for with these seeds.

    Args:
        correct: by policy and seed, what `correct_counts` gives; seeds share their problems.
        num_samples: of each problem.
        baselines: for each policy the one that it is compared with.
        k_values: of pass@k.
    """
    samples = {}
    for policy, by_seed in correct.items():
        counts = {seed: list(map(int, text.split())) for seed, text in by_seed.items()}
        pairs = [(place, seed) for seed, found in counts.items() for place in range(len(found))]
        samples[policy] = Samples.from_counts(
            num_samples,
            [counts[seed][place] for place, seed in pairs],
            problems=[f"{place}, seed {seed}" for place, seed in pairs],
            clusters=[str(place) for place, _ in pairs],
        )
    return compare(samples, k_values, baseline=baselines)


def answers_table(problems: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A row for each problem, a column for each policy; right answers are marked."""
    names = list(problems[0]["answers"])
    rows = tuple(
        (one["prompt"], *(_joined(one["answers"][name]) for name in names)) for one in problems
    )
    note = f"The first {ANSWERS} of the first seed's samples of the first test problems. ✓: right."
    return Table(("problem", *names), rows, (note,), title, words=frozenset(range(len(names) + 1)))


def _joined(answers: Sequence[tuple[str, float]]) -> str:
    return " · ".join(
        f"{' '.join(text.split()) or '(nothing)'}{' ✓' if reward == 1.0 else ''}"
        for text, reward in answers
    )
