"""What the beginning of a file shows: enough to tell whose log it is."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.logfile import Kind, LogFile, first_records
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
        record: the first record of a JSONL file.
        document: the whole of a JSON file.
    """

    kind: Kind
    columns: tuple[str, ...]
    schema: Mapping[str, pl.DataType] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    document: Any = None

    @property
    def is_table(self) -> bool:
        """Whether it has one record a line, a row or an item of a JSON array."""
        return self.kind in ("jsonl", "csv", "parquet") or isinstance(self.document, list)

    def has(self, *columns: str) -> bool:
        """Whether all of these columns are there."""
        return set(columns) <= set(self.columns)

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
    return Head("jsonl", tuple(records[0]), record=records[0])


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
    first = document[0] if document and isinstance(document[0], dict) else {}
    return Head("json", tuple(first), record=first, document=document)
