"""The live table of a running job, read from the files that its processes write."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pkpo.execution.pool import Pool, State
from pkpo.tables import fits
from pkpo.terminal import visible
from pkpo.train.view import ArmProgress, View, duration, number, read_object
from pkpo.train.work import PROGRESS, RunWork, WarmStartWork

_METRICS = (
    ("pass@1", "pass@1", "{:.1%}"),
    ("pass@n", "pass@n", "{:.1%}"),
    ("entropy", "entropy", "{:.2f}"),
    ("cumulative_solve_rate", "solved", "{:.1%}"),
    ("signal_fraction", "signal", "{:.0%}"),
    ("samples_per_second", "samples/s", "{:,.0f}"),
    ("transform_share", "transform", "{:.2%}"),
)
_LEAST_FIRST = ("transform", "samples/s", "signal", "objective", "entropy", "solved", "pass@n")


class Progress(View):
    """A table with a row for each arm and seed; lines of text where there is no terminal.

    Args:
        console: where to show it.
        work: the warm starts and arms.
        pool: does them.
        steps: of each arm.
        num_generations: the n of the pass@n column.
    """

    def __init__(
        self, console: Console, work: RunWork, pool: Pool, *, steps: int, num_generations: int
    ) -> None:
        super().__init__(console, pool, [ArmProgress(part, steps, pool) for part in work.arms])
        self._warm_starts, self.num_generations = work.warm_starts, num_generations
        self._printed: dict[str, int] = {}

    def table(self) -> Table:
        """As many columns as there is room for."""
        table = self._table([])
        for count in range(1, len(_LEAST_FIRST) + 1):
            if fits(self.console, table):
                break
            table = self._table(_LEAST_FIRST[:count])
        return table

    def _table(self, left_out: Sequence[str]) -> Table:
        shown = self.shown(self.arms, lambda arm: [arm.state])
        more = len(self.arms) - len(shown)
        notes = [f"{more} more rows. " if more else "", self.overall(), self._warm_start_note()]
        table = Table(
            title="Training (means of the last 20 steps, on training problems)",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption=Text(f"{notes[0]}{notes[1]}{notes[2]}"),
            caption_justify="left",
        )
        table.add_column("arm", overflow="fold")
        metrics = [header for _, header, _ in _METRICS]
        headers = [h for h in ("step", "left", "objective", *metrics) if h not in left_out]
        for header in headers:
            justify = "left" if header == "objective" else "right"
            table.add_column(self._of_n(header), justify=justify, no_wrap=True)
        for arm in shown:
            cells = self._cells(arm)
            texts = [Text(cells.get(header, "")) for header in headers]
            style = "red" if arm.state is State.FAILED else ""
            table.add_row(Text(visible(arm.part.name, cell=True)), *texts, style=style)
        return table

    def _of_n(self, header: str) -> str:
        return header.replace("@n", f"@{self.num_generations}")

    def _cells(self, arm: ArmProgress) -> dict[str, str]:
        """By header."""
        cells = {"step": str(arm.state)}
        if arm.state is State.RUNNING:
            step = f"{arm.done_steps}/{arm.steps}" if arm.done_steps else "starting"
            cells = {"step": step, "left": duration(arm.seconds_left)}
        elif arm.state is not State.DONE and arm.done_steps:
            cells["step"] = f"{arm.state} at {arm.done_steps}"
        if not arm.metrics.rows:
            return cells
        last = arm.metrics.rows[-1]
        cells["objective"] = visible(str(last.get("objective", "")), cell=True)
        for column, header, form in _METRICS:
            value = arm.metrics.mean(self._of_n(column))
            if column == "cumulative_solve_rate":
                value = number(last.get(column))
            cells[header] = "" if value is None else form.format(value)
        return cells

    def _warm_start_note(self) -> str:
        shown = [text for part in self._warm_starts if (text := self._of_warm_start(part))]
        return "\nWarm start: " + "; ".join(shown) if shown else ""

    def _of_warm_start(self, part: WarmStartWork) -> str:
        if self.pool.states[part.item.name] is not State.RUNNING:
            return ""
        try:
            done = read_object((part.folder / PROGRESS).read_bytes())
        except OSError:
            done = {}
        step, loss = number(done.get("step")), number(done.get("loss"))
        if step is None or loss is None:
            return f"seed {part.seed}, starting"
        return f"seed {part.seed}, step {step:.0f}, loss {loss:.2f} nats"

    def tell_done(self, name: str) -> None:
        for part in self._warm_starts:
            if part.item.name == name:
                self.print(f"Warm start ready for seed {part.seed}.")

    def print_lines(self) -> None:
        """One line an arm at each tenth of the way."""
        for arm in self.arms:
            if arm.part.done or arm.state is State.FAILED:
                continue
            tenth = 10 * arm.done_steps // arm.steps
            if tenth <= self._printed.get(arm.part.name, 0):
                continue
            self._printed[arm.part.name] = tenth
            cells = self._cells(arm)
            values = "  ".join(f"{self._of_n(h)} {cells[h]}" for _, h, _ in _METRICS)
            step = f"step {arm.done_steps:>5}/{arm.steps}"
            left = f"  {cells['left']} left" if cells.get("left") else ""
            self.print(f"{arm.part.name:<16} {step}  {values}{left}")
