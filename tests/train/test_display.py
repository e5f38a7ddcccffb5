"""What a running job shows, and that it never ends the job."""

from __future__ import annotations

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pkpo import errors
from pkpo.execution.pool import Failure, Item, State
from pkpo.files import write_atomically
from pkpo.tables import fits
from pkpo.train import display
from pkpo.train.config import ArmSettings
from pkpo.train.display import JobDisplay
from pkpo.train.parts import Part
from pkpo.train.run_directory import WARM_START_PROGRESS, RunDirectory

from . import attempts
from .tiny import make_config

STEPS = 20


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


class Shown:
    """The display of a job with two arms, whose files tests write."""

    def __init__(
        self,
        folder: Path,
        *,
        terminal: bool = False,
        width: int = 200,
        names: tuple[str, ...] = ("k=1", "k=2"),
        file: Any = None,
    ) -> None:
        self.out = io.StringIO() if file is None else file
        self.console = Console(file=self.out, force_terminal=terminal, width=width, height=50)
        run = RunDirectory(folder, make_config(steps=STEPS))
        parts = [Part(run, Item("warm start", attempts.work), False, 0)]
        for number, name in enumerate(names):
            arm = ArmSettings(name=f"arm {number}", schedule="mean", learning_rate=0.1)
            parts.append(Part(run, Item(name, attempts.work), False, 0, arm))
        self.progress = JobDisplay(self.console, parts, run.config)
        self.pool = self.progress.pool
        self.metrics = [run.arm(part.arm, 0).metrics for part in parts if part.arm is not None]
        self.warm = run.warm_start(0)
        for path in (*self.metrics, self.warm / "x"):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.state("k=1", State.RUNNING)

    def state(self, name: str, state: State) -> None:
        if name in self.pool.states:
            self.pool.states[name] = state

    def write(self, *steps: int, rest: str = "", arm: int = 0) -> None:
        text = "".join(json.dumps(row(step)) + "\n" for step in steps)
        self.metrics[arm].write_text(text + rest)

    def rows(self) -> list[dict[str, Any]]:
        return self.progress.arms[0].metrics.rows


# What is shown


def test_lines_come_at_each_tenth_of_the_way(tmp_path: Path):
    shown = Shown(tmp_path)
    with shown.progress as progress:
        progress.look()
        for step in range(STEPS):
            shown.write(*range(step + 1))
            progress.look()
            progress.look()
    lines = shown.out.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == [f"{n}/20" for n in range(2, 21, 2)]
    for text in ("k=1", "pass@1 25.0%", "pass@4 50.0%", "entropy 1.50", "12.5%", "75%", "12,345"):
        assert text in lines[0]


def test_half_lines_are_read_when_they_are_whole(tmp_path: Path):
    shown = Shown(tmp_path)
    shown.write(0, rest=json.dumps(row(1))[:20])
    shown.progress.look()
    assert shown.out.getvalue() == ""
    shown.write(0, 1)
    shown.progress.look()
    assert "2/20" in shown.out.getvalue()


def test_a_file_cut_back_is_read_again(tmp_path: Path):
    shown = Shown(tmp_path)
    for steps in (range(10), range(2)):
        shown.write(*steps)
        shown.progress.look()
    assert [r["step"] for r in shown.rows()] == [0, 1]


def test_a_file_replaced_by_a_longer_one_is_read_again(tmp_path: Path):
    """A resumed arm cuts its file back and may outgrow the old one between two looks."""
    shown = Shown(tmp_path)
    shown.write(*range(3))
    shown.progress.look()
    lines = [json.dumps(row(step) | {"pass@1": 0.123456789 + step / 100}) for step in range(6)]
    text = "".join(line + "\n" for line in lines)
    write_atomically(shown.metrics[0], lambda p: p.write_text(text))
    shown.progress.look()
    assert shown.rows() == [json.loads(line) for line in lines]


def test_the_table_has_a_row_for_each_arm(tmp_path: Path):
    shown = Shown(tmp_path)
    shown.write(0, 1, 2)
    shown.progress.look()
    shown.console.print(shown.progress.table())
    for text in ("k=1", "3/20", "max@2", "25.0%", "k=2", "waiting", "0 of 2 runs ended"):
        assert text in shown.out.getvalue()


@pytest.mark.parametrize(
    ("state", "text"),
    [(State.DONE, "done"), (State.RUNNING, "3/20"), (State.STOPPED, "stopped at 3")],
)
def test_a_terminal_shows_the_table(tmp_path: Path, state: State, text: str):
    shown = Shown(tmp_path, terminal=True)
    shown.write(0, 1, 2)
    with shown.progress as progress:
        shown.state("k=1", state)
        progress.look()
    assert text in shown.out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_failure_is_told_once_with_its_reason(tmp_path: Path, terminal: bool):
    shown = Shown(tmp_path, terminal=terminal)
    shown.write(0, 1, 2)
    with shown.progress as progress:
        shown.pool.fail("k=1", Failure("diverged at step 3"))
        progress.look()
        progress.look()
    assert shown.out.getvalue().count("k=1 failed: diverged at step 3") == 1
    assert ("failed at 3" in shown.out.getvalue()) == terminal


