"""What `pkpo eval` and `pkpo compare` print: tables with lines and colours on a terminal, aligned
text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from pkpo.tables import Table, bullets, fits, json_text
from pkpo.terminal import console, visible

if TYPE_CHECKING:
    from rich.console import Console

_FORCED = {"FORCE_COLOR", "TTY_COMPATIBLE"}
"""Variables by which rich takes something else for a terminal."""


def show(*parts: str | Table) -> None:
    """Lines and tables to stdout, with what could steer a terminal spelt out."""
    for part in parts:
        if isinstance(part, Table):
            _show_table(part)
        else:
            sys.stdout.write(f"{visible(part)}\n")


def _show_table(table: Table) -> None:
    if table.title:
        show(table.title)
    if not table.rows:
        return
    stdout = _terminal(stderr=False)
    style = partial(_style, table)
    grid = table.to_rich(style=style, title=None, show_edge=False) if stdout else None
    if stdout and grid and fits(stdout, grid):
        stdout.print(grid)
    else:
        show(table.to_text())
    show(*table.marked_notes())


def _style(table: Table, row: int, column: int) -> str:
    if column < 2:
        return "bold"
    return "dim" if table.rows[row][column].startswith("none") else ""


def _terminal(*, stderr: bool) -> Console | None:
    """The console, if there is one to draw on; else rich isn't even imported."""
    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty() and not _FORCED & os.environ.keys():
        return None
    found = console(stderr=stderr)
    return found if found.is_terminal else None


def show_page(parts: Iterable[Sequence[str] | Table], *, markdown: bool) -> None:
    """Lines and tables to stdout, with an empty line between them."""
    if markdown:
        texts = (p.to_markdown() if isinstance(p, Table) else bullets(p) for p in parts)
        return show("\n\n".join(texts))
    spaced = [line for p in parts for line in ("", *([p] if isinstance(p, Table) else p))]
    return show(*spaced[1:])


def show_json(document: Any) -> None:
    """To stdout, in its encoding, with every character of the data."""
    sys.stdout.write(json_text(document, sys.stdout.encoding or "utf-8"))


def show_csv(text: str) -> None:
    """To stdout: the data as they are, but on a terminal with what could steer it spelt out."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Says on stderr, if that is a terminal, what is being done."""
    stderr = _terminal(stderr=True)
    with stderr.status(visible(text)) if stderr else nullcontext():
        yield


@contextmanager
def counting(total: int) -> Iterator[Callable[[int], object]]:
    """What is to be told how many of `total` are done: a bar on stderr, if that is a terminal."""
    stderr = console(stderr=True)
    if not stderr.is_terminal:
        yield lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        counted = bar.add_task("", total=total)
        yield lambda done: bar.update(counted, completed=done)


def warn(text: str) -> None:
    """A line on stderr."""
    print(f"pkpo: {visible(text)}", file=sys.stderr)
