"""Tables on a terminal, and as plain text where the output isn't one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from pkpo.evaluate.formats import numbered, to_json
from pkpo.evaluate.shown import Table
from pkpo.terminal import console, visible


def show_table(table: Table) -> None:
    """To stdout: with lines and colours on a terminal, aligned text elsewhere."""
    stdout = console()
    if table.title:
        show_lines([table.title])
    if not table.rows:
        return
    if stdout.is_terminal and stdout.width >= _width(table):
        grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
        for place, header in enumerate(table.headers):
            grid.add_column(Text(header), justify="right" if place else "left")
        for row in table.rows:
            name, value, *rest = row
            grid.add_row(Text(name, "bold"), Text(value, "bold"), *map(_cell, rest))
        stdout.print(grid)
    else:
        print(table.plain())
    if table.notes:
        print(numbered(table))


def show_lines(lines: Sequence[str]) -> None:
    """To stdout, with what could steer a terminal spelt out."""
    sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))


def show_json(document: Any) -> None:
    """To stdout, in its encoding, with every character of the data."""
    sys.stdout.write(to_json(document, sys.stdout.encoding or "utf-8"))


def show_csv(text: str) -> None:
    """To stdout: the data as they are, but on a terminal with what could steer it spelt out."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def _cell(text: str) -> Text:
    return Text(text, "dim" if text.startswith("none") else "")


def _width(table: Table) -> int:
    """What the table needs with rich's padding."""
    plain = max(map(len, table.plain().splitlines()))
    return plain + 2 * len(table.headers)
