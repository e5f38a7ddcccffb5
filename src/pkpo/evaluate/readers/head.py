"""What the beginning of a file shows: enough to tell whose log it is."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.logfile import Kind, LogFile, first_records, last_records
from pkpo.evaluate.readers.rows import csv_header, parquet_schema, rows

_NAMES_SHOWN = 30


@dataclass(frozen=True)
class Head:
    """
    Args:
        kind: of the file.
        columns: of a table, or the keys of its first record, or of the document, or the
            names in the archive.
        schema: of a Parquet file.
        looked_at: of a JSONL file or JSON array, some records at its beginning and end.
        document: the whole of a JSON file.
    """

    kind: Kind
    columns: tuple[str, ...]
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)
    looked_at: Sequence[Mapping[str, Any]] = ()
    document: Any = None

    @property
    def is_table(self) -> bool:
        """Whether it has one record a line, a row or an item of a JSON array."""
        return self.kind in ("jsonl", "csv", "parquet") or isinstance(self.document, list)

    def has(self, *columns: str) -> bool:
        """Whether all of these columns are there."""
        return set(columns) <= set(self.columns)

    def all_columns(self) -> tuple[str, ...]:
        """The columns, and the keys that other records than the first have besides."""
        found = dict.fromkeys(self.columns)
        return tuple(found | dict.fromkeys(key for record in self.looked_at for key in record))

    def shown(self) -> str:
        """The columns for a message."""
        names = ", ".join(self.columns[:_NAMES_SHOWN])
        left = len(self.columns) - _NAMES_SHOWN
        return (names or "none") + (f" and {left} more" if left > 0 else "")


def look_at(file: LogFile) -> Head:
    """
    Raises:
        LogError: the file is damaged at its beginning.
    """
    if file.kind == "parquet":
        schema = parquet_schema(file)
        return Head("parquet", tuple(schema), schema=dict(schema))
    if file.kind == "zip":
        return Head("zip", _archive_names(file))
    if file.kind == "csv":
        return Head("csv", csv_header(file.local)[1])
    if file.kind == "json":
        return _document_head(file)
    records = first_records(file.local)
    if not records:
        place, problem = next(rows(file))
        raise LogError(f"{file.path}, line {place}: {problem}")
    return Head("jsonl", tuple(records[0]), looked_at=[*records, *last_records(file.local)])


def _archive_names(file: LogFile) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(file.local) as archive:
            return tuple(archive.namelist())
    except zipfile.BadZipFile as error:
        raise LogError(f"{file.path} is a damaged or incomplete .eval file: {error}") from error


def _document_head(file: LogFile) -> Head:
    try:
        document = json.loads(file.local.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        raise LogError(
            f"{file.path}, line {error.lineno}: not complete JSON at column {error.colno}: "
            f"{error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise LogError(f"{file.path} isn't readable as JSON: {error}") from error
    if isinstance(document, dict):
        return Head("json", tuple(document), document=document)
    records = [item for item in document if isinstance(item, dict)]
    return Head("json", tuple(records[0]) if records else (), looked_at=records, document=document)
