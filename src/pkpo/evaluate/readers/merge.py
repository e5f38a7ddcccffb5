"""The tallies of all files brought together: one step, no sample twice, then `Samples`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Reading
from pkpo.evaluate.samples import Samples

Duplicates = Literal["error", "drop", "keep"]
Step = int | Literal["last", "all"]
_STEPS_SHOWN = 8


def merge(
    tallies: Sequence[pl.DataFrame],
    reading: Reading,
    *,
    step: Step | None,
    duplicates: Duplicates,
    threshold: float | None,
    source: str,
) -> Samples:
    """Samples from the tallies of files, in the order of the files.

    Raises:
        LogError: nothing was good, samples of several steps, the same sample twice, or one
            problem in two clusters.
    """
    tally = _stacked(tallies)
    if tally.is_empty():
        bad = f": all {reading.num_bad} records are bad, first {reading.bad_lines[0]}"
        raise LogError(f"{source} holds no sample{bad if reading.num_bad else ''}")
    tally = _of_step(tally, step, source)
    tally = _without_duplicates(tally, duplicates, reading, source)
    tally = _with_task(tally)
    if threshold is not None:
        reached = (pl.col("reward") >= threshold).cast(pl.Float64)
        tally = tally.with_columns(reached.alias("reward"))
    return _samples(tally, source)


def _stacked(tallies: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if len(tallies) == 1:
        return tallies[0]
    placed = []
    offset = 0
    for tally in tallies:
        placed.append(tally.with_columns(pl.col("first") + offset))
        offset += 1 + int(tally["first"].max() or 0)  # type: ignore[arg-type]
    return pl.concat(placed, how="diagonal")


def _of_step(tally: pl.DataFrame, step: Step | None, source: str) -> pl.DataFrame:
    if "step" not in tally.columns:
        if step is None or step == "all":
            return tally
        raise LogError(f"{source} has no steps to choose {step!r} from")
    steps: list[int] = tally["step"].drop_nulls().unique().sort().to_list()
    if step is None and len(steps) > 1:
        shown = ", ".join(map(str, steps[:_STEPS_SHOWN]))
        more = f", ..., {steps[-1]}" if len(steps) > _STEPS_SHOWN else ""
        raise LogError(
            f"{source} holds samples of {len(steps)} steps of training ({shown}{more}), which are "
            f"as many policies: choose one with step= (--step), its number or last, or pool "
            f"them with all"
        )
    if step is None or step == "all":
        return tally
    chosen = steps[-1] if step == "last" else step
    if chosen not in steps:
        raise LogError(
            f"{source} has no samples of step {chosen}; its steps go from {steps[0]} to {steps[-1]}"
        )
    return tally.filter(pl.col("step") == chosen)


def _without_duplicates(
    tally: pl.DataFrame, duplicates: Duplicates, reading: Reading, source: str
) -> pl.DataFrame:
    if "sample" not in tally.columns or duplicates == "keep":
        return tally
    identity = [name for name in ("task", "problem", "step", "sample") if name in tally.columns]
    known = pl.col("sample").is_not_null()
    repeated = known & ((pl.len().over(identity) > 1) | (pl.col("count") > 1))
    again = tally.filter(repeated).sort("first")
    if again.is_empty():
        return tally
    if duplicates == "error":
        row = again.row(0, named=True)
        raise LogError(
            f"{source}: sample {row['sample']!r} of problem {_short(row['problem'])} is there "
            f"twice; choose with duplicates= (--duplicates) to drop all but the first, or to keep "
            f"them as different samples"
        )
    kept = (
        tally.filter(known)
        .sort("first")
        .unique(identity, keep="first", maintain_order=True)
        .with_columns(pl.lit(1, dtype=pl.Int64).alias("count"))
    )
    dropped = int(tally.filter(known)["count"].sum()) - len(kept)
    reading.note(f"{dropped} samples were there before and dropped.")
    return pl.concat([kept, tally.filter(~known)])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _with_task(tally: pl.DataFrame) -> pl.DataFrame:
    """Problems named TASK/PROBLEM where there are several tasks."""
    if "task" not in tally.columns or tally["task"].drop_nulls().n_unique() < 2:
        return tally
    full = pl.concat_str([pl.col("task"), pl.lit("/"), pl.col("problem")])
    return tally.with_columns(pl.coalesce(full, pl.col("problem")).alias("problem"))


def _samples(tally: pl.DataFrame, source: str) -> Samples:
    aggregations = [pl.col("first").min(), pl.col("count").sum().alias("size")]
    clustered = "cluster" in tally.columns
    if clustered:
        aggregations += [
            pl.col("cluster").drop_nulls().first(),
            pl.col("cluster").n_unique().alias("clusters"),
        ]
    problems = tally.group_by("problem").agg(aggregations).sort("first", "problem")
    if clustered:
        _check_clusters(problems, source)
    order = problems.select("problem").with_row_index("index")
    grouped = (
        tally.select("problem", "reward", "count")
        .join(order, on="problem")
        .select("index", "reward", "count")
        .sort("index", "reward")
    )
    rewards, counts = grouped["reward"].to_numpy(), grouped["count"].to_numpy()
    return Samples(
        problems=tuple(problems["problem"].to_list()),
        sizes_P=problems["size"].to_numpy(),
        rewards_N=rewards if bool((counts == 1).all()) else np.repeat(rewards, counts),
        clusters_P=tuple(problems["cluster"].to_list()) if clustered else None,
        source=source,
    )


def _check_clusters(problems: pl.DataFrame, source: str) -> None:
    several = problems.filter((pl.col("clusters") > 1) | pl.col("cluster").is_null())
    if not several.is_empty():
        raise LogError(
            f"{source}: problem {_short(several['problem'][0])} has samples in several clusters "
            f"or in none; each problem belongs to one"
        )
