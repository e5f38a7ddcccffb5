"""Writing files whole or not at all, so that they outlive a crash of program or machine."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_CANNOT_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)
_LONGEST_NAME = 80


def default_cache() -> Path:
    """$PKPO_CACHE, or pkpo in the user's cache folder."""
    if "PKPO_CACHE" in os.environ:
        return Path(os.environ["PKPO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pkpo"


def folder_name(text: str) -> str:
    """`text` as a folder's name, in ASCII; other letters are told apart by a checksum."""
    plain = re.sub(r"[^A-Za-z0-9@.+=-]+", "_", text).strip("_.")
    if re.search(r"[^\W_]", re.sub(r"[\x00-\x7f]", "", text)):
        plain = f"{plain or 'arm'}-{zlib.crc32(text.encode()):08x}"
    if len(plain) > _LONGEST_NAME:
        plain = f"{plain[:_LONGEST_NAME]}-{zlib.crc32(text.encode()):08x}"
    return plain


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError raised inside name `path`, and not a temporary file or none at all."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def temporary_beside(path: Path) -> Path:
    """Where this process writes what is to become `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`.

    The caller sees to it that no other process is writing there.
    """
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Return once the names in `folder` are on the disk.

    Systems that can't open a folder, and file systems that can't sync one, are left to
    their own ways.

    Raises:
        OSError: the disk is full or broken.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Return once the content of `path` is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_fully(file: BinaryIO, content: bytes) -> None:
    """Write all of `content` to an unbuffered file, which may take less at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def write_atomically(
    path: Path,
    write: Callable[[Path], object] | bytes,
    *,
    keep_as: Path | None = None,
    durable: bool = True,
) -> None:
    """Write a file beside `path`, then move it into place.

    A reader sees the old file or the new one. If writing fails, the old one stays. The new
    one has the old one's permissions; symbolic links stay, and what they lead to is replaced.

    Args:
        path: the file; folders above it are made.
        write: the content, or what writes the whole file at the path it is given.
        keep_as: the old file takes this name. A process killed at that moment leaves it
            there and none at `path`.
        durable: the new content is on the disk before it takes the name, and the name is
            when this returns. Without, a power failure may leave an empty file.

    Raises:
        OSError: the disk is full, the folder can't be written, ...; names `path`.
    """
    with naming(path):
        path = Path(os.path.realpath(path))
        temporary = temporary_beside(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(write) if isinstance(write, bytes) else write(temporary)
            with contextlib.suppress(OSError):
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            if durable:
                sync_file(temporary)
            if keep_as is not None and path.exists():
                os.replace(path, keep_as)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if durable:
            sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that a user named, as `write_atomically`; where the name is that of a device,
    a pipe or this process's own output, write into that.

    Raises:
        OSError: it can't be written, for being read-only too; names `path`.
    """
    with naming(path):
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        own = _own_output(path)
        if own is None and (path.is_file() or not path.exists()):
            write_atomically(path, content)
            return
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        with os.fdopen(os.dup(own), "wb") if own else path.open("wb") as file:
            file.write(content)


def _own_output(path: Path) -> int | None:
    """Which of stdout and stderr `path`, such as /dev/stdout, is another name of."""
    with contextlib.suppress(OSError):
        there = path.stat()
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                if os.path.samestat(there, os.fstat(descriptor)):
                    return descriptor
    return None


def same_files(outputs: Iterable[Path], inputs: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs of an output and an input that are one file, whatever their names and links."""
    known = {_identity(path): path for path in inputs}
    for path in outputs:
        identity = _identity(path)
        if identity is not None and identity in known:
            yield path, known[identity]


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names of a regular file; None for what isn't one."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return None
