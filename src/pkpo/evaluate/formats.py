"""JSON, CSV, Markdown, data frames and notebook cells of results."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, cast

from pkpo.evaluate import records
from pkpo.evaluate.shown import (
    Table,
    difference_tables,
    evaluation_table,
    how_to_read,
    moved_tables,
    verdicts,
)

if TYPE_CHECKING:
    import polars as pl

    from pkpo.evaluate.compare import Comparison
    from pkpo.evaluate.estimates import Evaluation


class Formats(ABC):
    """How a result leaves Python, for classes that say what they hold."""

    @abstractmethod
    def records(self) -> list[records.Record]:
        """One flat record a row of the result; what is undefined is None."""

    @abstractmethod
    def to_dict(self) -> records.Record:
        """Everything, nested, ready for JSON."""

    @abstractmethod
    def to_markdown(self) -> str:
        """The tables with their notes."""

    def to_json(self) -> str:
        """Everything as one JSON document; what is undefined is null."""
        return to_json(self.to_dict())

    def to_csv(self) -> str:
        """One line a row of the result; what is undefined is empty."""
        return to_csv(self.records())

    def to_polars(self) -> pl.DataFrame:
        """One row a row of the result; what is undefined is null."""
        import polars as pl

        return pl.DataFrame(self.records(), infer_schema_length=None)


class EvaluationFormats(Formats):
    """For `Evaluation`."""

    def records(self) -> list[records.Record]:
        return records.evaluation_rows(cast("Evaluation", self))

    def to_dict(self) -> records.Record:
        return records.evaluation_record(cast("Evaluation", self))

    def to_markdown(self) -> str:
        return markdown(evaluation_table(cast("Evaluation", self)))

    def _repr_html_(self) -> str:
        return html(evaluation_table(cast("Evaluation", self)))


class ComparisonFormats(Formats):
    """For `Comparison`."""

    def records(self) -> list[records.Record]:
        return records.comparison_rows(cast("Comparison", self))

    def to_dict(self) -> records.Record:
        return records.comparison_record(cast("Comparison", self))

    def to_markdown(self) -> str:
        comparison = cast("Comparison", self)
        parts = [markdown(table) for table in difference_tables(comparison)]
        parts += [_unmarked(how_to_read(comparison)), bullets(verdicts(comparison))]
        parts += [markdown(table) for table in moved_tables(comparison)]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        comparison = cast("Comparison", self)
        said = [how_to_read(comparison), *verdicts(comparison)]
        return "\n".join(
            [
                *(html(table) for table in difference_tables(comparison)),
                *(f"<p>{escape(text)}</p>" for text in said),
                *(html(table) for table in moved_tables(comparison)),
            ]
        )


def to_json(document: Any, encoding: str = "utf-8") -> str:
    """JSON text that every reader takes: without NaN, with what `encoding` lacks escaped, and
    ending in a newline."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, allow_nan=False)
    return text + "\n"


def to_csv(rows: Sequence[records.Record]) -> str:
    """A line a record, under the names of the first."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def markdown(table: Table) -> str:
    """The table in Markdown, its title above and its notes below."""
    align = ["---"] + ["---:"] * (len(table.headers) - 1)
    cells = [[_unmarked(cell) for cell in row] for row in (table.headers, *table.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], align, *cells[1:])]
    parts = [f"**{table.title}**"] if table.title else []
    if table.rows:
        parts.append("\n".join(lines))
    if table.notes:
        parts.append(numbered(table))
    return "\n\n".join(parts)


def _unmarked(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def numbered(table: Table) -> str:
    """The notes, a line each, as the cells refer to them."""
    return "\n".join(f"[{i}] {note}" for i, note in enumerate(table.notes, start=1))


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def html(table: Table) -> str:
    """The table as a fragment of HTML, its title above and its notes below."""
    title = f"<p><strong>{escape(table.title)}</strong></p>" if table.title else ""
    if not table.rows:
        return title
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.headers)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    notes = "".join(f"<li>[{i}] {escape(n)}</li>" for i, n in enumerate(table.notes, start=1))
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
        + (f'<ul class="notes" style="list-style: none">{notes}</ul>' if notes else "")
    )
