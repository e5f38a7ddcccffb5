"""Folders that are written whole or not at all, and checked when they are read."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pkpo.errors import InvalidInputError
from pkpo.files import naming, sync_file, sync_folder, temporary_beside

_CHECKSUMS = "SHA256SUMS"
_WAY_OUT = "Remove the folder to have it made again"


@contextmanager
def whole_folder(directory: Path) -> Iterator[Path]:
    """A folder to be filled, which takes the place of `directory` once it is.

    It gets a SHA256SUMS, which `check_folder` and `sha256sum -c` check.

    Raises:
        OSError: the files can't be written; names `directory`.
    """
    temporary = temporary_beside(directory)
    with naming(directory):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            names = sorted(path.name for path in temporary.iterdir())
            (temporary / _CHECKSUMS).write_text(checksums(temporary, names), encoding="utf-8")
            for name in (*names, _CHECKSUMS):
                sync_file(temporary / name)
            sync_folder(temporary)
            shutil.rmtree(directory, ignore_errors=True)
            os.replace(temporary, directory)
            sync_folder(directory.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_folder(directory: Path) -> None:
    """
    Raises:
        InvalidInputError: a file of a `whole_folder` is missing, or isn't what was written.
    """
    try:
        stored = (directory / _CHECKSUMS).read_text(encoding="utf-8")
        names = [line.partition("  ")[2] for line in stored.splitlines()]
        damaged = stored != checksums(directory, names) or not names
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"can't check {directory}: {error}. {_WAY_OUT}") from error
    if damaged:
        raise InvalidInputError(
            f"{directory} is damaged: its files don't match {_CHECKSUMS}. {_WAY_OUT}"
        )


def checksums(directory: Path, names: Iterable[str]) -> str:
    """Lines as `sha256sum` writes them."""
    return "".join(f"{sha256_of(directory / name)}  {name}\n" for name in names)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
