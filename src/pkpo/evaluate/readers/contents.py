"""What is in a file: its kind and columns, which tell whose log it is, and its rows one by one.

Rows are read here the slow and exact way, which says which line is bad; their numbers start at 1.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.files import BOM, start_of
from pkpo.evaluate.readers.values import text_of

Kind = Literal["jsonl", "json", "csv", "parquet", "zip"]
NumberedRow = tuple[int, dict[str, Any] | str]
"""The line or row number, and its fields by name or what is wrong with it."""

UNITS = {"jsonl": "line", "csv": "line", "parquet": "row", "json": "record"}
# Polars panics over some damaged files, with an exception that isn't an Exception.
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_PARQUET, _ZIP = b"PAR1", b"PK\x03\x04"
_LINES_LOOKED_AT = 50
_LOOKED_AT_END = 1 << 16
_PARQUET_ROWS = 20_000
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class Log:
    """One file to read, `number` from 0, and what its beginning and end show: the unpacked content
    lies at `local`; the columns are those of a table, or the keys of its first record or of the
    document, or the names in the archive; of a JSON array all records are looked at."""

    path: Path
    local: Path
    number: int
    kind: Kind
    columns: tuple[str, ...]
    looked_at: Sequence[Mapping[str, Any]] = ()
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)
    document: Any = None

    @property
    def is_table(self) -> bool:
        """Whether it has one record a line, a row or an item of a JSON array."""
        return self.kind in ("jsonl", "csv", "parquet") or isinstance(self.document, list)

    def has(self, *columns: str) -> bool:
        """Whether all of these columns are there."""
        return set(columns) <= set(self.columns)

    @cached_property
    def outer(self) -> dict[str, None]:
        """The columns, and the keys that other records than the first have besides."""
        keys = dict.fromkeys(self.columns)
        return keys | dict.fromkeys(key for record in self.looked_at for key in record)

    @cached_property
    def inner(self) -> dict[str, None]:
        """The keys of objects in records, all the way down, as OUTER.INNER."""
        keys = dict.fromkeys(key for record in self.looked_at for key in _inner(record))
        return {key: None for key in keys if key not in self.outer}

    def values(self, column: str) -> list[Any]:
        """A column's values among the records looked at."""
        return [value_at(record, column) for record in self.looked_at]

    def shown(self) -> str:
        """The columns for a message."""
        names = ", ".join(self.columns[:_NAMES_SHOWN])
        left = len(self.columns) - _NAMES_SHOWN
        return (names or "none") + (f" and {left} more" if left > 0 else "")


def _inner(record: Mapping[str, Any], outer: str = "") -> Iterator[str]:
    """The keys of the objects in a record, behind those of the objects that they are in."""
    for key, value in record.items():
        if outer:
            yield outer + key
        if isinstance(value, dict):
            yield from _inner(value, f"{outer}{key}.")


def value_at(record: Mapping[str, Any], column: str) -> Any:
    """What a record has under a name, which may be that of an object's member, OUTER.INNER."""
    if column in record or "." not in column:
        return record.get(column)
    for key, inside in record.items():
        if isinstance(inside, dict) and column.startswith(f"{key}."):
            value = value_at(inside, column[len(key) + 1 :])
            if value is not None:
                return value
    return None


def look_at(path: Path, local: Path, number: int) -> Log:
    """The log in a file."""
    start = start_of(local)
    if start.startswith(_PARQUET):
        try:
            schema = pl.read_parquet_schema(local)
        except POLARS_ERRORS as error:
            raise LogError(f"{path} is a damaged or incomplete Parquet file: {error}") from error
        looked_at = _ends_of_parquet(local, schema)
        return Log(path, local, number, "parquet", tuple(schema), looked_at, schema)
    if start.startswith(_ZIP):
        try:
            with zipfile.ZipFile(local) as archive:
                return Log(path, local, number, "zip", tuple(archive.namelist()))
        except zipfile.BadZipFile as error:
            raise LogError(f"{path} is a damaged or incomplete .eval file: {error}") from error
    if b"\0" in start:
        raise LogError(
            f"{path} is neither text in UTF-8 nor Parquet, an inspect_ai .eval file, gzip or "
            f"zstandard"
        )
    first, last = _ends(local)
    text = start.removeprefix(BOM).lstrip()
    if not text.startswith((b"{", b"[")):
        names = csv_header(local)[1]
        looked_at = [row for _, row in islice(_csv_rows(local), _LINES_LOOKED_AT)]
        looked_at = [row for row in looked_at if isinstance(row, dict)]
        return Log(path, local, number, "csv", names, looked_at + _last_of_csv(local, last))
    records = _objects(first)
    indented = first[0].removeprefix(BOM).strip() == b"{"
    if indented or text.startswith(b"[") or (len(records) == 1 and _is_document(records[0])):
        document = _document(path, local)
        records = document if isinstance(document, list) else [document]
        records = [record for record in records if isinstance(record, dict)]
        columns = tuple(records[0]) if records else ()
        looked_at = records if isinstance(document, list) else ()
        return Log(path, local, number, "json", columns, looked_at, document=document)
    if not records:
        place, problem = next(_json_rows(local))
        raise LogError(f"{path}, line {place}: {problem}")
    return Log(path, local, number, "jsonl", tuple(records[0]), [*records, *_objects(last)])


