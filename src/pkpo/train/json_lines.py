"""JSON files of a run directory: written whole, or line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pkpo.errors import RunDirectoryError
from pkpo.files import naming, write_atomically, write_fully
from pkpo.report.jsonio import read_bytes, step_of
from pkpo.report.load import train_again, way_out


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    write_atomically(path, text.encode(), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable=durable)


class JsonLines(AbstractContextManager["JsonLines"]):
    """An append-only JSONL file of `count` lines, cut back to those before a step; a last line
    that a killed run left incomplete goes too.

    Args:
        path: made if missing.
        every_step: there must be one line for each step before `before_step`, in order.
        count: there must be so many lines before `before_step`; None where that isn't known.

    Raises:
        RunDirectoryError: a line before the last isn't JSON with a step, or is missing.
        OSError: the file can't be written.
    """

    def __init__(
        self, path: Path, *, before_step: int, every_step: bool = False, count: int | None = None
    ) -> None:
        lines = [(line, step) for line, step in _complete_lines(path) if step < before_step]
        if every_step:
            _check_steps(path, [step for _, step in lines], before_step)
        if count is not None and len(lines) != count:
            raise RunDirectoryError(
                f"{path}: there should be {count} lines before step {before_step}, that of the "
                f"checkpoint; found {len(lines)}. {train_again(path.parent)}"
            )
        write_atomically(path, b"".join(line for line, _ in lines))
        self.path, self.count = path, len(lines)
        self._file = path.open("ab", buffering=0)

    def append(self, row: dict[str, Any]) -> None:
        """
        Raises:
            OSError: the disk is full, ...; names the file.
            RunDirectoryError: the file was removed.
        """
        line = json.dumps(row, allow_nan=False) + "\n"
        with naming(self.path):
            write_fully(self._file, line.encode())
            links = os.fstat(self._file.fileno()).st_nlink
        if not links:
            raise RunDirectoryError(f"{self.path} was removed while it was being written")
        self.count += 1

    def sync(self) -> None:
        """Return once everything appended so far is on the disk."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _complete_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each line that ends, with the step it tells of."""
    if not path.exists():
        return
    with way_out(train_again(path.parent)):
        for number, line in enumerate(read_bytes(path).splitlines(keepends=True), start=1):
            if line.endswith(b"\n"):
                yield line, step_of(line, f"{path}, line {number}")


def _check_steps(path: Path, steps: list[int], before_step: int) -> None:
    for number in range(max(before_step, len(steps))):
        found = steps[number] if number < len(steps) else "nothing"
        if found != number:
            raise RunDirectoryError(
                f"{path}, line {number + 1}: there should be step {number}, since the checkpoint "
                f"is of step {before_step}; found {found}. {train_again(path.parent)}"
            )
