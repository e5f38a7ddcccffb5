"""`pkpo sweep`: flags, refusals, exit codes. What a sweep does is tested in tests/train."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from pkpo.cli.commands import run
from pkpo.execution import processes
from pkpo.execution.interrupt import Interrupted
from pkpo.execution.pool import ThisProcess
from pkpo.execution.processes import LocalProcesses
from pkpo.report import style, write
from pkpo.train.job import JobError
from pkpo.train.sweep import Sweep, SweepDirectory

TINY = "num_train=50 num_validation=10 num_test=20 size=2 num_examples=1 max_ops=2 lengths=[1,2]"
FLAGS = ["--option", *TINY.split(), "--hidden", "16", "--layers", "1", "--warm-start-steps", "2"]
FLAGS += ["--prompts-per-step", "8", "--steps", "2", "--objectives", "1", "2"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(style, "DPI", 30)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Sweep]:
    """The sweeps that were to be run; none is."""
    sweeps: list[Sweep] = []

    def note(sweep: Sweep) -> Path:
        sweeps.append(sweep)
        return sweep.sweep.path / "summary.md"

    monkeypatch.setattr(Sweep, "run", note)
    return sweeps


def pkpo(*arguments: object) -> int:
    try:
        return run([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def test_a_sweep_from_start_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """In this process: tests/train/sweep has one with workers."""
    monkeypatch.setattr(processes, "LocalProcesses", lambda slots: ThisProcess(lambda: False))
    monkeypatch.setattr(write, "draw_figures", lambda run: ())
    path = tmp_path / "sweep"
    assert (
        pkpo("sweep", *FLAGS, "--vary", "num_generations=2,4", "--workers", 1, "--out", path) == 0
    )
    out = capsys.readouterr().out
    assert "2 cells × 2 arms × 1 seeds = 4 runs" in out
    assert f"Summary: {path / 'summary.md'}" in out
    assert len((path / "results.csv").read_text().splitlines()) == 1 + 2 * 2 * 2 * 6
    assert (path / "command.txt").read_text().startswith("pkpo sweep --option num_train=50")
    before = (path / "summary.csv").read_bytes()
    for name in ("summary.csv", "summary.md", "sweep.png"):
        (path / name).unlink()
    assert pkpo("report", path) == 0
    assert (path / "summary.csv").read_bytes() == before
    assert pkpo("report", path / "cells" / "num_generations=4") == 0
    assert pkpo("sweep", "--resume", path) == 0


def test_flags_are_those_of_a_job(ran: list[Sweep], tmp_path: Path):
    arguments = ["--vary", "learning_rate=1e-4,3e-4", "--vary", "option.reward=binary,cells"]
    assert pkpo("sweep", *FLAGS, *arguments, "--seeds", 3, 4, "--workers", 1) == 0
    (sweep,) = ran
    assert sweep.sweep.path.parent == Path("runs")
    assert sweep.sweep.path.name.startswith("sweep-grid-programs-2")
    assert sweep.executor.slots == 1
    configs = [run.config for _, run in sweep.sweep.runs]
    assert [c.arms[0].learning_rate for c in configs] == [1e-4, 1e-4, 3e-4, 3e-4]
    assert [c.task.options["reward"] for c in configs] == ["binary", "cells"] * 2
    for config in configs:
        assert config.seeds == (3, 4)
        assert config.training.steps == 2
        assert config.task.options["num_train"] == 50
        assert [arm.name for arm in config.arms] == ["k=1", "k=2"]


def test_a_grid_can_come_from_a_file(ran: list[Sweep], tmp_path: Path):
    assert pkpo("sweep", *FLAGS, "--vary", "steps=2,3", "--out", tmp_path / "one") == 0
    assert pkpo("sweep", "--config", tmp_path / "one/sweep.json", "--out", tmp_path / "two") == 0
    first, second = (SweepDirectory.open(tmp_path / name).settings for name in ("one", "two"))
    assert first == second
    assert [cell.name for cell in second.cells()] == ["steps=2", "steps=3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "colour=1"], "can't vary 'colour'; settings: task.name"),
        (["--vary", "steps"], "NAME=VALUE,VALUE,..."),
        (["--vary", "steps="], "training.steps has no values"),
        (["--vary", "steps=3,3"], "must be distinct"),
        (["--vary", "steps=3,none"], "cell steps=none: training.steps: Input should be a valid"),
        (["--vary", "num_generations=4,1"], "cell num_generations=1: arm 'k=1'"),
        (["--vary", "option.size=2,1"], "cell size=1"),
        (["--vary", "option.colour=red"], "colour"),
        (["--vary", "device=cpu,quantum"], "cell device=quantum"),
        (["--vary", "task=grid-programs,chess"], "chess"),
        (["--vary", "seeds=1,2"], "flags of their own"),
        (["--vary", "steps=3", "--vary", "training.steps=4"], "given twice"),
        (["--workers", "0"], "workers"),
        (["--config", "nowhere.json"], "nowhere.json"),
        (["--config", "grid.json", "--vary", "steps=3"], "leave out --vary"),
        (["--resume", "nowhere"], "no sweep"),
        (["--resume", "nowhere", "--steps", "3"], "leave out --steps"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused_before_anything_is_written(
    ran: list[Sweep],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    base = [] if {"--resume", "--config"} & set(arguments) else FLAGS
    out = [] if "--resume" in arguments else ["--out", str(tmp_path / "sweep")]
    of_files = len(arguments) == 2 and arguments[1].startswith("nowhere")
    assert pkpo("sweep", *base, *arguments, *out) == (1 if of_files else 2)
    err = capsys.readouterr().err
    assert err.startswith("pkpo: ")
    assert message in err
    assert "Traceback" not in err
    assert not ran
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"vary": {}}', '{"base": {"arms": []}}'])
def test_broken_grids_are_refused(
    ran: list[Sweep], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
):
    (tmp_path / "grid.json").write_text(content)
    assert pkpo("sweep", "--config", tmp_path / "grid.json", "--out", tmp_path / "sweep") == 1
    assert capsys.readouterr().err.startswith("pkpo: ")
    assert not (tmp_path / "sweep").exists()


def test_an_existing_folder_is_not_overwritten(ran: list[Sweep], tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "notes").write_text("mine")
    assert pkpo("sweep", *FLAGS, "--out", tmp_path / "sweep") == 1
    assert [p.name for p in (tmp_path / "sweep").iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JobError("one of them failed"), 1),
        (Interrupted("goes on", signal.SIGINT), 130),
        (Interrupted("goes on", signal.SIGTERM), 143),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
):
    def fail(sweep: Sweep) -> Path:
        raise error

    monkeypatch.setattr(Sweep, "run", fail)
    assert pkpo("sweep", *FLAGS, "--out", tmp_path / "sweep") == code
    assert str(error) in capsys.readouterr().err


def test_ray_is_asked_for_where_it_is_missing(
    ran: list[Sweep],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert pkpo("sweep", *FLAGS, "--ray", "local", "--out", tmp_path / "sweep") == 1
    assert re.search(r"needs the package 'ray'.*pip install \S*\[ray\]", capsys.readouterr().err)
    assert not (tmp_path / "sweep").exists()


def test_without_ray_work_runs_in_processes(ran: list[Sweep], tmp_path: Path):
    assert pkpo("sweep", *FLAGS, "--out", tmp_path / "sweep") == 0
    assert isinstance(ran[0].executor, LocalProcesses)
    cells = json.loads((tmp_path / "sweep" / "cells.json").read_text())
    assert cells == [
        {"cell": "all", "name": "all", "settings": {}, "arms": {"k=1": "k=1", "k=2": "k=2"}}
    ]


def test_help(capsys: pytest.CaptureFixture[str]):
    assert pkpo("sweep", "--help") == 0
    assert "--vary" in capsys.readouterr().out
