"""One writer at a time, for as long as it lives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pkpo.errors import RunDirectoryError
from pkpo.execution.locks import only_writer

from .watching import alive, wait_for

HOLD = """
import os, sys, time
from pathlib import Path
from pkpo.execution.locks import only_writer
with only_writer(Path(sys.argv[1])):
    if len(sys.argv) > 2:
        readable, writable = os.pipe()
        if os.fork() == 0:
            os.write(writable, b".")
            time.sleep(60)
            os._exit(0)
        os.read(readable, 1)  # the child runs, and has let go
    print("held", flush=True)
    time.sleep(60)
"""

EMPLOY = """
import sys, time
from pathlib import Path
from pkpo.execution.pool import Item
from pkpo.execution.processes import LocalProcesses
from execution.pieces import deaf
if __name__ == "__main__":
    with LocalProcesses(1) as executor:
        executor.start(Item("deaf", deaf, (Path(sys.argv[1]),)))
        time.sleep(60)
"""


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_second_writer_is_refused(tmp_path: Path):
    with only_writer(tmp_path):
        assert names(tmp_path) == ["lock"]
        with (
            pytest.raises(RunDirectoryError, match=rf"in use by process {os.getpid()} on "),
            only_writer(tmp_path),
        ):
            pass
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []
    with only_writer(tmp_path):
        pass


def test_an_error_lets_go(tmp_path: Path):
    with pytest.raises(ValueError, match="mine"), only_writer(tmp_path):
        raise ValueError("mine")
    with only_writer(tmp_path):
        pass


def test_waiting_for_the_other_to_let_go(tmp_path: Path):
    order = []

    def hold() -> None:
        with only_writer(tmp_path):
            held.set()
            time.sleep(0.3)
            order.append("first")

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with only_writer(tmp_path, wait=30):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_many_take_turns(tmp_path: Path):
    """Each adds one to a number that is read and written in two steps."""
    number = tmp_path / "number"
    number.write_text("0")

    def add() -> None:
        for _ in range(10):
            with only_writer(tmp_path, wait=60):
                value = int(number.read_text())
                time.sleep(0.001)
                number.write_text(str(value + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number.read_text() == "40"


@pytest.mark.parametrize("forked", [(), ("forked",)], ids=["", "with a child of its own"])
def test_a_killed_process_holds_nothing(tmp_path: Path, forked: tuple[str, ...]):
    """Nor does a process that it had forked and that outlives it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), *forked],
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            with (
                pytest.raises(RunDirectoryError, match=f"process {process.pid} "),
                only_writer(tmp_path),
            ):
                pass
            process.kill()
            process.wait()
            assert names(tmp_path) == ["lock"]
            with only_writer(tmp_path):
                pass
            assert names(tmp_path) == []
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path):
    (tmp_path / ".state.pt.123.part").write_bytes(b"half")
    (tmp_path / ".model.123.part").mkdir()
    (tmp_path / ".model.123.part" / "config.json").write_text("{")
    (tmp_path / ".mine").write_text("kept")
    (tmp_path / "part").write_text("kept")
    with only_writer(tmp_path):
        assert names(tmp_path) == [".mine", "lock", "part"]


def test_folders_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunDirectoryError, match=r"can't write in .*file"), only_writer(folder):
            pass


def test_a_worker_ends_with_its_parent_whatever_it_is_doing(tmp_path: Path):
    """It sleeps, and asks nobody whether to stop."""
    program, started = tmp_path / "program.py", tmp_path / "started"
    program.write_text(EMPLOY)
    with subprocess.Popen(
        [sys.executable, str(program), str(started)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    ) as process:
        try:
            wait_for(lambda: started.exists() and started.read_text())
            worker = int(started.read_text())
            assert alive(worker)
            process.kill()
            wait_for(lambda: not alive(worker), seconds=5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