def _is_document(record: dict[str, Any]) -> bool:
    """Whether a lone line is a whole log and not one record of one."""
    return isinstance(record.get("eval"), dict) or "problem_ids" in record


def _document(path: Path, local: Path) -> Any:
    try:
        return json.loads(local.read_bytes().removeprefix(BOM))
    except json.JSONDecodeError as error:
        raise LogError(
            f"{path}, line {error.lineno}: not complete JSON at column {error.colno}: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise LogError(f"{path} isn't readable as JSON: {error}") from error


def _ends(local: Path) -> tuple[list[bytes], list[bytes]]:
    """The first lines, and the last that aren't among them."""
    with local.open("rb") as file:
        first = list(islice(file, _LINES_LOOKED_AT))
        rest = os.fstat(file.fileno()).st_size - _LOOKED_AT_END
        if rest > file.tell():
            file.seek(rest)
            file.readline()
        return first, file.readlines()[-_LINES_LOOKED_AT:]


def _ends_of_parquet(local: Path, schema: Mapping[str, pl.DataType]) -> list[dict[str, Any]]:
    """The first and the last rows, without images and the like."""
    names = [name for name, kind in schema.items() if "Binary" not in str(kind)]
    try:
        frame = pl.scan_parquet(local, glob=False).select(names)
        ends = [frame.head(_LINES_LOOKED_AT), frame.tail(_LINES_LOOKED_AT)]
        return [row for end in ends for row in end.collect().to_dicts()]
    except POLARS_ERRORS:
        return []


def _last_of_csv(local: Path, last: Iterable[bytes]) -> list[dict[str, Any]]:
    """The whole rows among the last lines."""
    separator, names = csv_header(local)
    lines = [line.decode(errors="replace") for line in last]
    rows = [next(csv.reader([line], delimiter=separator), []) for line in lines]
    return [dict(zip(names, row)) for row in rows if len(row) == len(names)]


def _objects(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    records = []
    for line in lines:
        text = line.removeprefix(BOM).strip()
        try:
            value = json.loads(text) if text.startswith(b"{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            records.append(value)
    return records


def csv_header(local: Path) -> tuple[str, tuple[str, ...]]:
    """The separator (the one of , tab ; that the header has) and the names of the columns."""
    with local.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = next((line for line in file if line.strip()), "")
    separator = max(",\t;", key=lambda mark: (line.count(mark), mark == ","))
    return separator, tuple(next(csv.reader([line], delimiter=separator), []))


def rows(log: Log, columns: Iterable[str] | None = None) -> Iterator[NumberedRow]:
    """Each row of a JSONL, CSV or Parquet file, each item of a JSON array; of Parquet files only
    `columns`. Raises LogError where a Parquet file is damaged."""
    if log.kind == "parquet":
        return _parquet_rows(log, columns)
    if log.kind == "json":
        return _items(log.local)
    return _csv_rows(log.local) if log.kind == "csv" else _json_rows(log.local)


def fingerprint(log: Log) -> int:
    """The same for files whose records are the same, in whatever order and however written."""
    if not log.is_table:
        return hash(log.local.read_bytes() if log.document is None else text_of(log.document))
    hashes = (hashlib.blake2b(text_of(row).encode(), digest_size=8) for _, row in rows(log))
    return sum(int.from_bytes(one.digest(), "little") for one in hashes)


def _json_rows(local: Path) -> Iterator[NumberedRow]:
    with local.open("rb") as source:
        for number, line in enumerate(source, start=1):
            text = line.removeprefix(BOM).strip() if number == 1 else line.strip()
            if text:
                yield number, _parsed(text)


def _parsed(line: bytes) -> dict[str, Any] | str:
    """The JSON object on a line, or what is wrong with it."""
    try:
        return _object(json.loads(line.decode(), object_pairs_hook=_first_of_each))
    except UnicodeDecodeError as error:
        return f"not UTF-8 text at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not complete JSON at column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"not readable as JSON: {error}"


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice the first value, as polars has it."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


def _object(value: Any) -> dict[str, Any] | str:
    return value if isinstance(value, dict) else f"not a JSON object but a {type(value).__name__}"


def _items(local: Path) -> Iterator[NumberedRow]:
    items = json.loads(local.read_bytes().removeprefix(BOM), object_pairs_hook=_first_of_each)
    yield from ((number, _object(item)) for number, item in enumerate(items, start=1))


def _csv_rows(local: Path) -> Iterator[NumberedRow]:
    separator, names = csv_header(local)
    with local.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as source:
        reader = csv.reader(source, delimiter=separator, strict=True)
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


def _parquet_rows(log: Log, columns: Iterable[str] | None) -> Iterator[NumberedRow]:
    number = 0
    try:
        frame = pl.scan_parquet(log.local, glob=False)
        if columns is not None:
            frame = frame.select(list(columns))
        total = frame.select(pl.len()).collect().item()
        for start in range(0, total, _PARQUET_ROWS):
            for row in frame.slice(start, _PARQUET_ROWS).collect().iter_rows(named=True):
                number += 1
                yield number, row
    except POLARS_ERRORS as error:
        raise LogError(
            f"{log.path} is a damaged Parquet file, after row {number}: {error}"
        ) from error
