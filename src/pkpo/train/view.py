"""What a running job shows: a table in a terminal, lines of text elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from pkpo.execution.pool import Pool, State
from pkpo.terminal import visible
from pkpo.train.work import ArmWork

_LINES_AROUND = 7

T = TypeVar("T")


@dataclass
class Tail:
    """The newest rows of a growing JSONL file. Lines that aren't objects with a step are
    passed over: the arm itself sees to them when it reads its files."""

    path: Path
    window: int = 20
    rows: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0
    _file: int | None = None

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
        found = [read_object(line) for line in complete.splitlines()]
        self.rows += [row for row in found if type(row.get("step")) is int]
        del self.rows[: -self.window]

    def mean(self, column: str) -> float | None:
        values = [value for row in self.rows if (value := number(row.get(column))) is not None]
        return sum(values) / len(values) if values else None


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


class ArmProgress:
    """One arm with one seed, followed by its files.

    Args:
        part: the arm and seed.
        steps: of its training.
        pool: runs the item of `part`.
    """

    def __init__(self, part: ArmWork, steps: int, pool: Pool) -> None:
        self.part, self.steps, self._pool = part, steps, pool
        self.metrics = Tail(part.directory.metrics)
        self.evaluations = Tail(part.directory.evaluations, window=1)
        self._first: tuple[float, int] | None = None
        self.done_steps = 0

    @property
    def state(self) -> State:
        return self._pool.states[self.part.name]

    def poll(self) -> None:
        self.metrics.poll()
        self.evaluations.poll()
        rows = self.metrics.rows
        self.done_steps = rows[-1]["step"] + 1 if rows else 0
        if self.state is State.RUNNING and self.done_steps and self._first is None:
            self._first = (time.monotonic(), self.done_steps)

    def pass_at(self, k: str) -> float | None:
        """That of the last validation."""
        found = self.evaluations.rows[-1].get("pass_at_k") if self.evaluations.rows else None
        return number(found.get(k)) if isinstance(found, dict) else None

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


class View:
    """What is common to the displays of jobs and of sweeps.

    Nothing that happens to a terminal, a pipe or a picture of the progress ends the work: the
    first time that something can't be shown, this falls silent.

    Args:
        console: where to show it.
        pool: does the work.
        arms: that it trains.
    """

    def __init__(self, console: Console, pool: Pool, arms: Sequence[ArmProgress]) -> None:
        self.console, self.pool, self.arms = console, pool, arms
        self._told = {name for name, state in pool.states.items() if state is State.DONE}
        self._start = time.monotonic()
        self._steps_before: int | None = None
        self._silent = False
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._attempt(self._live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.look()
        if self.console.is_terminal:
            self._attempt(self._live.stop)

    def look(self) -> None:
        """Show how things stand."""
        self._attempt(self._look)

    def print(self, shown: RenderableType, style: str | None = None) -> None:
        """Print something else, text as it is, without what could steer a terminal."""
        if isinstance(shown, str):
            shown = visible(shown)
        self._attempt(
            lambda: self.console.print(
                shown,
                style=style,
                soft_wrap=isinstance(shown, str),
                markup=False,
                highlight=False,
            )
        )

    def _attempt(self, show: Callable[[], object]) -> None:
        if self._silent:
            return
        try:
            show()
        except (Exception, SystemExit):  # rich ends the program when a pipe's reader is gone
            self._silent = True

    def _look(self) -> None:
        for arm in self.arms:
            arm.poll()
        if self._steps_before is None:
            self._steps_before = self._done_steps()
        self._tell_ends()
        if self.console.is_terminal:
            self._live.update(self.table(), refresh=True)
        else:
            self.print_lines()

    def table(self) -> Table:
        """For a terminal."""
        raise NotImplementedError

    def print_lines(self) -> None:
        """What is new, where there is no terminal."""

    def tell_done(self, name: str) -> None:
        """Called once for each item that is done."""

    def overall(self) -> str:
        """A line on the whole job."""
        ended = sum(arm.state in (State.DONE, State.FAILED) for arm in self.arms)
        text = f"{ended} of {len(self.arms)} runs ended"
        seconds = self._seconds_left()
        return f"{text}, about {duration(seconds)} left" if seconds else text

    def shown(self, rows: Sequence[T], states: Callable[[T], Sequence[State]]) -> list[T]:
        """The rows that there is room for; those that move or went wrong come first."""

        def urgency(place: int) -> tuple[int, int]:
            found = states(rows[place])
            return 0 if State.RUNNING in found else 1 if State.FAILED in found else 2, place

        room = max(3, self.console.height - _LINES_AROUND)
        return [rows[i] for i in sorted(sorted(range(len(rows)), key=urgency)[:room])]

    def _done_steps(self) -> int:
        return sum(arm.done_steps for arm in self.arms)

    def _seconds_left(self) -> float | None:
        """From the pace of all steps since the start, warm starts included."""
        made = self._done_steps() - (self._steps_before or 0)
        if made <= 0:
            return None
        remaining = sum(arm.remaining_steps for arm in self.arms)
        return remaining * (time.monotonic() - self._start) / made

    def _tell_ends(self) -> None:
        for name, state in self.pool.states.items():
            if name in self._told or state not in (State.DONE, State.FAILED):
                continue
            self._told.add(name)
            if state is State.FAILED:
                self.print(f"{name} failed: {self.pool.failures[name].reason}", "red")
            else:
                self.tell_done(name)


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
