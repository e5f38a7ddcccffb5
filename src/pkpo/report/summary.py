"""The comparison as tables: Markdown, plain text for a terminal, and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rich.console import Console
from rich.table import Table as RichTable

from pkpo.digits import decimal_text
from pkpo.report.statistics import (
    BASE_NAME,
    REACH,
    Estimate,
    Selection,
    Summary,
    SummaryRow,
    reach_probability,
)
from pkpo.tables import Table, fits, markdown_escape, rows_to_csv

ABSENT = "\N{EN DASH}"
"""Stands for a value that was not measured, and for the standard error of one seed."""


class _Column(NamedTuple):
    name: str
    header: str
    decimals: int = 1
    percent: bool = False
    signed: bool = False
    note: str = ""


_ENTROPY = "Entropy: nats per completion."
_DISTINCT = "Distinct: mean number of distinct correct answers found per problem."
_SOLVED = "Train solved: training problems solved at least once by the last step."
_COVERAGE = (
    _Column("entropy", "entropy", 2, note=_ENTROPY),
    _Column("distinct_solutions", "distinct", 2, note=_DISTINCT),
    _Column("cumulative_solve_rate", "train solved %", percent=True, note=_SOLVED),
    _Column("problems_gained", "gained"),
    _Column("problems_lost", "lost"),
)


def headline_table(summary: Summary) -> Table:
    """Per arm: everything in `score_table` and `coverage_table`."""
    scores, coverage = score_table(summary), coverage_table(summary)
    return replace(
        scores,
        headers=(*scores.headers, *coverage.headers[1:]),
        rows=tuple((*left, *right[1:]) for left, right in zip(scores.rows, coverage.rows)),
        notes=(*scores.notes, *coverage.notes),
    )


def score_table(summary: Summary) -> Table:
    """Per arm: number of finished seeds and pass@k in per cent; bold: the highest means."""
    bold = set()
    for j, column in enumerate(_score_columns(summary), start=2):
        found = [row.values.get(column.name) for row in summary.rows]
        means = [-1.0 if value is None else value.mean for value in found]
        if max(means) >= 0.0 and means.count(max(means)) == 1:
            bold.add((means.index(max(means)), j))
    notes = _score_notes(summary)
    return _table(summary.rows, _score_columns(summary), notes, bold, summary.num_seeds)


def coverage_table(summary: Summary) -> Table:
    """Per arm: entropy, solve rate, problems gained and lost, where they were measured."""
    shown = [c for c in _COVERAGE if any(c.name in row.values for row in summary.rows)]
    notes = [c.note or _gained_note(summary) * (c.header == "gained") for c in shown]
    return _table(summary.rows, shown, tuple(filter(None, notes)))


def _table(
    rows: Sequence[SummaryRow],
    columns: Sequence[_Column],
    notes: tuple[str, ...],
    bold: Iterable[tuple[int, int]] = (),
    num_seeds: int = 0,
) -> Table:
    """A row an arm; with the number of planned seeds, first how many are finished."""
    seeds = [(f"{len(row.seeds)}/{num_seeds}",) if num_seeds else () for row in rows]
    texts = (
        tuple(
            format_estimate(row.values.get(c.name), c.decimals, percent=c.percent, signed=c.signed)
            for c in columns
        )
        for row in rows
    )
    return Table(
        headers=("arm", *(["seeds"] if num_seeds else []), *(column.header for column in columns)),
        rows=tuple((row.label, *own, *cells) for row, own, cells in zip(rows, seeds, texts)),
        notes=notes,
        bold=frozenset(bold),
    )


def _score_columns(summary: Summary) -> list[_Column]:
    return [_Column(f"pass@{k}", f"pass@{k} %", percent=True) for k in summary.ks]


def _change_columns(summary: Summary) -> list[_Column]:
    return [_Column(f"change_pass@{k}", f"Δ pass@{k}", signed=True) for k in summary.ks]


def family_tables(summary: Summary) -> tuple[Table, ...]:
    """Per family, every member: its validation score and its pass@k in per cent."""
    tables = []
    for selection in summary.selections:
        members = [row for row in summary.members if row.name in selection.members]
        plain = [replace(row, note="") for row in members]
        note = (_selection_note(selection),)
        table = _table(plain, _score_columns(summary), note, num_seeds=summary.num_seeds)
        scores = [selection.scores.get(row.name) for row in members]
        texts = [ABSENT if s is None else _number(s, 2, percent=True) for s in scores]
        tables.append(
            replace(
                table,
                headers=(selection.family, "seeds", "score %", *table.headers[2:]),
                rows=tuple((*row[:2], text, *row[2:]) for row, text in zip(table.rows, texts)),
                bold={(i, 2) for i, row in enumerate(members) if row.name == selection.chosen},
            )
        )
    return tuple(tables)


def change_table(summary: Summary) -> Table:
    """Per arm: pass@k minus the base's of the same seed, in percentage points."""
    note = (
        "Percentage points above the warm-started policy of the same seed; pairing by seed "
        "takes the differences between warm starts out of the standard error."
    )
    arms = [row for row in summary.rows if row.name != BASE_NAME]
    return _table(arms, _change_columns(summary), (note,))


