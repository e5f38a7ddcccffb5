"""Work for the pool's tests, importable in its processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pkpo.execution.processes import worker_number

Stop = Callable[[], bool]


def note(path: Path, text: str, *, stop: Stop) -> bool:
    with path.open("a") as file:
        file.write(text + "\n")
    return True


def note_process(path: Path, *, stop: Stop) -> bool:
    return note(path, str(os.getpid()), stop=stop)


def meet(folder: Path, *, stop: Stop) -> bool:
    """Leaves the number of its process, and waits at most a minute for another's."""
    (folder / str(worker_number())).touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return True


def fail(*, stop: Stop) -> bool:
    raise ValueError("no\nsecond line")


def die(*, stop: Stop) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def leave(code: int, *, stop: Stop) -> bool:
    sys.exit(code)


def until_stopped(path: Path, *, stop: Stop) -> bool:
    """Says in `path` that it runs, then waits at most a minute."""
    path.write_text(str(os.getpid()))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if stop():
            return False
        time.sleep(0.01)
    return True


def deaf(path: Path, *, stop: Stop) -> bool:
    path.write_text(str(os.getpid()))
    time.sleep(60)
    return True
