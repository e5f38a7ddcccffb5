"""The comparison as tables: Markdown, plain text for a terminal, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from pkpo.report.families import Selection
from pkpo.report.statistics import (
    BASE_NAME,
    REACH,
    Estimate,
    Summary,
    SummaryRow,
    reach_probability,
)
from pkpo.terminal import visible

ABSENT = "\N{EN DASH}"
"""Stands for a value that was not measured, and for the standard error of one seed."""

_UNBOUNDED = 100_000


@dataclass(frozen=True)
class Cell:
    """One table cell; `best` marks the highest mean of a column of pass@k."""

    text: str
    best: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", visible(self.text, cell=True))


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        headers: column titles.
        rows: cells; the first of each row names the arm.
        notes: sentences to stand below the table.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def headline_table(summary: Summary) -> Table:
    """Per arm: everything in `score_table` and `coverage_table`."""
    scores, coverage = score_table(summary), coverage_table(summary)
    pairs = zip(scores.rows, coverage.rows, strict=True)
    return Table(
        headers=(*scores.headers, *coverage.headers[1:]),
        rows=tuple((*left, *right[1:]) for left, right in pairs),
        notes=(*scores.notes, *coverage.notes),
    )


def score_table(summary: Summary) -> Table:
    """Per arm: number of finished seeds and pass@k in per cent."""
    best = {k: _best_name(summary, k) for k in summary.ks}
    rows = []
    for row in summary.rows:
        scores = [
            Cell(format_estimate(row.pass_at_k.get(k), scale=100), best[k] == row.name)
            for k in summary.ks
        ]
        rows.append((Cell(row.label), Cell(f"{len(row.seeds)}/{summary.num_seeds}"), *scores))
    headers = ("arm", "seeds", *(f"pass@{k} %" for k in summary.ks))
    return Table(headers, tuple(rows), _score_notes(summary))


def coverage_table(summary: Summary) -> Table:
    """Per arm: entropy, solve rate, problems gained and lost, where they were measured."""
    columns = [c for c in _columns(summary) if any(c.read(row) for row in summary.rows)]
    rows = [(Cell(row.label), *(Cell(c.format(row)) for c in columns)) for row in summary.rows]
    notes = tuple(column.note for column in columns if column.note)
    return Table(("arm", *(column.header for column in columns)), tuple(rows), notes)


def family_tables(summary: Summary) -> tuple[Table, ...]:
    """Per family, every member: its validation score and its pass@k in per cent."""
    tables = []
    for selection in summary.selections:
        rows = []
        for row in summary.members:
            if row.name not in selection.members:
                continue
            score = selection.scores.get(row.name)
            rows.append(
                (
                    Cell(row.name),
                    Cell(f"{len(row.seeds)}/{summary.num_seeds}"),
                    Cell(
                        ABSENT if score is None else format(100 * score, ".2f"),
                        row.name == selection.chosen,
                    ),
                    *(Cell(format_estimate(row.pass_at_k.get(k), 100)) for k in summary.ks),
                )
            )
        headers = (selection.family, "seeds", "score %", *(f"pass@{k} %" for k in summary.ks))
        tables.append(Table(headers, tuple(rows), (_selection_note(selection),)))
    return tuple(tables)


def change_table(summary: Summary) -> Table:
    """Per arm: pass@k minus the base's of the same seed, in percentage points."""
    rows = [
        (
            Cell(row.label),
            *(Cell(format_estimate(row.change_at_k.get(k), 100, "+.1f")) for k in summary.ks),
        )
        for row in summary.rows
        if row.name != BASE_NAME
    ]
    note = (
        "Percentage points above the warm-started policy of the same seed; pairing by seed "
        "takes the differences between warm starts out of the standard error."
    )
    return Table(("arm", *(f"Δ pass@{k}" for k in summary.ks)), tuple(rows), (note,))


def seed_table(summary: Summary) -> Table:
    """Per arm and seed: pass@k in per cent."""
    rows = []
    for row in summary.rows:
        for i, seed in enumerate(row.seeds):
            found = [row.pass_at_k.get(k) for k in summary.ks]
            cells = [format(100 * e.values[i], ".1f") if e else ABSENT for e in found]
            rows.append((Cell(row.label), Cell(str(seed)), *map(Cell, cells)))
    return Table(("arm", "seed", *(f"pass@{k} %" for k in summary.ks)), tuple(rows), ())


