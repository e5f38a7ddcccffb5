"""The comparison as tables: Markdown, plain text for a terminal, and CSV."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table as RichTable

from pkpo.report.families import Selection
from pkpo.report.statistics import (
    BASE_NAME,
    REACH,
    Estimate,
    Summary,
    SummaryRow,
    reach_probability,
)
from pkpo.tables import Table, fits, markdown_escape, rows_to_csv

ABSENT = "\N{EN DASH}"
"""Stands for a value that was not measured, and for the standard error of one seed."""


def headline_table(summary: Summary) -> Table:
    """Per arm: everything in `score_table` and `coverage_table`."""
    scores, coverage = score_table(summary), coverage_table(summary)
    pairs = zip(scores.rows, coverage.rows, strict=True)
    return Table(
        headers=(*scores.headers, *coverage.headers[1:]),
        rows=tuple((*left, *right[1:]) for left, right in pairs),
        notes=(*scores.notes, *coverage.notes),
        bold=scores.bold,
    )


def score_table(summary: Summary) -> Table:
    """Per arm: number of finished seeds and pass@k in per cent."""
    rows = tuple(
        (
            row.label,
            f"{len(row.seeds)}/{summary.num_seeds}",
            *(format_estimate(row.pass_at_k.get(k), scale=100) for k in summary.ks),
        )
        for row in summary.rows
    )
    best = [_best_name(summary, k) for k in summary.ks]
    bold = frozenset(
        (i, 2 + j)
        for i, row in enumerate(summary.rows)
        for j, name in enumerate(best)
        if row.name == name
    )
    headers = ("arm", "seeds", *(f"pass@{k} %" for k in summary.ks))
    return Table(headers, rows, _score_notes(summary), bold=bold)


def coverage_table(summary: Summary) -> Table:
    """Per arm: entropy, solve rate, problems gained and lost, where they were measured."""
    columns = [c for c in _columns(summary) if any(c.read(row) for row in summary.rows)]
    rows = [(row.label, *(c.format(row) for c in columns)) for row in summary.rows]
    notes = tuple(column.note for column in columns if column.note)
    return Table(("arm", *(column.header for column in columns)), tuple(rows), notes)


def family_tables(summary: Summary) -> tuple[Table, ...]:
    """Per family, every member: its validation score and its pass@k in per cent."""
    tables = []
    for selection in summary.selections:
        members = [row for row in summary.members if row.name in selection.members]
        rows = tuple(
            (
                row.name,
                f"{len(row.seeds)}/{summary.num_seeds}",
                format(100 * selection.scores[row.name], ".2f")
                if row.name in selection.scores
                else ABSENT,
                *(format_estimate(row.pass_at_k.get(k), 100) for k in summary.ks),
            )
            for row in members
        )
        headers = (selection.family, "seeds", "score %", *(f"pass@{k} %" for k in summary.ks))
        bold = frozenset((i, 2) for i, row in enumerate(members) if row.name == selection.chosen)
        tables.append(Table(headers, rows, (_selection_note(selection),), bold=bold))
    return tuple(tables)


def change_table(summary: Summary) -> Table:
    """Per arm: pass@k minus the base's of the same seed, in percentage points."""
    rows = [
        (
            row.label,
            *(format_estimate(row.change_at_k.get(k), 100, "+.1f") for k in summary.ks),
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
            rows.append((row.label, str(seed), *cells))
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
    parts = ["## Held-out results", headline_table(summary).to_markdown()]
    change = change_table(summary)
    if change.rows:
        parts += ["## Change against the base", change.to_markdown()]
    for table in family_tables(summary):
        name = markdown_escape(table.headers[0])
        parts += [f"## All of the family {name}", table.to_markdown()]
    if summary.num_seeds > 1:
        parts += ["## Every seed", seed_table(summary).to_markdown()]
    return "\n\n".join(parts) + "\n"


def to_rich(summary: Summary, console: Console) -> RichTable:
    """The headline table for a rich console, turned so that each arm is a column; with more
    arms than fit side by side, their means of pass@k, each arm a row.

    The report explains what the table leaves out.
    """
    table = _headline(summary)
    return table if fits(console, table) else _crowded(summary)


def _headline(summary: Summary) -> RichTable:
    table = headline_table(summary)
    names = ("base" if row[0] == BASE_NAME else row[0] for row in table.rows)
    columns = zip(*([cell.removesuffix(f" ± {ABSENT}") for cell in row] for row in table.rows))
    turned = Table(
        headers=("", *names),
        rows=tuple(zip(table.headers, *zip(*columns)))[1:],
        bold=frozenset((j - 1, i + 1) for i, j in table.bold),
    )
    return turned.to_rich(caption=" ".join(_score_notes(summary)[:2]))


def _crowded(summary: Summary) -> RichTable:
    table = score_table(summary)
    means = replace(
        table,
        headers=("pass@k, k =", "seeds", *map(str, summary.ks)),
        rows=tuple(tuple(cell.partition(" ± ")[0] for cell in row) for row in table.rows),
    )
    return means.to_rich(
        caption=f"{_score_notes(summary)[0]} Means over finished seeds, pass@k in %; the report "
        "has their standard errors."
    )


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

    columns = [f"{name}_{part}" for name in series for part in ("mean", "se")]
    families = {name: s for s in summary.selections for name in s.members}
    rows = []
    plain = [row for row in summary.rows if row.name not in families]
    for row in (*plain, *summary.members):
        values: list[float | None] = []
        for read in series.values():
            found = read(row)
            values += [found.mean, found.standard_error] if found else [None, None]
        own = families.get(row.name)
        ends = ["", ""] if own is None else [own.family, int(own.chosen == row.name)]
        rows.append([row.name, len(row.seeds), *values, *(ends if families else [])])
    header = ["arm", "seeds", *columns, *(["family", "chosen"] if families else [])]
    return rows_to_csv(header, rows)


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
