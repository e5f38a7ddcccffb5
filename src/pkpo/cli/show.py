"""Tables on a terminal, and as plain text where the output isn't one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pkpo.evaluate.formats import numbered
from pkpo.evaluate.shown import Table


def show_table(table: Table) -> None:
    """To stdout: with lines and colours on a terminal, aligned text elsewhere."""
    console = Console()
    if table.title:
        show_lines([table.title])
    if not table.rows:
        return
    if console.is_terminal and console.width >= _width(table):
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
        for place, header in enumerate(table.headers):
            grid.add_column(Text(header), justify="right" if place else "left")
        for row in table.rows:
            name, value, *rest = row
            grid.add_row(Text(name, "bold"), Text(value, "bold"), *map(_cell, rest))
        console.print(grid)
    else:
        print(table.plain())
    if table.notes:
        print(numbered(table))


def show_lines(lines: Sequence[str]) -> None:
    """To stdout, unchanged whatever they hold."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _cell(text: str) -> Text:
    return Text(text, "dim" if text.startswith("none") else "")


def _width(table: Table) -> int:
    """What the table needs with rich's padding."""
    plain = max(map(len, table.plain().splitlines()))
    return plain + 2 * len(table.headers)
