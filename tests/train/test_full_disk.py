"""A full disk: an error that names the file, nothing lost, and the same run afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pkpo.cli.commands import run as run_command
from pkpo.files import write_atomically
from pkpo.report import style
from pkpo.train.json_lines import JsonLines, write_text
from pkpo.train.run_directory import RunDirectory

from .forks import Attempts
from .interference import At, Moment, first_and_last, interfering
from .tiny import assert_same_run, make_config, make_policy, rows, settings, trainer

WRITES = ("half", "sync", "replace")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


# Single files


def test_a_file_that_does_not_fit(tmp_path: Path):
    path = tmp_path / "file"
    write_text(path, "old")
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large") as caught:
        write_text(path, "x" * 2000)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_device_that_is_full(tmp_path: Path):
    def to_full_device(path: Path) -> None:
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x")

    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomically(path, to_full_device)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_text() == "old"


def test_lines_that_do_not_fit(tmp_path: Path):
    """The system takes a part of a line; when there is space again, it is cut off."""
    path = tmp_path / "rows.jsonl"
    with JsonLines(path, before_step=0) as lines, files_of_at_most(100):
        for step in range(3):
            lines.append({"step": step, "value": 0.5})
        with pytest.raises(OSError, match="File too large") as caught:
            lines.append({"step": 3, "text": 50 * "x"})
        assert caught.value.filename == str(path)
    assert path.stat().st_size == 100
    with JsonLines(path, before_step=3, every_step=True) as lines:
        lines.append({"step": 3})
    assert [row["step"] for row in rows(path)] == [0, 1, 2, 3]


# An arm


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_of_an_arm(cache: Path, tmp_path: Path):
    config = make_config().model_copy(update={"completions_every": 3})
    make_policy(config, cache)
    moments: list[Moment] = []
    with interfering(moments.append):
        trainer(config, tmp_path / "whole" / "arm", cache).run()
    writes = [moment for moment in moments if moment.what in WRITES]
    assert {
        Moment("half", "metrics.jsonl"),
        Moment("sync", "metrics.jsonl"),
        Moment("half", "evaluations.jsonl"),
        Moment("half", ".state.pt.part"),
        Moment("replace", "state.pt"),
        Moment("half", ".completions.parquet.part"),
        Moment("half", "model.safetensors"),
        Moment("half", ".evaluation.json.part"),
    } <= set(writes)

    def fill() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number, (moment, occurrence) in enumerate(first_and_last(writes)):
        path = tmp_path / f"run-{number}" / "arm"
        with (
            interfering(At(moment, occurrence, fill)),
            pytest.raises(OSError, match="No space left on device") as caught,
        ):
            trainer(config, path, cache).run()
        assert Path(caught.value.filename).parent == path, moment
        assert not list(path.glob(".*")), moment
        trainer(config, path, cache).run()
        assert_same_run(path, tmp_path / "whole" / "arm")


# The command


@pytest.mark.slow
def test_the_command_says_what_did_not_fit_and_resumes(attempts: Attempts, tmp_path: Path):
    """Checkpoints don't fit at first, though all else of the arm does."""
    given = settings(steps=3) | {"completions_every": 50}
    (tmp_path / "config.json").write_text(json.dumps(given))
    path, cache = tmp_path / "run", tmp_path / "cache"
    made = ("train", "--workers", 1, "--config", tmp_path / "config.json", "--out", path)
    outcome = attempts.command(*made, cache=cache, most_bytes=30_000, figures=True)
    assert outcome.code == 1
    assert "Traceback" not in outcome.err + outcome.out
    assert outcome.err.startswith("pkpo: can't write the report: [Errno 27] File too large: ")
    assert f"`pkpo train --resume {path}` goes on" in outcome.err
    arm = RunDirectory.open(path).arm(RunDirectory.open(path).config.arms[0], 0)
    shown = " ".join(outcome.out.split())
    assert "arm failed: OSError: [Errno 27] File too large: " in shown
    reason = arm.failure.read_text().splitlines()[0]
    assert reason == f"OSError: [Errno 27] File too large: '{arm.checkpoints.last}'"
    assert len(rows(arm.metrics)) == 2
    assert not arm.checkpoints.last.exists()

    outcome = attempts.command("train", "--workers", 1, "--resume", path, cache=cache)
    assert (outcome.code, outcome.err) == (0, "")
    assert not arm.failure.exists()
    config = RunDirectory.open(path).config
    trainer(config, tmp_path / "whole", tmp_path / "cache").run()
    assert_same_run(arm.path, tmp_path / "whole")


def test_a_report_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(style, "DPI", 60)
    config = make_config()
    run = RunDirectory.create(tmp_path / "run", config, "")
    trainer(config, run.arm(config.arms[0], 0).path, cache).run()
    with files_of_at_most(10_000):
        code = run_command(["report", str(run.path)])
    captured = capsys.readouterr()
    assert code == 1
    assert captured.err.startswith(f"pkpo: [Errno 27] File too large: '{run.path}")
    assert not (run.path / "report.html").exists()
    assert not list(run.path.rglob(".*"))
    assert run_command(["report", str(run.path)]) == 0


def test_a_run_directory_that_cannot_be_made_may_be_made_later(tmp_path: Path):
    """The few files that there were space for aren't in the way."""

    def fill() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("versions.json", "command.txt", "config.json"):
        with (
            interfering(At(Moment("half", f".{name}.part"), 0, fill)),
            pytest.raises(RuntimeError, match=rf"No space left on device.*{name}"),
        ):
            RunDirectory.create(tmp_path, make_config(), "first")
        assert not (tmp_path / "config.json").exists()
    RunDirectory.create(tmp_path, make_config(), "second")
    assert (tmp_path / "command.txt").read_text() == "second\n"
