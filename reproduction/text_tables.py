"""Tables as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import re

from reproduction.results import Table

_NUMBER = re.compile(r"[<>≤≥≈~]?\s?[+\-−±]?(\d|\.\d|inf|nan|∞)", re.IGNORECASE)
_NOTHING = ("", "-", "–", "—")


def numeric_columns(table: Table) -> tuple[bool, ...]:
    """Whether each column holds numbers, to be aligned at the right; the first never does."""
    columns = zip(*table.rows) if table.rows else ((),) * len(table.headers)
    return tuple(
        place > 0 and all(cell in _NOTHING or _NUMBER.match(cell) for cell in column)
        for place, column in enumerate(columns)
    )


def to_csv(table: Table) -> str:
    """Headers and rows; title, notes and bold are left out."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.headers)
    writer.writerows(table.rows)
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """A heading, the table with its bold cells, and the notes as a list."""
    lines = [[unmarked(text) for text in table.headers]]
    lines.append(["---:" if numeric else "---" for numeric in numeric_columns(table)])
    for i, row in enumerate(table.rows):
        cells = enumerate(row)
        lines.append(
            [f"**{unmarked(c)}**" if (i, j) in table.bold and c else unmarked(c) for j, c in cells]
        )
    parts = [f"## {unmarked(table.title)}", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    if table.notes:
        parts.append("\n".join(f"- {unmarked(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def unmarked(text: str) -> str:
    """`text` on one line, with what Markdown would take for markup escaped."""
    return re.sub(r"([\\|*<`~])", r"\\\1", " ".join(text.split()))
