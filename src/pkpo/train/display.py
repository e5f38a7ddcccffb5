"""What a running job or sweep shows: a table in a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from pkpo.execution.pool import Pool, State
from pkpo.tables import Table, fits
from pkpo.terminal import visible
from pkpo.train.config import JobSettings
from pkpo.train.parts import Part
from pkpo.train.progress import ArmProgress, Row, mean, number, read_object
from pkpo.train.run_directory import WARM_START_PROGRESS

_LINES_AROUND = 7
_METRICS = (
    ("pass@1", "pass@1", "{:.1%}"),
    ("pass@{n}", "pass@{n}", "{:.1%}"),
    ("entropy", "entropy", "{:.2f}"),
    ("solved", "cumulative_solve_rate", "{:.1%}"),
    ("signal", "signal_fraction", "{:.0%}"),
    ("samples/s", "samples_per_second", "{:,.0f}"),
    ("transform", "transform_share", "{:.2%}"),
)
"""Headers, columns of metrics.jsonl and how they are written, for groups of n."""

_SPARE = ("transform", "samples/s", "signal", "objective", "entropy", "solved", "pass@{n}")
_SUM_SO_FAR = "cumulative_solve_rate"


@dataclass(frozen=True)
class Column:
    """`fold`: its cells may be broken into lines; `label`: a row leaves it empty where all its
    labels are those of the row before."""

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

    Attributes:
        pool: does the work.
        spare: headers of columns that are left out where there is no room, those first.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    spare: Sequence[str] = ()

    def __init__(self, console: Console, parts: Sequence[Part]) -> None:
        self.console = console
        self.pool = Pool([part.item for part in parts], [part.name for part in parts if part.done])
        self.arms = [ArmProgress(p, p.arm, self.pool) for p in parts if p.arm is not None]
        self.warm_starts = {part.name: part for part in parts if part.arm is None}
        self._told = {n: state for n, state in self.pool.states.items() if state is State.DONE}
        self._start = time.monotonic()
        self._steps_before: int | None = None
        self._silent = False
        self._live = Live(console=console, auto_refresh=False)

    def moved(self) -> None:
        """Print what is new of the arms that run, where there is no terminal."""

    def done(self, name: str) -> str:
        """What to print of a part that is done, if anything."""
        raise NotImplementedError

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
        wrap = not isinstance(shown, str)
        shown = visible(shown) if isinstance(shown, str) else shown
        how = {"style": style, "soft_wrap": not wrap, "markup": False, "highlight": False}
        self._attempt(lambda: self.console.print(shown, **how))

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
        for name, state in self.pool.states.items():
            if self._told.get(name) is state or state not in (State.DONE, State.FAILED):
                continue
            self._told[name] = state
            if state is State.FAILED:
                self.print(f"{name} failed: {self.pool.failures[name].reason}", "red")
            elif text := self.done(name):
                self.print(text)
        if self.console.is_terminal:
            self._live.update(self.table(), refresh=True)
        else:
            self.moved()

    def table(self) -> RichTable:
        """As many columns and rows as there is room for."""
        for count in range(len(self.spare) + 1):
            table = self._table(self.spare[:count])
            if fits(self.console, table):
                return table
        return table

    def _table(self, left_out: Sequence[str]) -> RichTable:
        shown = self._most_urgent()
        more = len(self.rows) - len(shown)
        columns = [column for column in self.columns if column.header not in left_out]
        above = [{}, *(row.labels for row in shown)]
        cells = tuple(
            tuple("" if c.label and row.labels == labels else c.text(row) for c in columns)
            for row, labels in zip(shown, above)
        )
        table = Table(
            headers=tuple(column.header for column in columns),
            rows=cells,
            title=self.title,
            words=frozenset(j for j, column in enumerate(columns) if column.left),
        ).to_rich(
            style=lambda i, j: (
                "red" if shown[i].count(State.FAILED) == len(shown[i].seeds) else columns[j].style
            ),
            padding=(0, 1, 0, 0),
            caption=Text(
                (f"{more} more rows. " if more else "") + self.overall() + self._of_warm_starts()
            ),
        )
        for column, made in zip(columns, table.columns):
            made.no_wrap, made.overflow = not column.fold, "fold" if column.fold else "ellipsis"
        return table

    def _most_urgent(self) -> list[Row]:
        """The rows that there is room for; those that move or went wrong come first."""

        def urgency(place: int) -> tuple[int, int]:
            row = self.rows[place]
            return 0 if row.count(State.RUNNING) else 1 if row.count(State.FAILED) else 2, place

        room = max(3, self.console.height - _LINES_AROUND)
        return [self.rows[i] for i in sorted(sorted(range(len(self.rows)), key=urgency)[:room])]

    def overall(self) -> str:
        """A line on the whole job; the time left is at the pace of all steps since the start,
        warm starts included."""
        ended = sum(arm.state in (State.DONE, State.FAILED) for arm in self.arms)
        text = f"{ended} of {len(self.arms)} runs ended"
        made = self._done_steps() - (self._steps_before or 0)
        remaining = sum(arm.remaining_steps for arm in self.arms)
        if made <= 0 or not remaining:
            return text
        return f"{text}, about {duration(remaining * (time.monotonic() - self._start) / made)} left"

    def _done_steps(self) -> int:
        return sum(arm.done_steps for arm in self.arms)

    def _of_warm_starts(self) -> str:
        states = self.pool.states
        running = [p for name, p in self.warm_starts.items() if states[name] is State.RUNNING]
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


class JobDisplay(Display):
    """Of a job: a row for each arm and seed, a line of text at each tenth of its way."""

    title = "Training (means of the last 20 steps, on training problems)"

    def __init__(self, console: Console, parts: Sequence[Part], config: JobSettings) -> None:
        super().__init__(console, parts)
        n = config.training.num_generations
        self.rows = [Row(arm.part.name, [arm]) for arm in self.arms]
        self.spare = [header.format(n=n) for header in _SPARE]
        self._printed: dict[str, int] = {}
        self._metrics = [
            _metric(header.format(n=n), name.format(n=n), form) for header, name, form in _METRICS
        ]
        self.columns = [
            Column("arm", lambda row: row.name, left=True, fold=True),
            Column("step", _step),
            Column("left", lambda row: duration(row.seconds_left)),
            Column(
                "objective",
                lambda row: str(row.seeds[0].metrics.last("objective") or ""),
                left=True,
            ),
            *self._metrics,
        ]

    def done(self, name: str) -> str:
        part = self.warm_starts.get(name)
        return f"Warm start ready for seed {part.seed}." if part else ""

    def moved(self) -> None:
        for row in self.rows:
            (arm,) = row.seeds
            tenth = 10 * arm.done_steps // arm.steps
            if (
                arm.part.done
                or arm.state is State.FAILED
                or tenth <= self._printed.get(row.name, 0)
            ):
                continue
            self._printed[row.name] = tenth
            values = "  ".join(f"{column.header} {column.text(row)}" for column in self._metrics)
            left = duration(arm.seconds_left)
            ending = f"  {left} left" if left else ""
            self.print(f"{row.name:<16} step {arm.done_steps:>5}/{arm.steps}  {values}{ending}")


def _metric(header: str, name: str, form: str) -> Column:
    def text(row: Row) -> str:
        rows = row.seeds[0].metrics.rows[-1 if name == _SUM_SO_FAR else 0 :]
        value = mean([number(line.get(name)) for line in rows])
        return "" if value is None else form.format(value)

    return Column(header, text)


def _step(row: Row) -> str:
    (arm,) = row.seeds
    if arm.state is State.RUNNING:
        return f"{arm.done_steps}/{arm.steps}" if arm.done_steps else "starting"
    if arm.state is not State.DONE and arm.done_steps:
        return f"{arm.state} at {arm.done_steps}"
    return str(arm.state)


class SweepDisplay(Display):
    """Of a sweep: a row for each cell and arm, over its seeds.

    Args:
        console: where to show it.
        cells: of each the texts of its settings, by header, and its parts.
    """

    title = "Sweep (seeds done, running, ...; validation pass@k, mean over seeds)"

    def __init__(
        self, console: Console, cells: Sequence[tuple[Mapping[str, str], Sequence[Part]]]
    ) -> None:
        parts = [part for _, of_cell in cells for part in of_cell]
        super().__init__(console, parts)
        labels = {part.name: texts for texts, of_cell in cells for part in of_cell}
        ks = sorted({k for part in parts for k in part.run.config.evaluation.k_values})
        self.ends = tuple(dict.fromkeys((*ks[:1], *ks[-1:])))
        grouped: dict[object, list[ArmProgress]] = {}
        for arm in self.arms:
            grouped.setdefault((arm.part.run.path, arm.name), []).append(arm)
        self.rows = [Row(g[0].name, g, labels[g[0].part.name]) for g in grouped.values()]
        self.columns = [
            *(
                Column(header, lambda row, h=header: row.labels[h], fold=True, label=True)
                for header in (cells[0][0] if cells else ())
            ),
            Column("arm", lambda row: row.name, left=True),
            Column("done", lambda row: _count(row, State.DONE)),
            Column("run", lambda row: _count(row, State.RUNNING)),
            Column("wait", lambda row: _count(row, State.WAITING, State.STOPPED)),
            Column("fail", lambda row: _count(row, State.FAILED), style="red"),
            Column("step", _mean_step),
            *(Column(f"pass@{k}", lambda row, k=k: _pass_at(row, k)) for k in self.ends),
            Column("eta", lambda row: duration(row.seconds_left)),
        ]

    def done(self, name: str) -> str:
        found = [arm for arm in self.arms if arm.part.name == name]
        if self.console.is_terminal or not found:
            return ""
        scores = {k: found[0].pass_at(k) for k in self.ends}
        values = "  ".join(f"pass@{k} {v:.1%}" for k, v in scores.items() if v is not None)
        return f"{name}: done  validation {values}  ({self.overall()})"


def _count(row: Row, *states: State) -> str:
    return str(row.count(*states) or "")


def _mean_step(row: Row) -> str:
    return f"{sum(s.done_steps for s in row.seeds) / len(row.seeds):.0f}/{row.seeds[0].steps}"


def _pass_at(row: Row, k: int) -> str:
    value = mean([seed.pass_at(k) for seed in row.seeds])
    return "" if value is None else f"{value:.1%}"
