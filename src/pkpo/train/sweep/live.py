"""The live table of a sweep: a row for each cell and arm, over its seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pkpo.execution.pool import Pool, State
from pkpo.train.progress import Tail
from pkpo.train.sweep.grid import Cell
from pkpo.train.work import ArmWork, RunWork

_LINES_AROUND = 7


@dataclass(frozen=True)
class CellWork:
    """A cell and what it needs."""

    cell: Cell
    work: RunWork


class _Seed:
    """One arm of a cell with one seed, followed by its files."""

    def __init__(self, part: ArmWork, steps: int, pool: Pool) -> None:
        self.part, self.steps, self._pool = part, steps, pool
        self._metrics = Tail(part.directory.metrics, window=1)
        self._evaluations = Tail(part.directory.evaluations, window=1)
        self._first: tuple[float, int] | None = None
        self.done_steps = 0

    @property
    def state(self) -> State:
        item = self.part.item
        return State.DONE if item is None else self._pool.states[item.name]

    def poll(self) -> None:
        self._metrics.poll()
        self._evaluations.poll()
        rows = self._metrics.rows
        self.done_steps = rows[-1]["step"] + 1 if rows else 0
        if self.state is State.RUNNING and self.done_steps and self._first is None:
            self._first = (time.monotonic(), self.done_steps)

    def pass_at(self, k: str) -> float | None:
        rows = self._evaluations.rows
        return rows[-1]["pass_at_k"].get(k) if rows else None

    @property
    def seconds_per_step(self) -> float | None:
        """Since this item was first seen to move."""
        if self._first is None or self.done_steps <= self._first[1]:
            return None
        return (time.monotonic() - self._first[0]) / (self.done_steps - self._first[1])

    @property
    def remaining_steps(self) -> int:
        return 0 if self.state in (State.DONE, State.FAILED) else self.steps - self.done_steps


class _Row:
    """One arm of a cell over its seeds."""

    def __init__(self, cell: Cell, arm: str, seeds: list[_Seed]) -> None:
        self.cell, self.arm, self.seeds = cell, arm, seeds
        self.ks = [str(k) for k in sorted(cell.config.evaluation.k_values)]

    def count(self, state: State) -> int:
        return sum(seed.state is state for seed in self.seeds)

    def pass_at(self, k: str) -> str:
        found = [value for seed in self.seeds if (value := seed.pass_at(k)) is not None]
        return f"{sum(found) / len(found):.1%}" if found else ""

    @property
    def urgency(self) -> int:
        """Rows that move or went wrong are shown first where room is scarce."""
        if self.count(State.RUNNING):
            return 0
        return 1 if self.count(State.FAILED) else 2

    @property
    def eta(self) -> float | None:
        """Seconds until what runs now has made its last step."""
        found = [
            seed.remaining_steps * pace
            for seed in self.seeds
            if seed.state is State.RUNNING and (pace := seed.seconds_per_step) is not None
        ]
        return max(found, default=None)


class SweepProgress:
    """A table in a terminal, and elsewhere a line for each item that ends.

    Args:
        console: where to show it.
        work: of all cells.
        pool: runs the items of `work`.
    """

    def __init__(self, console: Console, work: Sequence[CellWork], pool: Pool) -> None:
        self.console, self._pool = console, pool
        self._labels = list(work[0].cell.labels) if work else []
        self._rows = [row for cell in work for row in _rows(cell, pool)]
        self._seeds = {
            seed.part.item.name: (row, seed)
            for row in self._rows
            for seed in row.seeds
            if seed.part.item is not None
        }
        self._told: set[str] = set()
        self._start = time.monotonic()
        self._steps_before: int | None = None
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self.refresh()
            self._live.stop()

    def refresh(self) -> None:
        for row in self._rows:
            for seed in row.seeds:
                seed.poll()
        if self._steps_before is None:
            self._steps_before = self._done_steps()
        self._tell_ends()
        if self.console.is_terminal:
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """The rows that there is room for, with a line on the whole sweep."""
        shown = self._shown()
        left_out = len(self._rows) - len(shown)
        more = f"{left_out} more rows. " if left_out else ""
        ks = max((row.ks for row in self._rows), key=len, default=[])
        table = Table(
            title="Sweep (seeds done, running, ...; validation pass@k, mean over seeds)",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption=more + self._overall(),
            caption_justify="left",
        )
        for label in self._labels:
            table.add_column(label, justify="right", overflow="fold")
        table.add_column("arm", no_wrap=True)
        for header in ("done", "run", "wait", "fail", "step"):
            table.add_column(header, justify="right")
        for k in dict.fromkeys((*ks[:1], *ks[-1:])):
            table.add_column(f"pass@{k}", justify="right")
        table.add_column("eta", justify="right")
        before = None
        for row in shown:
            first = row.cell.name != before
            before = row.cell.name
            table.add_row(*self._cells(row, show_cell=first))
        return table

    def _cells(self, row: _Row, *, show_cell: bool) -> list[Text]:
        done, running, failed = (
            row.count(state) for state in (State.DONE, State.RUNNING, State.FAILED)
        )
        waiting = len(row.seeds) - done - running - failed
        steps = sum(seed.done_steps for seed in row.seeds) / len(row.seeds)
        ks = dict.fromkeys((row.ks[0], row.ks[-1]))
        return [
            *(Text(row.cell.labels[label] if show_cell else "") for label in self._labels),
            Text(row.arm),
            *(Text(str(n) if n else "") for n in (done, running, waiting)),
            Text(str(failed) if failed else "", "red"),
            Text(f"{steps:.0f}/{row.seeds[0].steps}"),
            *(Text(row.pass_at(k)) for k in ks),
            Text(_duration(row.eta)),
        ]

    def _shown(self) -> list[_Row]:
        room = max(3, self.console.height - _LINES_AROUND)
        if len(self._rows) <= room:
            return self._rows
        places = sorted(range(len(self._rows)), key=lambda i: (self._rows[i].urgency, i))
        return [self._rows[i] for i in sorted(places[:room])]

    def _done_steps(self) -> int:
        return sum(seed.done_steps for row in self._rows for seed in row.seeds)

    def _overall(self) -> str:
        seeds = [seed for row in self._rows for seed in row.seeds]
        ended = sum(seed.state in (State.DONE, State.FAILED) for seed in seeds)
        warm = sum(
            self._pool.states[name] is State.RUNNING
            for name in self._pool.states
            if name not in self._seeds
        )
        text = f"{ended} of {len(seeds)} runs ended"
        if warm:
            text += f", {warm} warm starts being made"
        seconds = self._eta(seeds)
        return f"{text}, about {_duration(seconds)} left" if seconds else text

    def _eta(self, seeds: list[_Seed]) -> float | None:
        """From the pace of all steps since the start, warm starts included."""
        made = self._done_steps() - (self._steps_before or 0)
        if made <= 0:
            return None
        remaining = sum(seed.remaining_steps for seed in seeds)
        return remaining * (time.monotonic() - self._start) / made

    def _tell_ends(self) -> None:
        for name, state in self._pool.states.items():
            if name in self._told or state not in (State.DONE, State.FAILED):
                continue
            self._told.add(name)
            if state is State.FAILED:
                reason = self._pool.failures[name].reason
                self._say(f"{name}: failed: {reason}", "red")
            elif not self.console.is_terminal and name in self._seeds:
                row, seed = self._seeds[name]
                values = "  ".join(
                    f"pass@{k} {value:.1%}"
                    for k in dict.fromkeys((row.ks[0], row.ks[-1]))
                    if (value := seed.pass_at(k)) is not None
                )
                self._say(f"{name}: done  validation {values}  ({self._overall()})")

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, soft_wrap=True, markup=False, highlight=False)


def _rows(cell: CellWork, pool: Pool) -> list[_Row]:
    steps = cell.cell.config.training.steps
    by_arm: dict[str, list[_Seed]] = {}
    for part in cell.work.arms:
        by_arm.setdefault(part.arm.name, []).append(_Seed(part, steps, pool))
    return [_Row(cell.cell, arm, seeds) for arm, seeds in by_arm.items()]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
