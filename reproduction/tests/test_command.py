"""`python -m reproduction`: flags, the list, refusals. What it makes has tests of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reproduction import driver
from reproduction.__main__ import run
from reproduction.topics import TOPICS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What was to be made; nothing is."""
    calls: list[dict[str, Any]] = []

    def note(names: tuple[str, ...], out: Path, **settings: Any) -> Path:
        calls.append({"names": names, "out": out, **settings})
        return out / "index.html"

    monkeypatch.setattr(driver, "reproduce", note)
    monkeypatch.chdir(tmp_path)
    return calls


def test_without_names_the_topics_are_listed(asked, capsys: pytest.CaptureFixture[str]):
    assert run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [topic.name for topic in TOPICS]
    assert not asked


@pytest.mark.parametrize(
    ("flags", "out", "quick"),
    [
        ([], Path("runs/reproduce"), False),
        (["--quick"], Path("runs/reproduce-quick"), True),
        (["--quick", "--out", "here"], Path("here"), True),
    ],
)
def test_names_and_flags_reach_the_driver(
    asked, capsys: pytest.CaptureFixture[str], flags: list[str], out: Path, quick: bool
):
    assert run(["figure1", "bandit", *flags, "--workers", "3", "--again"]) == 0
    [call] = asked
    assert call["names"] == ("figure1", "bandit")
    assert (call["out"], call["quick"]) == (out, quick)
    assert (call["workers"], call["again"]) == (3, True)
    assert call["command"].startswith("python -m reproduction figure1 bandit")
    assert f"Page: {out / 'index.html'}" in capsys.readouterr().out


def test_bad_names_and_flags_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    assert run(["figure99"]) == 2
    assert "no topic 'figure99'" in capsys.readouterr().err
    assert run(["figure1", "--workers", "0"]) == 2
    assert "--workers must be >= 1, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