def seed_table(summary: Summary) -> Table:
    """Per arm and seed: pass@k in per cent."""
    names = [column.name for column in _score_columns(summary)]
    rows = []
    for row in summary.rows:
        for i, seed in enumerate(row.seeds):
            found = [row.values.get(name) for name in names]
            cells = [_number(e.values[i], 1, percent=True) if e else ABSENT for e in found]
            rows.append((row.label, str(seed), *cells))
    return Table(("arm", "seed", *(c.header for c in _score_columns(summary))), tuple(rows))


def format_estimate(
    value: Estimate | None, decimals: int = 1, *, percent: bool = False, signed: bool = False
) -> str:
    """The mean ± its standard error, with a dash for what is not there.

    Args:
        value: the estimate.
        decimals: behind the point.
        percent: a chance, in per cent; looks like 0 or 100 only if it is.
        signed: a difference of chances, in percentage points, with its sign.
    """
    if value is None:
        return ABSENT
    mean = _number(value.mean, decimals, percent=percent, signed=signed)
    if value.standard_error is None:
        return f"{mean} ± {ABSENT}"
    decimals = max(decimals, len(mean.partition(".")[2]))
    error = value.standard_error * (100 if percent or signed else 1)
    return f"{mean} ± {error:.{decimals}f}"


def without_absent_error(text: str) -> str:
    """What `format_estimate` gives, where one seed needs no dash for its standard error."""
    return text.removesuffix(f" ± {ABSENT}")


def _number(value: float, decimals: int, *, percent: bool = False, signed: bool = False) -> str:
    text = format(value * (100 if percent or signed else 1), f"{'+' * signed}.{decimals}f")
    if percent and float(text) in (0, 100) and value not in (0, 1):
        return decimal_text(value, decimals, scale=100, kept_apart=(0, 100))
    return text


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
    table, notes = headline_table(summary), _score_notes(summary)
    names = ("base" if row[0] == BASE_NAME else row[0] for row in table.rows)
    cells = zip(*(map(without_absent_error, row) for row in table.rows))
    turned = Table(
        headers=("", *names),
        rows=tuple((header, *texts) for header, texts in zip(table.headers, cells))[1:],
        bold=frozenset((j - 1, i + 1) for i, j in table.bold),
    ).to_rich(caption=" ".join(notes[:2]))
    if fits(console, turned):
        return turned
    scores = score_table(summary)
    means = replace(
        scores,
        headers=("pass@k, k =", "seeds", *map(str, summary.ks)),
        rows=tuple(tuple(cell.partition(" ± ")[0] for cell in row) for row in scores.rows),
    )
    return means.to_rich(
        caption=f"{notes[0]} Means over finished seeds, pass@k in %; the report has their "
        "standard errors."
    )


def to_csv(summary: Summary) -> str:
    """All numbers unrounded, rates as fractions of 1; an empty field where there is none.

    Where there are families every member has a row, and the last two columns name its family
    and say whether validation chose it.
    """
    columns = (*_score_columns(summary), *_change_columns(summary), *_COVERAGE)
    families = {name: s for s in summary.selections for name in s.members}
    header = ["arm", "seeds", *(f"{c.name}_{part}" for c in columns for part in ("mean", "se"))]
    rows = []
    for row in (*(row for row in summary.rows if row.name not in families), *summary.members):
        found = means_and_errors(row.values.get(column.name) for column in columns)
        rows.append([row.name, len(row.seeds), *found])
        if families:
            own = families.get(row.name)
            rows[-1] += [own.family, int(own.chosen == row.name)] if own else ["", ""]
    return rows_to_csv([*header, *(["family", "chosen"] if families else [])], rows)


def means_and_errors(estimates: Iterable[Estimate | None]) -> list[float | None]:
    """Two numbers an estimate, for CSV."""
    return [x for e in estimates for x in ((e.mean, e.standard_error) if e else (None, None))]


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


def _selection_note(selection: Selection) -> str:
    if selection.chosen is None:
        return "None is chosen until all members have finished some seed in common."
    return (
        f"Score: {selection.criterion} after the last step, averaged over seeds "
        f"{', '.join(map(str, selection.seeds))}. The highest, bold, chose {selection.chosen}; "
        "the test problems had no part in it."
    )
