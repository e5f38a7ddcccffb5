"""What a running job shows."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import pytest
from rich.console import Console

from pkpo import errors
from pkpo.files import write_atomically
from pkpo.train.progress import Progress


def row(step: int) -> dict[str, object]:
    return {
        "step": step,
        "objective": "max@2",
        "pass@1": 0.25,
        "pass@4": 0.5,
        "entropy": 1.5,
        "cumulative_solve_rate": 0.125,
        "signal_fraction": 0.75,
        "samples_per_second": 12345.0,
        "transform_share": 0.01,
    }


def write(path: Path, *steps: int, rest: str = "") -> None:
    path.write_text("".join(json.dumps(row(step)) + "\n" for step in steps) + rest)


def make(tmp_path: Path, *, terminal: bool = False) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200)
    files = {"k=1": tmp_path / "one.jsonl", "k=2": tmp_path / "two.jsonl"}
    return Progress(console, 20, files, num_generations=4), out


def test_lines_come_at_each_tenth_of_the_way(tmp_path: Path):
    progress, out = make(tmp_path)
    with progress:
        progress.refresh()
        for step in range(20):
            write(tmp_path / "one.jsonl", *range(step + 1))
            progress.refresh()
            progress.refresh()
    lines = out.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == [f"{n}/20" for n in range(2, 21, 2)]
    for text in ("k=1", "pass@1 25.0%", "pass@4 50.0%", "entropy 1.50", "12.5%", "75%", "12,345"):
        assert text in lines[0]


def test_half_lines_are_read_when_they_are_whole(tmp_path: Path):
    progress, out = make(tmp_path)
    full = json.dumps(row(1))
    write(tmp_path / "one.jsonl", 0, rest=full[:20])
    progress.refresh()
    assert out.getvalue() == ""
    write(tmp_path / "one.jsonl", 0, 1)
    progress.refresh()
    assert "2/20" in out.getvalue()


def test_a_file_cut_back_is_read_again(tmp_path: Path):
    progress, _ = make(tmp_path)
    write(tmp_path / "one.jsonl", *range(10))
    progress.refresh()
    write(tmp_path / "one.jsonl", 0, 1)
    progress.refresh()
    tail = progress._tails["k=1"]
    assert [r["step"] for r in tail.rows] == [0, 1]


def test_a_file_replaced_by_a_longer_one_is_read_again(tmp_path: Path):
    """A resumed arm cuts its file back and may outgrow the old one between two looks."""
    progress, _ = make(tmp_path)
    path = tmp_path / "one.jsonl"
    write(path, *range(3))
    progress.refresh()
    lines = [json.dumps(row(step) | {"pass@1": 0.123456789 + step / 100}) for step in range(6)]
    write_atomically(path, lambda p: p.write_text("".join(line + "\n" for line in lines)))
    progress.refresh()
    assert progress._tails["k=1"].rows == [json.loads(line) for line in lines]


def test_the_table_has_a_row_for_each_arm(tmp_path: Path):
    progress, out = make(tmp_path)
    write(tmp_path / "one.jsonl", 0, 1, 2)
    for name, status in (("k=1", "running"), ("k=2", "waiting")):
        progress.set_status(name, status)
    progress.refresh()
    progress.console.print(progress.table())
    shown = out.getvalue()
    for text in ("k=1", "3/20", "max@2", "25.0%", "k=2", "waiting"):
        assert text in shown


@pytest.mark.parametrize("status", ["done", "failed", "running"])
def test_a_terminal_shows_the_table(tmp_path: Path, status: str):
    progress, out = make(tmp_path, terminal=True)
    write(tmp_path / "one.jsonl", 0, 1, 2)
    with progress:
        progress.set_status("k=1", status)
        progress.refresh()
    assert ("3/20" if status == "running" else status) in out.getvalue()


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInputError("wrong"),
        errors.UndefinedEstimateError("undefined"),
        errors.RunDirectoryError("there"),
        errors.MissingExtraError("reasoning-gym tasks", "reasoning-gym", "reasoning_gym"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_the_border_between_processes(error: Exception):
    """A worker's error that can't be pickled breaks the whole pool."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