def format_estimate(value: Estimate | None, scale: float = 1.0, spec: str = ".1f") -> str:
    """The mean ± its standard error, with a dash for what is not there."""
    if value is None:
        return ABSENT
    mean = format(value.mean * scale, spec)
    if value.standard_error is None:
        return f"{mean} ± {ABSENT}"
    return f"{mean} ± {format(value.standard_error * scale, spec.lstrip('+'))}"


def to_markdown(summary: Summary) -> str:
    """The tables with their notes, as Markdown."""
    headline, change = headline_table(summary), change_table(summary)
    parts = ["## Held-out results", _markdown_table(headline), _bullets(headline.notes)]
    if change.rows:
        parts += ["## Change against the base", _markdown_table(change), _bullets(change.notes)]
    for table in family_tables(summary):
        title = f"## All of the family {table.headers[0]}"
        parts += [title, _markdown_table(table), _bullets(table.notes)]
    if summary.num_seeds > 1:
        parts += ["## Every seed", _markdown_table(seed_table(summary))]
    return "\n\n".join(parts) + "\n"


def fits(console: Console, table: RichTable) -> bool:
    """Whether no cell of a table is wrapped or cut."""
    options = console.options.update(width=_UNBOUNDED)
    return Measurement.get(console, options, table).maximum <= console.width


def to_rich(summary: Summary, console: Console) -> RichTable:
    """The headline table for a rich console, turned so that each arm is a column; with more
    arms than fit side by side, their means of pass@k, each arm a row.

    The report explains what the table leaves out.
    """
    table = _headline(summary)
    return table if fits(console, table) else _crowded(summary)


def _headline(summary: Summary) -> RichTable:
    table = headline_table(summary)
    caption = " ".join(_score_notes(summary)[:2])
    grid = RichTable(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1))
    grid.add_column("", no_wrap=True)
    for row in table.rows:
        name = "base" if row[0].text == BASE_NAME else row[0].text
        grid.add_column(Text(name), justify="right", no_wrap=True)
    for i, header in enumerate(table.headers[1:], start=1):
        cells = [row[i] for row in table.rows]
        texts = [cell.text.removesuffix(f" ± {ABSENT}") for cell in cells]
        styles = ["bold" if cell.best else "" for cell in cells]
        grid.add_row(header, *(Text(text, style) for text, style in zip(texts, styles)))
    return grid


def _crowded(summary: Summary) -> RichTable:
    caption = (
        f"{_score_notes(summary)[0]} Means over finished seeds, pass@k in %; the report has their "
        "standard errors."
    )
    grid = RichTable(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1))
    grid.add_column("pass@k, k =")
    for header in ("seeds", *map(str, summary.ks)):
        grid.add_column(header, justify="right", no_wrap=True)
    table = score_table(summary)
    for row in table.rows:
        texts = [cell.text.partition(" ± ")[0] for cell in row]
        grid.add_row(*(Text(text, "bold" if c.best else "") for text, c in zip(texts, row)))
    return grid


def to_text(summary: Summary, width: int = 120) -> str:
    """`to_rich` as plain text without escape codes.

    Args:
        summary: the comparison.
        width: the most characters a line; names and numbers are cut where that is too few.
    """
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(to_rich(summary, console))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def to_csv(summary: Summary) -> str:
    """All numbers unrounded, rates as fractions of 1; an empty field where there is none.

    Where there are families every member has a row, and the last two columns name its family
    and say whether validation chose it.
    """
    series: dict[str, Callable[[SummaryRow], Estimate | None]] = {}
    for k in summary.ks:
        series[f"pass@{k}"] = lambda row, k=k: row.pass_at_k.get(k)
    for k in summary.ks:
        series[f"change_pass@{k}"] = lambda row, k=k: row.change_at_k.get(k)
    series["entropy"] = lambda row: row.entropy
    series["distinct_solutions"] = lambda row: row.distinct_solutions
    series["cumulative_solve_rate"] = lambda row: row.cumulative_solve_rate
    series["problems_gained"] = lambda row: row.gained
    series["problems_lost"] = lambda row: row.lost

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{name}_{part}" for name in series for part in ("mean", "se")]
    families = {name: s for s in summary.selections for name in s.members}
    writer.writerow(["arm", "seeds", *columns, *(["family", "chosen"] if families else [])])
    plain = [row for row in summary.rows if row.name not in families]
    for row in (*plain, *summary.members):
        values: list[float | None] = []
        for read in series.values():
            found = read(row)
            values += [found.mean, found.standard_error] if found else [None, None]
        own = families.get(row.name)
        ends = ["", ""] if own is None else [own.family, int(own.chosen == row.name)]
        writer.writerow([row.name, len(row.seeds), *values, *(ends if families else [])])
    return out.getvalue()


