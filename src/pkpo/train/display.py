"""What a running job or sweep shows: a table in a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pkpo.execution.pool import Pool, State
from pkpo.tables import fits
from pkpo.terminal import visible
from pkpo.train.config import JobSettings
from pkpo.train.parts import Part
from pkpo.train.progress import ArmProgress, Row, number, read_object
from pkpo.train.run_directory import WARM_START_PROGRESS

_LINES_AROUND = 7
_SPARE = ("transform", "samples/s", "signal", "objective", "entropy", "solved")


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        header: its title.
        text: of a row.
        left: whether it is put to the left.
        fold: whether its cells may be broken into lines.
        style: of its cells.
        label: whether a row leaves it empty where it is that of the row before.
    """

    header: str
    text: Callable[[Row], str]
    left: bool = False
    fold: bool = False
    style: str = ""
    label: bool = False


class Display:
    """A table in a terminal, and elsewhere lines of text.

    Nothing that happens to a terminal, a pipe or a picture of the progress ends the work: the
    first time that something can't be shown, this falls silent.

    Args:
        console: where to show it.
        pool: does the work.
        parts: that it does.
        rows: of the table.
        title, columns: of the table.
        spare: headers of columns that are left out where there is no room, those first.
        line: what is printed of an arm at each tenth of its way, where there is no terminal.
        done: what is printed of a part that is done, if anything.
    """

    def __init__(
        self,
        console: Console,
        pool: Pool,
        parts: Sequence[Part],
        rows: Sequence[Row],
        *,
        title: str,
        columns: Sequence[Column],
        spare: Sequence[str] = (),
        line: Callable[[Row], str] | None = None,
        done: Callable[[Display, str], str] = lambda display, name: "",
    ) -> None:
        self.console, self.pool, self.rows = console, pool, rows
        self.arms = [seed for row in rows for seed in row.seeds]
        self._warm_starts = [part for part in parts if part.arm is None]
        self._title, self._columns, self._spare = title, columns, spare
        self._line, self._done = line, done
        self._printed: dict[str, int] = {}
        self._told = {name: state for name, state in pool.states.items() if state is State.DONE}
        self._start = time.monotonic()
        self._steps_before: int | None = None
        self._silent = False
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._attempt(self._live.start)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.look()
        if self.console.is_terminal:
            self._attempt(self._live.stop)

    def look(self) -> None:
        """Show how things stand."""
        self._attempt(self._look)

    def print(self, shown: RenderableType, style: str | None = None) -> None:
        """Print something else, text as it is, without what could steer a terminal."""
        is_text = isinstance(shown, str)
        shown = visible(shown) if isinstance(shown, str) else shown
        self._attempt(
            lambda: self.console.print(
                shown, style=style, soft_wrap=is_text, markup=False, highlight=False
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
        elif self._line is not None:
            self._print_tenths(self._line)

    def _tell_ends(self) -> None:
        for name, state in self.pool.states.items():
            if self._told.get(name) is state or state not in (State.DONE, State.FAILED):
                continue
            self._told[name] = state
            if state is State.FAILED:
                self.print(f"{name} failed: {self.pool.failures[name].reason}", "red")
            elif text := self._done(self, name):
                self.print(text)

    def _print_tenths(self, line: Callable[[Row], str]) -> None:
        for row in self.rows:
            (arm,) = row.seeds
            tenth = 10 * arm.done_steps // arm.steps
            name = arm.part.name
            if arm.part.done or arm.state is State.FAILED or tenth <= self._printed.get(name, 0):
                continue
            self._printed[name] = tenth
            self.print(line(row))

    def table(self) -> Table:
        """As many columns and rows as there is room for."""
        table = self._table([])
        for count in range(1, len(self._spare) + 1):
            if fits(self.console, table):
                break
            table = self._table(self._spare[:count])
        return table

    def _table(self, left_out: Sequence[str]) -> Table:
        shown = self._most_urgent()
        more = len(self.rows) - len(shown)
        notes = (f"{more} more rows. " if more else "", self.overall(), self._of_warm_starts())
        table = Table(
            title=self._title,
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            caption=Text("".join(notes)),
            caption_justify="left",
        )
        columns = [column for column in self._columns if column.header not in left_out]
        for column in columns:
            table.add_column(
                column.header,
                justify="left" if column.left else "right",
                overflow="fold" if column.fold else "ellipsis",
                no_wrap=not column.fold,
            )
        before: Row | None = None
        for row in shown:
            again = before is not None and row.labels == before.labels
            texts = ["" if column.label and again else column.text(row) for column in columns]
            cells = [Text(visible(t, cell=True), c.style) for t, c in zip(texts, columns)]
            failed = all(seed.state is State.FAILED for seed in row.seeds)
            table.add_row(*cells, style="red" if failed else "")
            before = row
        return table

    def _most_urgent(self) -> list[Row]:
        """The rows that there is room for; those that move or went wrong come first."""

        def urgency(place: int) -> tuple[int, int]:
            row = self.rows[place]
            return 0 if row.count(State.RUNNING) else 1 if row.count(State.FAILED) else 2, place

        room = max(3, self.console.height - _LINES_AROUND)
        return [self.rows[i] for i in sorted(sorted(range(len(self.rows)), key=urgency)[:room])]

    def overall(self) -> str:
        """A line on the whole job."""
        ended = sum(arm.state in (State.DONE, State.FAILED) for arm in self.arms)
        text = f"{ended} of {len(self.arms)} runs ended"
        seconds = self._seconds_left()
        return f"{text}, about {duration(seconds)} left" if seconds else text

    def _done_steps(self) -> int:
        return sum(arm.done_steps for arm in self.arms)

    def _seconds_left(self) -> float | None:
        """From the pace of all steps since the start, warm starts included."""
        made = self._done_steps() - (self._steps_before or 0)
        if made <= 0:
            return None
        remaining = sum(arm.remaining_steps for arm in self.arms)
        return remaining * (time.monotonic() - self._start) / made

    def _of_warm_starts(self) -> str:
        running = [p for p in self._warm_starts if self.pool.states[p.name] is State.RUNNING]
        return "\nWarm start: " + "; ".join(map(_of_warm_start, running)) if running else ""


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _of_warm_start(part: Part) -> str:
    try:
        done = read_object((part.run.warm_start(part.seed) / WARM_START_PROGRESS).read_bytes())
    except OSError:
        done = {}
    step, loss = number(done.get("step")), number(done.get("loss"))
    if step is None or loss is None:
        return f"seed {part.seed}, starting"
    return f"seed {part.seed}, step {step:.0f}, loss {loss:.2f} nats"


def _pool_of(parts: Sequence[Part]) -> Pool:
    return Pool([part.item for part in parts], [part.name for part in parts if part.done])


# A job


def job_display(console: Console, parts: Sequence[Part], config: JobSettings) -> Display:
    """Of a job: a row for each arm and seed."""
    pool = _pool_of(parts)
    rows = [Row(p.name, [ArmProgress(p, p.arm, pool)]) for p in parts if p.arm is not None]
    metrics = _metrics(config.training.num_generations)
    seeds = {part.name: part.seed for part in parts if part.arm is None}

    def line(row: Row) -> str:
        (arm,) = row.seeds
        values = "  ".join(f"{column.header} {column.text(row)}" for column in metrics)
        left = duration(arm.seconds_left)
        ending = f"  {left} left" if left else ""
        return f"{row.name:<16} step {arm.done_steps:>5}/{arm.steps}  {values}{ending}"

    def done(display: Display, name: str) -> str:
        return f"Warm start ready for seed {seeds[name]}." if name in seeds else ""

    return Display(
        console,
        pool,
        parts,
        rows,
        title="Training (means of the last 20 steps, on training problems)",
        columns=[
            Column("arm", lambda row: row.name, left=True, fold=True),
            Column("step", _step),
            Column("left", lambda row: duration(row.seconds_left)),
            Column("objective", _objective, left=True),
            *metrics,
        ],
        spare=(*_SPARE, f"pass@{config.training.num_generations}"),
        line=line,
        done=done,
    )


def _metrics(num_generations: int) -> list[Column]:
    def mean(header: str, name: str, form: str) -> Column:
        def text(row: Row) -> str:
            value = row.seeds[0].metrics.mean(name)
            return "" if value is None else form.format(value)

        return Column(header, text)

    def solved(row: Row) -> str:
        rows = row.seeds[0].metrics.rows
        value = number(rows[-1].get("cumulative_solve_rate")) if rows else None
        return "" if value is None else f"{value:.1%}"

    return [
        mean("pass@1", "pass@1", "{:.1%}"),
        mean(f"pass@{num_generations}", f"pass@{num_generations}", "{:.1%}"),
        mean("entropy", "entropy", "{:.2f}"),
        Column("solved", solved),
        mean("signal", "signal_fraction", "{:.0%}"),
        mean("samples/s", "samples_per_second", "{:,.0f}"),
        mean("transform", "transform_share", "{:.2%}"),
    ]


def _step(row: Row) -> str:
    (arm,) = row.seeds
    if arm.state is State.RUNNING:
        return f"{arm.done_steps}/{arm.steps}" if arm.done_steps else "starting"
    if arm.state is not State.DONE and arm.done_steps:
        return f"{arm.state} at {arm.done_steps}"
    return str(arm.state)


def _objective(row: Row) -> str:
    rows = row.seeds[0].metrics.rows
    return str(rows[-1].get("objective", "")) if rows else ""


# A sweep


def sweep_display(
    console: Console, cells: Sequence[tuple[Mapping[str, str], Sequence[Part]]]
) -> Display:
    """Of a sweep: a row for each cell and arm, over its seeds.

    Args:
        console: where to show it.
        cells: of each the texts of its settings, by header, and its parts.
    """
    parts = [part for _, of_cell in cells for part in of_cell]
    pool = _pool_of(parts)
    rows = [row for labels, of_cell in cells for row in _rows(labels, of_cell, pool)]
    ks = sorted({k for part in parts for k in part.run.config.evaluation.k_values})
    ends = tuple(dict.fromkeys((*ks[:1], *ks[-1:])))

    def count(header: str, state: State, style: str = "") -> Column:
        return Column(header, lambda row: str(row.count(state) or ""), style=style)

    def waiting(row: Row) -> str:
        counted = map(row.count, (State.DONE, State.RUNNING, State.FAILED))
        return str(len(row.seeds) - sum(counted) or "")

    def step(row: Row) -> str:
        steps = sum(seed.done_steps for seed in row.seeds) / len(row.seeds)
        return f"{steps:.0f}/{row.seeds[0].steps}"

    def done(display: Display, name: str) -> str:
        found = [arm for arm in display.arms if arm.part.name == name]
        if display.console.is_terminal or not found:
            return ""
        scores = {k: found[0].pass_at(str(k)) for k in ends}
        values = "  ".join(f"pass@{k} {v:.1%}" for k, v in scores.items() if v is not None)
        return f"{name}: done  validation {values}  ({display.overall()})"

    return Display(
        console,
        pool,
        parts,
        rows,
        title="Sweep (seeds done, running, ...; validation pass@k, mean over seeds)",
        columns=[
            *(
                Column(header, lambda row, h=header: row.labels[h], fold=True, label=True)
                for header in (cells[0][0] if cells else ())
            ),
            Column("arm", lambda row: row.name, left=True),
            count("done", State.DONE),
            count("run", State.RUNNING),
            Column("wait", waiting),
            count("fail", State.FAILED, "red"),
            Column("step", step),
            *(Column(f"pass@{k}", lambda row, k=k: row.pass_at(k)) for k in ends),
            Column("eta", lambda row: duration(row.seconds_left)),
        ],
        done=done,
    )


def _rows(labels: Mapping[str, str], parts: Sequence[Part], pool: Pool) -> list[Row]:
    by_arm: dict[str, list[ArmProgress]] = {}
    for part in parts:
        if part.arm is not None:
            by_arm.setdefault(part.arm.name, []).append(ArmProgress(part, part.arm, pool))
    return [Row(name, seeds, labels) for name, seeds in by_arm.items()]
