"""Files as they lie on the disk: found by path or pattern, unpacked, known by their content."""

from __future__ import annotations

import glob
import gzip
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import zstandard

from pkpo.errors import LogError
from pkpo.terminal import visible

Kind = Literal["jsonl", "json", "csv", "parquet", "zip"]

_GZIP, _ZSTD, _PARQUET, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK\x03\x04"
_BOM = b"\xef\xbb\xbf"
_LINES_LOOKED_AT = 50
_LOOKED_AT_END = 1 << 16
_CHUNK = 1 << 20
_STDIN = "-"
_STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


@dataclass(frozen=True)
class LogFile:
    """One file to read.

    Args:
        path: as it was given, for messages.
        local: the unpacked content; `path` itself where nothing was packed.
        kind: what it holds.
        number: which of the files it is, from 0.
    """

    path: Path
    local: Path
    kind: Kind
    number: int = 0


def expand(paths: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that paths and patterns name, each once, patterns in sorted order; - is stdin.

    Raises:
        LogError: a path doesn't exist or a pattern finds nothing.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise LogError("no files to read were given")
    found: dict[Path, Path] = {}
    for path in map(Path, given):
        if str(path) == _STDIN or path.exists():
            matches = [path]
        elif glob.has_magic(str(path)):
            matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
            if not matches:
                raise LogError(f"no file matches {path}")
        else:
            raise LogError(f"{path} doesn't exist")
        for match in matches:
            found.setdefault(match.resolve(), match)
    return tuple(found.values())


def readable_again(path: Path, folder: Path, number: int) -> Path:
    """Where a file's content can be read more than once: a copy in `folder` for a pipe.

    Raises:
        LogError: stdin is wanted and closed.
        OSError: it can't be read.
    """
    if str(path) != _STDIN and path.is_file() and not str(path).startswith(_STREAMS):
        return path
    if str(path) == _STDIN and sys.stdin is None:
        raise LogError(f"{path} stands for stdin, which is closed")
    copy = folder / f"{number}.copy"
    with copy.open("wb") as target:
        if str(path) == _STDIN:
            shutil.copyfileobj(sys.stdin.buffer, target, _CHUNK)
        else:
            with path.open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK)
    return copy


def unpack(path: Path, source: Path, folder: Path, number: int = 0) -> LogFile:
    """Look at a file's content, and unpack it into `folder` if it is gzip or zstandard.

    Args:
        path: as it was given.
        source: where its content can be read.
        folder: for what is unpacked.
        number: which of the files it is.

    Raises:
        LogError: it is empty, its compression is damaged or cut short, or it is neither
            text nor of a known binary kind.
        OSError: it can't be read.
    """
    start = _start(source)
    local = source
    if start.startswith((_GZIP, _ZSTD)):
        local = folder / f"{number}.unpacked"
        with local.open("wb") as target:
            if start.startswith(_GZIP):
                _gunzip(path, source, target)
            else:
                _unzstd(path, source, target)
        start = _start(local)
    elif glob.has_magic(str(source)) or visible(str(source)) != str(source):  # not for polars
        local = folder / f"{number}.link"
        local.symlink_to(source.resolve())
    if not start.strip(b" \t\r\n" + _BOM) and local.stat().st_size <= len(start):
        raise LogError(f"{path} is empty")
    return LogFile(path, local, _kind(path, local, start), number)


def identical(sources: Mapping[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs (first, later) of files with the same bytes, from where each can be read."""
    by_size: dict[int, list[Path]] = {}
    for path, source in sources.items():
        by_size.setdefault(source.stat().st_size, []).append(path)
    for same_size in by_size.values():
        if len(same_size) < 2:
            continue
        seen: dict[bytes, Path] = {}
        for path in same_size:
            with sources[path].open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
            if digest in seen:
                yield seen[digest], path
            else:
                seen[digest] = path


def first_records(local: Path) -> list[dict[str, Any]]:
    """The JSON objects among the first lines."""
    with local.open("rb") as file:
        return _objects(islice(file, _LINES_LOOKED_AT))


def last_records(local: Path) -> list[dict[str, Any]]:
    """The JSON objects among the last lines, those of the first not again."""
    with local.open("rb") as file:
        for _ in islice(file, _LINES_LOOKED_AT):
            pass
        rest = os.fstat(file.fileno()).st_size - _LOOKED_AT_END
        if rest > file.tell():
            file.seek(rest)
            file.readline()
        return _objects(file.readlines()[-_LINES_LOOKED_AT:])


def _objects(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    records = []
    for line in lines:
        text = line.removeprefix(_BOM).strip()
        try:
            value = json.loads(text) if text.startswith(b"{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            records.append(value)
    return records


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _gunzip(path: Path, source: Path, target: Any) -> None:
    try:
        with gzip.open(source) as packed:
            shutil.copyfileobj(packed, target, _CHUNK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LogError(f"{path}: its gzip compression is damaged or cut short: {error}") from error


def _unzstd(path: Path, source: Path, target: Any) -> None:
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    try:
        with source.open("rb") as packed:
            while chunk := packed.read(_CHUNK):
                while chunk:
                    if frame.eof:
                        frame = decompressor.decompressobj()
                    target.write(frame.decompress(chunk))
                    chunk = frame.unused_data
    except zstandard.ZstdError as error:
        raise LogError(f"{path}: its zstandard compression is damaged: {error}") from error
    if not frame.eof:
        raise LogError(f"{path}: its zstandard compression is cut short")


def _kind(path: Path, local: Path, start: bytes) -> Kind:
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith(_ZIP):
        return "zip"
    if b"\0" in start:
        raise LogError(
            f"{path} is neither text in UTF-8 nor Parquet, an inspect_ai .eval file, gzip or "
            f"zstandard"
        )
    text = start.removeprefix(_BOM).lstrip()
    if not text.startswith((b"{", b"[")):
        return "csv"
    if text.startswith(b"[") or _stands_alone(local):
        return "json"
    records = first_records(local)
    if len(records) == 1 and _is_document(records[0]):
        return "json"
    return "jsonl"


def _stands_alone(local: Path) -> bool:
    """Whether the first line is an opening brace, as in an indented document."""
    with local.open("rb") as file:
        return file.readline().removeprefix(_BOM).strip() == b"{"


def _is_document(record: dict[str, Any]) -> bool:
    """Whether a lone line is a whole log and not one record of one."""
    return isinstance(record.get("eval"), dict) or "problem_ids" in record
