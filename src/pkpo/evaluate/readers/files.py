"""Files as they lie on the disk: found by path or pattern, unpacked; and what lies beside them."""

from __future__ import annotations

import glob
import gzip
import json
import re
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import zstandard

from pkpo.errors import LogError
from pkpo.evaluate.readers.values import object_of
from pkpo.terminal import visible

BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PACKED = r"(\.gz|\.zst)?"
_CHUNK = 1 << 20
_STDIN = "-"
_STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def expand(paths: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that paths and patterns name, each once, patterns in sorted order; - is stdin."""
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
    """Where a file's content can be read more than once: a copy in `folder` for a pipe."""
    if str(path) != _STDIN and path.is_file() and not str(path).startswith(_STREAMS):
        return path
    if str(path) == _STDIN and sys.stdin is None:
        raise LogError(f"{path} stands for stdin, which is closed")
    copy = folder / f"{number}.copy"
    opened = nullcontext(sys.stdin.buffer) if str(path) == _STDIN else path.open("rb")
    with copy.open("wb") as target, opened as source:
        shutil.copyfileobj(source, target, _CHUNK)
    return copy


def unpacked(path: Path, source: Path, folder: Path) -> Path:
    """Where the content of `path`, which can be read at `source`, lies unpacked: in `folder` if
    it is gzip or zstandard."""
    start = start_of(source)
    local = source
    if start.startswith((_GZIP, _ZSTD)):
        local = folder / "unpacked"
        with local.open("wb") as target:
            (_gunzip if start.startswith(_GZIP) else _unzstd)(path, source, target)
        start = start_of(local)
    elif glob.has_magic(str(source)) or visible(str(source)) != str(source):  # not for polars
        local = folder / "link"
        local.symlink_to(source.resolve())
    if not start.strip(b" \t\r\n" + BOM) and local.stat().st_size <= len(start):
        raise LogError(f"{path} is empty")
    return local


def json_at(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, empty where it can't be read: it isn't the log."""
    try:
        return object_of(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def matched(pattern: str, path: Path) -> re.Match[str] | None:
    """Whether a file has the name that its tool gives it, packed or not."""
    return re.fullmatch(pattern + _PACKED, path.name)


def start_of(path: Path) -> bytes:
    """Its first bytes."""
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
