"""Fixtures of the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkpo.report import style, write

from .made_up_runs import write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run directory; keyword arguments as of `write_run`."""
    return lambda **options: write_run(tmp_path / "run", **options)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which take most of the time."""
    monkeypatch.setattr(write, "draw_figures", lambda run: ())


@pytest.fixture
def coarse_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few dots."""
    monkeypatch.setattr(style, "DPI", 30)
