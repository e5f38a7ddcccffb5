"""How far the arms of a running job are, read from the files that its processes write."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkpo.execution.pool import Pool, State
from pkpo.train.config import ArmSettings
from pkpo.train.parts import Part


class Tail:
    """The newest `rows` of a growing JSONL file. Lines that aren't objects with a step are
    passed over: the arm itself sees to them when it reads its files."""

    def __init__(self, path: Path, window: int) -> None:
        self.path, self.window = path, window
        self.rows: list[dict[str, Any]] = []
        self._read, self._file = 0, 0

    def poll(self) -> None:
        try:
            now = self.path.stat()
            if now.st_ino != self._file or now.st_size < self._read:
                self._read, self._file, self.rows = 0, now.st_ino, []
            with self.path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return
        complete = new[: new.rfind(b"\n") + 1]
        self._read += len(complete)
        found = map(read_object, complete.splitlines())
        self.rows += [row for row in found if type(row.get("step")) is int]
        del self.rows[: -self.window]

    def last(self, column: str) -> Any:
        return self.rows[-1].get(column) if self.rows else None


def read_object(content: bytes) -> dict[str, Any]:
    """A JSON object that may be damaged: empty where it is."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def number(value: object) -> float | None:
    """`value`, if it is a number that can be shown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
        return None
    return float(value)


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are there."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


class ArmProgress:
    """One arm with one seed, followed by its files."""

    def __init__(self, part: Part, arm: ArmSettings, pool: Pool) -> None:
        directory = part.run.arm(arm, part.seed)
        self.part, self.name, self._pool = part, arm.name, pool
        self.steps: int = part.run.config.training.steps
        self.metrics = Tail(directory.metrics, window=20)
        self.evaluations = Tail(directory.evaluations, window=1)
        self._first: tuple[float, int] | None = None
        self.done_steps = 0

    @property
    def state(self) -> State:
        return self._pool.states[self.part.name]

    def poll(self) -> None:
        self.metrics.poll()
        self.evaluations.poll()
        step = self.metrics.last("step")
        self.done_steps = 0 if step is None else step + 1
        if self.state is State.RUNNING and self.done_steps and self._first is None:
            self._first = (time.monotonic(), self.done_steps)

    def pass_at(self, k: int) -> float | None:
        """That of the last validation."""
        found = self.evaluations.last("pass_at_k")
        return number(found.get(str(k))) if isinstance(found, dict) else None

    @property
    def remaining_steps(self) -> int:
        return 0 if self.state in (State.DONE, State.FAILED) else self.steps - self.done_steps

    @property
    def seconds_left(self) -> float | None:
        """Until the last step of what runs, at its pace since it was first seen to move."""
        if self.state is not State.RUNNING or self._first is None:
            return None
        since, done = self._first
        if self.done_steps <= done:
            return None
        return self.remaining_steps * (time.monotonic() - since) / (self.done_steps - done)


class Row:
    """An arm in the table, with one seed in a job, with all of them in a sweep.

    Args:
        seeds: of each, how far it is.
        labels: texts of further columns, by header.
    """

    def __init__(
        self, name: str, seeds: Sequence[ArmProgress], labels: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.seeds, self.labels = name, seeds, labels or {}

    def count(self, *states: State) -> int:
        return sum(seed.state in states for seed in self.seeds)

    @property
    def seconds_left(self) -> float | None:
        """Until what runs now has made its last step."""
        found = [left for seed in self.seeds if (left := seed.seconds_left) is not None]
        return max(found, default=None)
