"""Consoles; tests/cli/test_outputs.py has what commands do with streams that fail."""

from __future__ import annotations

import pytest
from rich.table import Table

from pkpo.terminal import console


def test_piped_tables_are_whole_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(*(f"a long name of column {i}" for i in range(9)), title="wide", expand=False)
    table.add_row(*("0.5*max@4 + 0.5*mean" for _ in range(9)))
    console().print(table)
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("a long name of column") == out.count("0.5*max@4 + 0.5*mean") == 9
