"""The tallies of all files brought together: one run, no sample twice, then `Samples`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.identity import (
    check_problems,
    dividing,
    known_fields,
    named_apart,
    one_run,
    shortened,
)
from pkpo.evaluate.readers.tally import RUN, Reading
from pkpo.evaluate.samples import Samples

Known = dict[str, tuple[str | None, ...]]


class DividedError(Exception):
    """Columns may divide the samples into runs, and are to be read as such."""


def merge(tallies: Sequence[pl.DataFrame], reading: Reading, source: str) -> tuple[Samples, Known]:
    """Samples from the tallies of files, in the order of the files, and what the logs say of
    each problem: its task, its text."""
    placed, offset = [], 0
    for tally in tallies:
        placed.append(tally.with_columns(pl.col("first") + offset))
        offset += 1 + int(tally["first"].max() or 0)  # type: ignore[arg-type]
    tally = pl.concat(placed, how="diagonal")
    if tally.is_empty():
        bad = [
            f": all {reading.num_bad} records are bad, first {line}" for line in reading.bad_lines
        ]
        raise LogError(f"{source} holds no sample{bad[0] if bad else ''}")
    tally = named_apart(one_run(tally, reading, source), reading)
    if columns := dividing(tally):
        raise DividedError(*columns)
    check_problems(tally, reading, source)
    return _samples(_without_duplicates(tally, reading, source), reading, source)


def _without_duplicates(tally: pl.DataFrame, reading: Reading, source: str) -> pl.DataFrame:
    duplicates = reading.wanted.duplicates
    if "sample" not in tally.columns or duplicates == "keep":
        return tally
    identity = ["problem", "sample", *(name for name in tally.columns if name.startswith(RUN))]
    if tally.select(identity).hash_rows().n_unique() == len(tally):
        return tally
    known = pl.col("sample").is_not_null()
    again = tally.filter(known & (pl.len().over(identity) > 1)).sort("first")
    if again.is_empty():
        return tally
    if duplicates == "error":
        row = again.row(0, named=True)
        raise LogError(
            f"{source}: sample {row['sample']!r} of problem {shortened(row['problem'])} is there "
            f"twice; choose with duplicates= (--duplicates) to drop all but the first, or to keep "
            f"them as different samples"
        )
    kept = tally.filter(known).sort("first").unique(identity, keep="first", maintain_order=True)
    kept = pl.concat([kept, tally.filter(~known)])
    reading.note(f"{len(tally) - len(kept)} samples were there before and dropped.")
    return kept


def _samples(tally: pl.DataFrame, reading: Reading, source: str) -> tuple[Samples, Known]:
    clustered = "cluster" in tally.columns
    if clustered:
        first = tally.sort("first")
        in_one = pl.col("cluster").n_unique().over("problem") == 1
        bad = first.filter(~in_one | pl.col("cluster").is_null())
        if not bad.is_empty():
            raise LogError(
                f"{source}: problem {shortened(bad['problem'][0])} has samples in several "
                f"clusters or in none; each problem belongs to one"
            )
    known = known_fields(tally, reading)
    others = [*(["cluster"] if clustered else []), *known]
    if tally["problem"].n_unique() < len(tally):
        tally = tally.group_by("problem").agg(
            pl.col("rewards").explode(),
            pl.col("first").min(),
            *(pl.col(name).drop_nulls().first() for name in others),
        )
    tally = tally.sort("first", "problem")
    rewards = tally["rewards"].list.sort()  # polars' threads leave no order of their own
    rewards_N = rewards.explode().to_numpy()
    if reading.wanted.threshold is not None:
        rewards_N = (rewards_N >= reading.wanted.threshold).astype(np.float64)
    samples = Samples(
        problems=tuple(tally["problem"].to_list()),
        sizes_P=rewards.list.len().to_numpy(),
        rewards_N=rewards_N,
        clusters_P=tuple(tally["cluster"].to_list()) if clustered else None,
        source=source,
    )
    return samples, {name: tuple(tally[name].to_list()) for name in known}
