"""The rows of a table one by one, JSON lines, CSV and Parquet alike, bad ones with the reason.

This is the slow and exact way: it says which line is bad. Line and row numbers start at 1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.logfile import LogFile

Row = tuple[int, dict[str, Any] | str]
"""The line or row number, and its fields by name or what is wrong with it."""

UNITS = {"jsonl": "line", "csv": "line", "parquet": "row", "json": "record"}
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 20_000
# Polars panics over some damaged files, with an exception that isn't an Exception.
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def rows(file: LogFile, columns: Iterable[str] | None = None) -> Iterator[Row]:
    """Each row of a JSONL, CSV or Parquet file, each item of a JSON array.

    Args:
        file: the file.
        columns: of Parquet files read only these.

    Raises:
        LogError: a Parquet file is damaged.
    """
    if file.kind == "parquet":
        return _parquet_rows(file, columns)
    if file.kind == "json":
        return _items(file.local)
    return _csv_rows(file.local) if file.kind == "csv" else _json_rows(file.local)


def parse_line(line: bytes) -> dict[str, Any] | str:
    """The JSON object on a line, or what is wrong with it."""
    try:
        value = json.loads(line.decode(), object_pairs_hook=_first_of_each)
    except UnicodeDecodeError as error:
        return f"not UTF-8 text at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not complete JSON at column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"not readable as JSON: {error}"
    return _object(value)


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice the first value, as polars has it."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _object(value: Any) -> dict[str, Any] | str:
    return value if isinstance(value, dict) else f"not a JSON object but a {type(value).__name__}"


def _items(local: Path) -> Iterator[Row]:
    items = json.loads(local.read_bytes().removeprefix(_BOM), object_pairs_hook=_first_of_each)
    yield from ((number, _object(item)) for number, item in enumerate(items, start=1))


def separator(header: str) -> str:
    """The character between the columns of a CSV file: the one of , tab ; that its header has."""
    return max(",\t;", key=lambda mark: (header.count(mark), mark == ","))


def csv_header(local: Path) -> tuple[str, tuple[str, ...]]:
    """The separator and the column names of a CSV file."""
    with local.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = next((line for line in file if line.strip()), "")
        mark = separator(line)
        names = next(csv.reader([line], delimiter=mark), [])
    return mark, tuple(names)


def parquet_schema(file: LogFile) -> pl.Schema:
    """
    Raises:
        LogError: the file is damaged.
    """
    try:
        return pl.read_parquet_schema(file.local)  # type: ignore[return-value]
    except POLARS_ERRORS as error:
        raise LogError(f"{file.path} is a damaged or incomplete Parquet file: {error}") from error


def _json_rows(local: Path) -> Iterator[Row]:
    with local.open("rb") as source:
        for number, line in enumerate(source, start=1):
            text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
            if text:
                yield number, parse_line(text)


def _csv_rows(local: Path) -> Iterator[Row]:
    mark, names = csv_header(local)
    with local.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source:
        reader = csv.reader(source, delimiter=mark, strict=True)
        header_seen = False
        while True:
            number = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, f"not readable as CSV: {error}"
                continue
            if not fields:
                continue
            if not header_seen:
                header_seen = True
                continue
            if len(fields) != len(names):
                yield number, f"{len(fields)} fields, where the header has {len(names)}"
            elif any("\udc80" <= mark <= "\udcff" for text in fields for mark in text):
                yield number, "not UTF-8 text"
            else:
                yield number, dict(zip(names, (text or None for text in fields)))


def _parquet_rows(file: LogFile, columns: Iterable[str] | None) -> Iterator[Row]:
    number = 0
    try:
        frame = pl.scan_parquet(file.local, glob=False)
        if columns is not None:
            frame = frame.select(list(columns))
        total = frame.select(pl.len()).collect().item()
        for start in range(0, total, _PARQUET_ROWS):
            for row in frame.slice(start, _PARQUET_ROWS).collect().iter_rows(named=True):
                number += 1
                yield number, row
    except POLARS_ERRORS as error:
        raise LogError(
            f"{file.path} is a damaged Parquet file, after row {number}: {error}"
        ) from error