@dataclass(frozen=True)
class _Column:
    header: str
    read: Callable[[SummaryRow], Estimate | None]
    note: str = ""
    scale: float = 1.0
    spec: str = ".1f"

    def format(self, row: SummaryRow) -> str:
        return format_estimate(self.read(row), self.scale, self.spec)


def _columns(summary: Summary) -> tuple[_Column, ...]:
    distinct = "Distinct: mean number of distinct correct answers found per problem."
    solved = "Train solved: training problems solved at least once by the last step."
    return (
        _Column("entropy", lambda row: row.entropy, "Entropy: nats per completion.", spec=".2f"),
        _Column("distinct", lambda row: row.distinct_solutions, distinct, spec=".2f"),
        _Column("train solved %", lambda row: row.cumulative_solve_rate, solved, scale=100),
        _Column("gained", lambda row: row.gained, _gained_note(summary)),
        _Column("lost", lambda row: row.lost),
    )


def _best_name(summary: Summary, k: int) -> str | None:
    found = [(row.pass_at_k[k].mean, row.name) for row in summary.rows if k in row.pass_at_k]
    highest = max(found, default=None)
    if highest is None or sum(mean == highest[0] for mean, _ in found) > 1:
        return None
    return highest[1]


def _score_notes(summary: Summary) -> tuple[str, ...]:
    if summary.num_problems is None:
        return ("No evaluation yet.",)
    kind = "exact" if summary.exact else "estimated from samples"
    return (
        f"{summary.num_problems} problems of the {' and '.join(summary.splits)} split, solve "
        f"probabilities {kind}.",
        "Mean ± standard error over finished seeds (sd / √seeds, ddof = 1; "
        f"{ABSENT} for one seed).",
        "Bold: highest mean of a column, not a test of significance.",
    )


def _selection_note(selection: Selection) -> str:
    seeds = ", ".join(map(str, selection.seeds))
    if selection.chosen is None:
        return "None is chosen until all members have finished some seed in common."
    return (
        f"Score: {selection.criterion} after the last step, averaged over seeds {seeds}. The "
        f"highest, bold, chose {selection.chosen}; the test problems had no part in it."
    )


def _gained_note(summary: Summary) -> str:
    k = summary.reach_k
    if k is None:
        return ""
    guess = "" if summary.exact else ", with the estimated p in its place"
    return (
        f"Gained, lost: problems per seed whose own pass@{k}, the chance 1 - (1 - p)^{k} that {k} "
        f"samples solve it, rose to at least {REACH} from below, or fell below it; that is at "
        f"p = {100 * reach_probability(k):.1f} % a sample{guess}."
    )


def _markdown_table(table: Table) -> str:
    lines = [
        _markdown_row(table.headers),
        _markdown_row(["---"] + ["---:"] * (len(table.headers) - 1)),
    ]
    for row in table.rows:
        texts = [cell.text.replace("\\", "\\\\").replace("|", "\\|") for cell in row]
        marked = [f"**{t}**" if cell.best else t for t, cell in zip(texts, row, strict=True)]
        lines.append(_markdown_row(marked))
    return "\n".join(lines)


def _markdown_row(texts: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _bullets(notes: tuple[str, ...]) -> str:
    return "\n".join(f"- {note}" for note in notes)
