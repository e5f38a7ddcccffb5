"""Tables with one sample a row: the problem in one column, the reward in another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from pkpo.evaluate.readers.collect import Collector, Reading, gathered
from pkpo.evaluate.readers.logfile import LogFile, first_records
from pkpo.evaluate.readers.rows import POLARS_ERRORS, UNITS, csv_header, parquet_schema, rows

_PLACE = "\0place"
_NAMES = ("problem", "reward", "task", "cluster", "step", "sample")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what; the optional ones are None where there are none."""

    problem: str
    reward: str
    task: str | None = None
    cluster: str | None = None
    step: str | None = None
    sample: str | None = None

    def named(self) -> dict[str, str]:
        """Column by what it holds."""
        found = ((name, getattr(self, name)) for name in _NAMES)
        return {name: column for name, column in found if column is not None}


def read_table(file: LogFile, columns: Columns, reading: Reading) -> pl.DataFrame:
    """The tally of a JSONL, CSV or Parquet file, or a JSON array, with one sample a row.

    Raises:
        LogError: a row is bad and the caller wants to stop at that, or the file is damaged.

    Cost: one pass of polars over the named columns; a pass in Python besides where some row
    isn't plainly good.
    """
    tally = _grouped(file, columns.named())
    return tally if tally is not None else _one_by_one(file, columns.named(), reading)


def _one_by_one(file: LogFile, named: Mapping[str, str], reading: Reading) -> pl.DataFrame:
    collector = Collector(reading, file.path, UNITS[file.kind])
    optional = {name: column for name, column in named.items() if name not in _NAMES[:2]}
    for place, row in rows(file, set(named.values())):
        if isinstance(row, str):
            collector.bad(place, row)
            continue
        missing = [column for column in named.values() if column not in row]
        if missing:
            there = ", ".join(list(row)[:12]) or "nothing"
            collector.bad(place, f"no {missing[0]!r}; it has {there}")
            continue
        collector.add(
            place,
            row[named["problem"]],
            row[named["reward"]],
            **{name: row[column] for name, column in optional.items()},
        )
    return collector.tally()


def _grouped(file: LogFile, named: Mapping[str, str]) -> pl.DataFrame | None:
    """By polars, or None if anything in the file needs a closer look."""
    try:
        scanned = _scan(file, named)
        if scanned is None:
            return None
        kinds = scanned.collect_schema()
        if not set(named.values()) <= set(kinds):
            return None
        read_as = [
            _read_as(name, column, kinds[column]).alias(name) for name, column in named.items()
        ]
        place = (pl.col(_PLACE).cast(pl.Int64) + 1).alias("first")
        tally = gathered(scanned.select(*read_as, place)).collect(engine="streaming")
    except POLARS_ERRORS:
        return None
    rewards = tally["rewards"].explode()
    keys = [name for name in named if name != "reward"]
    if rewards.null_count() or any(tally[name].null_count() for name in keys):
        return None
    if not rewards.is_finite().all() or (tally["problem"] == "").any():
        return None
    return tally


def _read_as(name: str, column: str, kind: pl.DataType) -> pl.Expr:
    """A column as a tally has it; null where a text is no number."""
    if name == "step":
        return pl.col(column).cast(pl.Int64, strict=False)
    if name != "reward":
        return pl.col(column).cast(pl.String)
    if kind != pl.String:
        return pl.col(column).cast(pl.Float64)
    words = pl.col(column).str.strip_chars().str.to_lowercase()
    return words.replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)


def _scan(file: LogFile, named: Mapping[str, str]) -> pl.LazyFrame | None:
    place: dict[str, Any] = {"row_index_name": _PLACE}
    if file.kind == "json":
        return None
    if file.kind == "csv":
        mark, header = csv_header(file.local)
        if len(set(header)) != len(header):
            return None
        scanned = pl.scan_csv(file.local, separator=mark, infer_schema=False, glob=False, **place)
        # Polars looks at the fields it was asked for: rows too long or short escape it unless
        # that is all of them.
        return scanned.map_batches(_of_whole_rows, projection_pushdown=False, streamable=True)
    if file.kind == "parquet":
        schema = parquet_schema(file)
        known = all(_plain(name, schema[column]) for name, column in named.items())
        return pl.scan_parquet(file.local, glob=False, **place) if known else None
    first = first_records(file.local)[0]
    kinds = {column: _json_kind(name, first.get(column)) for name, column in named.items()}
    if any(kind is None for kind in kinds.values()):
        return None
    return pl.scan_ndjson(file.local, schema=kinds, **place)  # type: ignore[arg-type]


def _of_whole_rows(batch: pl.DataFrame) -> pl.DataFrame:
    """The batch itself, unless its last field may be missing.

    Raises:
        pl.exceptions.ShapeError: it may.
    """
    if batch[:, -1].null_count():
        raise pl.exceptions.ShapeError("a row may lack its last field")
    return batch


def _plain(name: str, kind: pl.DataType) -> bool:
    if name == "step":
        return kind.is_integer()
    if name == "reward":
        return kind.is_numeric() or kind in (pl.Boolean, pl.String)
    return kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum)


def _json_kind(name: str, value: Any) -> Any:
    """The type to read a JSON column as, from its first value; None for none that is safe."""
    if name == "reward":
        if isinstance(value, bool):
            return pl.Boolean
        if isinstance(value, int | float):
            return pl.Float64
    elif isinstance(value, int) and not isinstance(value, bool):
        return pl.Int64
    return pl.String if isinstance(value, str) and name != "step" else None