def test_the_time_left_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = iter(range(0, 10_000, 5))
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(now)))
    shown = Shown(tmp_path)
    for steps in (1, 11):
        shown.write(*range(steps))
        shown.progress.look()
    # First seen at second 5 with one step, shown at second 10 with ten more: nine left.
    assert shown.out.getvalue().splitlines()[-1].endswith("  0:04 left")
    table = Console(file=io.StringIO(), width=200)
    table.print(shown.progress.table())
    assert isinstance(table.file, io.StringIO)
    assert "left" in table.file.getvalue()
    assert " left" in shown.progress.overall()


@pytest.mark.parametrize("width", [50, 60, 70, 80, 100, 120, 200])
def test_no_cell_is_cut_at_any_width(tmp_path: Path, width: int):
    names = ("k=1", "8→1 on plateau", "entropy(0.01)")
    shown = Shown(tmp_path, terminal=True, width=width, names=names)
    shown.state(names[1], State.RUNNING)
    for arm in range(3):
        shown.write(*range(12), arm=arm)
    with shown.progress as progress:
        table = progress.table()
    assert fits(shown.console, table)
    headers = [str(column.header) for column in table.columns]
    assert headers[:4] == ["arm", "step", "left", "pass@1"] or width >= 80
    assert set(headers) >= {"arm", "step", "left", "pass@1"}
    if width >= 80:
        assert {"pass@4", "solved", "entropy"} <= set(headers)
    if width >= 120:
        assert {"objective", "samples/s", "transform"} <= set(headers)
    assert "…" not in shown.out.getvalue()


def test_rows_that_move_are_shown_where_room_is_scarce(tmp_path: Path):
    names = tuple(f"arm {i}" for i in range(100))
    shown = Shown(tmp_path, terminal=True, names=names)
    shown.state("arm 90", State.RUNNING)
    with shown.progress as progress:
        progress.look()
    text = shown.out.getvalue()
    assert "arm 90" in text
    assert "57 more rows" in text


# What can't be shown


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        "7",
        "{}",
        '{"step": "many"}',
        '{"step": true}',
        "\0\0",
        "[" * 100_000,
        '{"step": 1, "pass@1": "high", "objective": ["a"], "cumulative_solve_rate": {}}',
        f'{{"step": 1, "pass@1": {10**400}, "entropy": 1e999}}',
    ],
)
def test_damaged_lines_are_passed_over(tmp_path: Path, line: str):
    shown = Shown(tmp_path)
    shown.write(0, rest=f"{line}\n{json.dumps(row(2))}\n")
    shown.progress.look()
    shown.console.print(shown.progress.table())
    assert "3/20" in shown.out.getvalue()


@pytest.mark.parametrize(
    "content", ["", "[1]", "7", '{"step": "x"}', '{"step": 1}', '{"step": null, "loss": []}', "\0"]
)
def test_a_damaged_progress_of_a_warm_start(tmp_path: Path, content: str):
    shown = Shown(tmp_path)
    shown.state("warm start", State.RUNNING)
    (shown.warm / WARM_START_PROGRESS).write_text(content)
    shown.console.print(shown.progress.table())
    assert "Warm start: seed 0, starting" in shown.out.getvalue()


def test_a_folder_in_place_of_a_file(tmp_path: Path):
    shown = Shown(tmp_path)
    shown.metrics[0].mkdir()
    shown.progress.look()
    assert shown.rows() == []


class Broken(io.StringIO):
    """Fails at every write."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        BrokenPipeError(32, "Broken pipe"),
        ValueError("I/O operation on closed file"),
        UnicodeEncodeError("ascii", "→", 0, 1, "ordinal not in range"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_terminal_that_takes_nothing_ends_nothing(
    tmp_path: Path, error: Exception, terminal: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)  # rich's way of giving up
    shown = Shown(tmp_path, terminal=terminal, file=Broken(error))
    with shown.progress as progress:
        for step in range(STEPS):
            shown.write(*range(step + 1))
            progress.look()
        progress.print("Warm start ready.")
        shown.pool.fail("k=1", Failure("→"))
        progress.look()


def test_nothing_that_is_shown_steers_the_terminal(tmp_path: Path):
    shown = Shown(tmp_path, terminal=True)
    harmful = "\x1b]0;title\x07"
    shown.metrics[0].write_text(json.dumps(row(0) | {"objective": harmful}) + "\n")
    with shown.progress as progress:
        progress.look()
        shown.pool.fail("k=2", Failure(f"no problem {harmful}"))
        progress.look()
    assert "\x1b]0" not in shown.out.getvalue()
    assert "\x07" not in shown.out.getvalue()
    assert "\\x1b]0;title" in shown.out.getvalue()


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
