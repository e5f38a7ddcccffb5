"""The live table of a sweep: a row for each cell and arm, over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pkpo.execution.pool import Pool, State
from pkpo.train.sweep.grid import Cell
from pkpo.train.view import ArmProgress, View, duration
from pkpo.train.work import RunWork


@dataclass(frozen=True)
class CellWork:
    """A cell and what it needs."""

    cell: Cell
    work: RunWork


class _Row:
    """One arm of a cell over its seeds."""

    def __init__(self, cell: Cell, arm: str, seeds: list[ArmProgress]) -> None:
        self.cell, self.arm, self.seeds = cell, arm, seeds
        self.ks = [str(k) for k in sorted(cell.config.evaluation.k_values)]

    def count(self, state: State) -> int:
        return sum(seed.state is state for seed in self.seeds)

    def pass_at(self, k: str) -> str:
        found = [value for seed in self.seeds if (value := seed.pass_at(k)) is not None]
        return f"{sum(found) / len(found):.1%}" if found else ""

    @property
    def eta(self) -> float | None:
        """Seconds until what runs now has made its last step."""
        found = [left for seed in self.seeds if (left := seed.seconds_left) is not None]
        return max(found, default=None)


class SweepProgress(View):
    """A table in a terminal, and elsewhere a line for each item that ends.

    Args:
        console: where to show it.
        work: of all cells.
        pool: runs the items of `work`.
    """

    def __init__(self, console: Console, work: Sequence[CellWork], pool: Pool) -> None:
        self._labels = list(work[0].cell.labels) if work else []
        self._rows = [row for cell in work for row in _rows(cell, pool)]
        super().__init__(console, pool, [seed for row in self._rows for seed in row.seeds])

    def table(self) -> Table:
        """The rows that there is room for, with a line on the whole sweep."""
        shown = self.shown(self._rows, lambda row: [seed.state for seed in row.seeds])
        left_out = len(self._rows) - len(shown)
        more = f"{left_out} more rows. " if left_out else ""
        ks = max((row.ks for row in self._rows), key=len, default=[])
        table = Table(
            title="Sweep (seeds done, running, ...; validation pass@k, mean over seeds)",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption=Text(more + self.overall()),
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
            Text(duration(row.eta)),
        ]

    def overall(self) -> str:
        names = {seed.part.name for seed in self.arms}
        running = [name for name, state in self.pool.states.items() if state is State.RUNNING]
        warm = len(set(running) - names)
        return super().overall() + (f", {warm} warm starts being made" if warm else "")

    def tell_done(self, name: str) -> None:
        if self.console.is_terminal:
            return
        for row in self._rows:
            for seed in row.seeds:
                if seed.part.name == name:
                    found = {k: seed.pass_at(k) for k in (row.ks[0], row.ks[-1])}
                    values = [f"pass@{k} {v:.1%}" for k, v in found.items() if v is not None]
                    self.print(f"{name}: done  validation {'  '.join(values)}  ({self.overall()})")


def _rows(cell: CellWork, pool: Pool) -> list[_Row]:
    steps = cell.cell.config.training.steps
    by_arm: dict[str, list[ArmProgress]] = {}
    for part in cell.work.arms:
        by_arm.setdefault(part.arm.name, []).append(ArmProgress(part, steps, pool))
    return [_Row(cell.cell, arm, seeds) for arm, seeds in by_arm.items()]
