"""The live table of a running job, read from the files that its processes write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

_COLUMNS = (
    ("pass@1", "pass@1", "{:.1%}"),
    ("pass@n", "pass@n", "{:.1%}"),
    ("entropy", "entropy", "{:.2f}"),
    ("cumulative_solve_rate", "solved", "{:.1%}"),
    ("signal_fraction", "signal", "{:.0%}"),
    ("samples_per_second", "samples/s", "{:,.0f}"),
    ("transform_share", "transform", "{:.2%}"),
)


@dataclass
class Tail:
    """The newest rows of a growing JSONL file."""

    path: Path
    window: int = 20
    rows: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0
    _file: int | None = None

    def poll(self) -> None:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return
        if now.st_ino != self._file or now.st_size < self._read:
            self._read, self._file, self.rows = 0, now.st_ino, []
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._read += len(complete)
        self.rows += [json.loads(line) for line in complete.splitlines()]
        del self.rows[: -self.window]

    def mean(self, column: str) -> float | None:
        values = [row[column] for row in self.rows if row.get(column) is not None]
        return sum(values) / len(values) if values else None


class Progress:
    """A table with a row for each arm and seed; lines of text where there is no terminal.

    Args:
        console: where to show it.
        steps: of each arm.
        files: metrics file of each arm, by the name to show.
        num_generations: the n of the pass@n column.
    """

    def __init__(
        self, console: Console, steps: int, files: Mapping[str, Path], num_generations: int
    ) -> None:
        self.console, self.steps, self.num_generations = console, steps, num_generations
        self._tails = {name: Tail(path) for name, path in files.items()}
        self._status: dict[str, str] = {}
        self._note = ""
        self._printed: dict[str, int] = {}
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.console.is_terminal:
            self.refresh()
            self._live.stop()

    def set_status(self, name: str, status: str) -> None:
        self._status[name] = status

    def set_note(self, text: str) -> None:
        """A line below the table."""
        self._note = text

    def refresh(self) -> None:
        for tail in self._tails.values():
            tail.poll()
        if self.console.is_terminal:
            self._live.update(self.table(), refresh=True)
        else:
            self._print_lines()

    def table(self) -> Table:
        table = Table(
            title="Training (means of the last 20 steps, on training problems)",
            caption=self._note or None,
            caption_justify="left",
        )
        table.add_column("arm")
        table.add_column("step", justify="right")
        table.add_column("objective")
        for _, header, _ in _COLUMNS:
            table.add_column(header.replace("@n", f"@{self.num_generations}"), justify="right")
        for name, tail in self._tails.items():
            status = self._status.get(name, "waiting")
            if not tail.rows:
                shown = "starting" if status == "running" else status
                table.add_row(name, shown, *[""] * (len(_COLUMNS) + 1))
                continue
            step = tail.rows[-1]["step"] + 1
            shown = f"{step}/{self.steps}" if status == "running" else status
            table.add_row(name, shown, tail.rows[-1]["objective"], *self._cells(tail))
        return table

    def _cells(self, tail: Tail) -> list[str]:
        cells = []
        for column, _, form in _COLUMNS:
            value = tail.mean(column.replace("@n", f"@{self.num_generations}"))
            if column == "cumulative_solve_rate":
                value = tail.rows[-1][column]
            cells.append("" if value is None else form.format(value))
        return cells

    def _print_lines(self) -> None:
        """One line an arm at each tenth of the way."""
        for name, tail in self._tails.items():
            if not tail.rows:
                continue
            step = tail.rows[-1]["step"] + 1
            tenth = 10 * step // self.steps
            if tenth <= self._printed.get(name, 0):
                continue
            self._printed[name] = tenth
            values = "  ".join(
                f"{header.replace('@n', f'@{self.num_generations}')} {cell}"
                for (_, header, _), cell in zip(_COLUMNS, self._cells(tail))
            )
            self.console.print(f"{name:<16} step {step:>5}/{self.steps}  {values}", soft_wrap=True)
