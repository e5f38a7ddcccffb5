"""The comparison as tables: Markdown, plain text for a terminal, and CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace

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

# Header of the column, name in CSV, attribute of a row, decimals, whether it is a chance.
_COVERAGE = (
    ("entropy", "entropy", "entropy", 2, False),
    ("distinct", "distinct_solutions", "distinct_solutions", 2, False),
    ("train solved %", "cumulative_solve_rate", "cumulative_solve_rate", 1, True),
    ("gained", "problems_gained", "gained", 1, False),
    ("lost", "problems_lost", "lost", 1, False),
)


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
    """Per arm: number of finished seeds and pass@k in per cent; bold: the highest means."""
    bold = set()
    for j, k in enumerate(summary.ks, start=2):
        means = [row.pass_at_k[k].mean if k in row.pass_at_k else -1.0 for row in summary.rows]
        highest = max(means)
        if highest >= 0.0 and means.count(highest) == 1:
            bold.add((means.index(highest), j))
    return Table(
        headers=("arm", "seeds", *_at(summary, "pass@{} %")),
        rows=tuple((row.label, *_scores(summary, row)) for row in summary.rows),
        notes=_score_notes(summary),
        bold=frozenset(bold),
    )


def coverage_table(summary: Summary) -> Table:
    """Per arm: entropy, solve rate, problems gained and lost, where they were measured."""
    shown = [
        column
        for column in _COVERAGE
        if any(getattr(row, column[2]) is not None for row in summary.rows)
    ]
    notes = _coverage_notes(summary)
    return Table(
        headers=("arm", *(header for header, *_ in shown)),
        rows=tuple(
            (
                row.label,
                *(
                    format_estimate(getattr(row, attribute), decimals, percent=chance)
                    for _, _, attribute, decimals, chance in shown
                ),
            )
            for row in summary.rows
        ),
        notes=tuple(notes[header] for header, *_ in shown if notes.get(header)),
    )


def family_tables(summary: Summary) -> tuple[Table, ...]:
    """Per family, every member: its validation score and its pass@k in per cent."""
    tables = []
    for selection in summary.selections:
        rows = []
        for row in summary.members:
            if row.name in selection.members:
                seeds, *scores = _scores(summary, row)
                found = selection.scores.get(row.name)
                score = ABSENT if found is None else _number(found, 2, percent=True)
                rows.append((row.name, seeds, score, *scores))
        tables.append(
            Table(
                headers=(selection.family, "seeds", "score %", *_at(summary, "pass@{} %")),
                rows=tuple(rows),
                notes=(_selection_note(selection),),
                bold=frozenset((i, 2) for i, r in enumerate(rows) if r[0] == selection.chosen),
            )
        )
    return tuple(tables)


def change_table(summary: Summary) -> Table:
    """Per arm: pass@k minus the base's of the same seed, in percentage points."""
    rows = tuple(
        (
            row.label,
            *(format_estimate(row.change_at_k.get(k), signed=True) for k in summary.ks),
        )
        for row in summary.rows
        if row.name != BASE_NAME
    )
    note = (
        "Percentage points above the warm-started policy of the same seed; pairing by seed "
        "takes the differences between warm starts out of the standard error."
    )
    return Table(("arm", *_at(summary, "Δ pass@{}")), rows, (note,))


def seed_table(summary: Summary) -> Table:
    """Per arm and seed: pass@k in per cent."""
    rows = []
    for row in summary.rows:
        for i, seed in enumerate(row.seeds):
            found = [row.pass_at_k.get(k) for k in summary.ks]
            cells = [_number(e.values[i], 1, percent=True) if e else ABSENT for e in found]
            rows.append((row.label, str(seed), *cells))
    return Table(("arm", "seed", *_at(summary, "pass@{} %")), tuple(rows))


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


def _at(summary: Summary, header: str) -> tuple[str, ...]:
    return tuple(header.format(k) for k in summary.ks)


def _scores(summary: Summary, row: SummaryRow) -> tuple[str, ...]:
    """Seeds, and pass@k in per cent."""
    scores = (format_estimate(row.pass_at_k.get(k), percent=True) for k in summary.ks)
    return f"{len(row.seeds)}/{summary.num_seeds}", *scores


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


def to_text(summary: Summary, width: int = 120) -> str:
    """`to_rich` as plain text without escape codes.

    Args:
        summary: the comparison.
        width: the most characters a line; names and numbers are folded where that is too few.
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
    names = [*_at(summary, "pass@{}"), *_at(summary, "change_pass@{}"), *(c[1] for c in _COVERAGE)]
    families = {name: s for s in summary.selections for name in s.members}
    header = ["arm", "seeds", *(f"{name}_{part}" for name in names for part in ("mean", "se"))]
    rows = []
    for row in (*(row for row in summary.rows if row.name not in families), *summary.members):
        found = [row.pass_at_k.get(k) for k in summary.ks]
        found += [row.change_at_k.get(k) for k in summary.ks]
        found += [getattr(row, attribute) for _, _, attribute, *_ in _COVERAGE]
        rows.append([row.name, len(row.seeds), *means_and_errors(found)])
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


def _coverage_notes(summary: Summary) -> dict[str, str]:
    """By header."""
    k = summary.reach_k
    guess = "" if summary.exact else ", with the estimated p in its place"
    return {
        "entropy": "Entropy: nats per completion.",
        "distinct": "Distinct: mean number of distinct correct answers found per problem.",
        "train solved %": "Train solved: training problems solved at least once by the last step.",
        "gained": f"Gained, lost: problems per seed whose own pass@{k}, the chance 1 - (1 - p)^{k} "
        f"that {k} samples solve it, rose to at least {REACH} from below, or fell below it; that "
        f"is at p = {100 * reach_probability(k):.1f} % a sample{guess}."
        if k is not None
        else "",
    }


def _selection_note(selection: Selection) -> str:
    if selection.chosen is None:
        return "None is chosen until all members have finished some seed in common."
    return (
        f"Score: {selection.criterion} after the last step, averaged over seeds "
        f"{', '.join(map(str, selection.seeds))}. The highest, bold, chose {selection.chosen}; "
        "the test problems had no part in it."
    )
