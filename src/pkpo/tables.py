"""Tables of text, the same in a terminal, as plain text, Markdown, CSV and HTML.

Nothing here imports anything but the standard library until a terminal's table is asked for.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pkpo.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_MARKUP = re.compile(r"[\\|*`~]|<(?! )")
_UNBOUNDED = 100_000


@dataclass(frozen=True)
class Table:
    """A table of text. What could steer a terminal is spelt out (`pkpo.terminal.visible`).

    Args:
        headers: column titles.
        rows: cells, as many in each as there are headers. Without rows there is a title and
            notes alone.
        notes: sentences to stand below.
        title: what it is about; may be empty.
        bold: (row, column) of the cells that stand out.
        words: the columns that are aligned left; the others are aligned right.
        numbered: whether cells refer to the notes, as [1] to the first.

    Raises:
        ValueError: rows and headers differ in length.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    title: str = ""
    bold: frozenset[tuple[int, int]] = frozenset()
    words: frozenset[int] = frozenset({0})
    numbered: bool = False

    def __post_init__(self) -> None:
        for name in ("headers", "notes"):
            object.__setattr__(self, name, _cells(getattr(self, name)))
        object.__setattr__(self, "rows", tuple(map(_cells, self.rows)))
        object.__setattr__(self, "title", visible(self.title, cell=True))
        object.__setattr__(self, "bold", frozenset(self.bold))
        object.__setattr__(self, "words", frozenset(self.words))
        if any(len(row) != len(self.headers) for row in self.rows):
            raise ValueError(f"table {self.title!r}: rows and headers differ in length")

    def marked_notes(self) -> tuple[str, ...]:
        """The notes as cells refer to them: "[1] ..." where they are numbered."""
        if not self.numbered:
            return self.notes
        return tuple(f"[{i}] {note}" for i, note in enumerate(self.notes, start=1))

    def to_text(self) -> str:
        """Aligned columns, without title and notes."""
        lines = [self.headers, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        aligns = ["<" if j in self.words else ">" for j in range(len(widths))]
        return "\n".join(
            "  ".join(
                f"{text:{align}{width}}" for text, align, width in zip(line, aligns, widths)
            ).rstrip()
            for line in lines
        )

    def to_markdown(self, *, heading: int = 0) -> str:
        """Title, cells and notes.

        Args:
            heading: level of the title; 0 for a bold line.
        """
        parts = []
        if self.title:
            title = markdown_escape(self.title)
            parts.append(f"{'#' * heading} {title}" if heading else f"**{title}**")
        if self.rows:
            align = ["---" if i in self.words else "---:" for i in range(len(self.headers))]
            cells = [list(map(markdown_escape, row)) for row in self.rows]
            for i, j in self.bold:
                cells[i][j] = cells[i][j] and f"**{cells[i][j]}**"
            lines = [map(markdown_escape, self.headers), align, *cells]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        if self.notes:
            notes = list(map(markdown_escape, self.marked_notes()))
            parts.append("\n".join(notes) if self.numbered else bullets(notes))
        return "\n\n".join(parts)

    def to_csv(self) -> str:
        """Headers and cells; title, notes and what is bold are left out."""
        return rows_to_csv(self.headers, self.rows)

    def to_html(self, *, keys: Mapping[str, str] | None = None, muted: Collection[str] = ()) -> str:
        """Title, cells and notes as a fragment for pages with the style of `pkpo.report.page`.

        Args:
            keys: colours of the dots that stand before cells of the first column, by text.
            muted: cells of the first column whose rows are in grey.
        """
        parts = []
        if self.title:
            parts.append(f"<p><strong>{escape(self.title)}</strong></p>")
        if self.rows:
            body = "\n".join(
                f"<tr{_css('muted' if row[0] in muted else '')}>"
                f"{''.join(self._html_cell(i, j, keys or {}) for j in range(len(row)))}</tr>"
                for i, row in enumerate(self.rows)
            )
            head = "".join(
                f'<th scope="col"{self._html_class(None, j)}>{escape(text)}</th>'
                for j, text in enumerate(self.headers)
            )
            parts.append(
                f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
                f"<tbody>\n{body}\n</tbody></table></div>"
            )
        if self.notes:
            style = ' style="list-style: none"' if self.numbered else ""
            notes = "".join(f"<li>{escape(note)}</li>" for note in self.marked_notes())
            parts.append(f'<ul class="notes"{style}>{notes}</ul>')
        return "\n".join(parts)

    def _html_cell(self, row: int, column: int, keys: Mapping[str, str]) -> str:
        text = self.rows[row][column]
        color = keys.get(text) if column == 0 else None
        key = f'<span class="key" style="background:{color}"></span>' if color else ""
        return f"<td{self._html_class(row, column)}>{key}{escape(text)}</td>"

    def _html_class(self, row: int | None, column: int) -> str:
        words = "words" if column and column in self.words else ""
        return _css(words, "bold" if (row, column) in self.bold else "")

    def to_rich(
        self, *, style: Callable[[int, int], str] | None = None, **options: Any
    ) -> RichTable:
        """For a terminal, with the title and without notes; long cells are folded.

        Args:
            style: that of the cell at (row, column); without, bold cells are bold.
            options: keywords of `rich.table.Table`.
        """
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        options = {"title": self.title or None, "box": box.SIMPLE_HEAD} | options
        grid = RichTable(caption_justify="left", **options)
        for j, header in enumerate(self.headers):
            justify = "left" if j in self.words else "right"
            grid.add_column(Text(header), justify=justify, overflow="fold")
        of_cell = style or (lambda i, j: "bold" if (i, j) in self.bold else "")
        for i, row in enumerate(self.rows):
            grid.add_row(*(Text(text, of_cell(i, j)) for j, text in enumerate(row)))
        return grid


def fits(console: Console, grid: RichTable) -> bool:
    """Whether the console has room for every cell of a table on one line."""
    from rich.measure import Measurement

    options = console.options.update(width=_UNBOUNDED)
    return Measurement.get(console, options, grid).maximum <= console.width


def rows_to_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Values as they are; None gives an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue()


def records_to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """One line a record, under the names of the first; there must be one.

    Raises:
        ValueError: a record has a name that the first one lacks.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def json_text(document: Any, encoding: str = "utf-8") -> str:
    """JSON text that every reader takes: without NaN, with what `encoding` lacks escaped, and
    ending in a newline."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2, allow_nan=False)
    return text + "\n"


def markdown_escape(text: str) -> str:
    r"""`text` with what Markdown, also in a cell of a table, would take for markup escaped.

    >>> markdown_escape("n < k | <b> *")
    'n < k \\| \\<b> \\*'
    """
    return _MARKUP.sub(r"\\\g<0>", text)


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _cells(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(visible(text, cell=True) for text in texts)


def _css(*classes: str) -> str:
    given = " ".join(filter(None, classes))
    return f' class="{given}"' if given else ""
