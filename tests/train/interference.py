"""Stepping in wherever a run writes: to kill the process there, or to fill the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pkpo import files
from pkpo.train import json_lines


class Moment(NamedTuple):
    """A moment in a run's writing.

    Args:
        what: "half" of a file or line is written; "sync", "replace" and "remove" are about
            to happen; "replaced" and "removed" have just happened.
        name: of the file or folder, without the number of a process.
    """

    what: str
    name: str


def _plain(path: Any) -> str:
    name = Path(path).name
    return name.rsplit(".", 2)[0] + ".part" if name.endswith(".part") else name


@contextmanager
def interfering(act: Callable[[Moment], object]) -> Iterator[None]:
    """Call `act` at every moment; what it raises is raised by the write."""
    replace, fsync, rmtree = os.replace, os.fsync, shutil.rmtree
    write_fully = files.write_fully

    def half_then_all(path: Path, content: bytes) -> int:
        with open(path, "wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            act(Moment("half", _plain(path)))
            file.write(content[len(content) // 2 :])
        return len(content)

    def write_bytes(path: Path, content: Any) -> int:
        return half_then_all(path, bytes(content))

    def write_text(path: Path, text: str, encoding: str | None = None) -> int:
        return half_then_all(path, text.encode(encoding or "utf-8"))

    def append(file: Any, content: bytes) -> None:
        write_fully(file, content[: len(content) // 2])
        act(Moment("half", _plain(file.name)))
        write_fully(file, content[len(content) // 2 :])

    def replacing(source: Any, target: Any) -> None:
        act(Moment("replace", _plain(target)))
        replace(source, target)
        act(Moment("replaced", _plain(target)))

    def syncing(descriptor: int) -> None:
        act(Moment("sync", _plain(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def removing(path: Any, *args: Any, **kwargs: Any) -> None:
        if not Path(path).exists():
            return
        act(Moment("remove", _plain(path)))
        rmtree(path, *args, **kwargs)
        act(Moment("removed", _plain(path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        patch.setattr(Path, "write_text", write_text)
        patch.setattr(json_lines, "write_fully", append)
        patch.setattr(os, "replace", replacing)
        patch.setattr(os, "fsync", syncing)
        patch.setattr(shutil, "rmtree", removing)
        yield


class At:
    """Acts at the nth occurrence of a moment, from 0."""

    def __init__(self, moment: Moment, occurrence: int, act: Callable[[], object]) -> None:
        self._moment, self._left, self._act = moment, occurrence, act

    def __call__(self, moment: Moment) -> None:
        if moment != self._moment:
            return
        self._left -= 1
        if self._left < 0:
            self._act()


def first_and_last(moments: list[Moment]) -> list[tuple[Moment, int]]:
    """Each different moment with the number of its first and of its last occurrence."""
    chosen = []
    for moment in dict.fromkeys(moments):
        last = moments.count(moment) - 1
        chosen += [(moment, occurrence) for occurrence in sorted({0, last})]
    return chosen
