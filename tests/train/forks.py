"""Work and commands in processes that are forked from one that has imported all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .interference import Moment

TESTS = Path(__file__).parents[1]


class Running:
    """A command that was started; its process id is that of its session too."""

    def __init__(self, pid: int, out: Path, err: Path, wait: Callable[[], int]) -> None:
        self.pid, self._out, self._err, self._wait = pid, out, err, wait
        self.code: int | None = None

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        if self.code is None:
            self.code = self._wait()
        return self.code

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()


class Attempts:
    """Has `attempts.py` work on run directories, one process at a time."""

    def __init__(self, folder: Path) -> None:
        given = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        given["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "train.attempts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | given,
            text=True,
            bufsize=1,
        )
        self._cache, self._folder = folder / "cache", folder

    def _order(self, **order: object) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def work(
        self,
        run: Path,
        *,
        kill: tuple[Moment, int] | None = None,
        kill_after: float | None = None,
        record: Path | None = None,
        cache: Path | None = None,
    ) -> int:
        """Work on `run`; returns the exit code.

        Args:
            kill: the process kills itself at that occurrence of that moment.
            kill_after: its group is killed after so many seconds.
            record: a file for all moments.
            cache: of warm starts, in place of the common one.
        """
        child = self._order(
            run=str(run),
            cache=str(cache or self._cache),
            kill=kill and [*kill[0], kill[1]],
            record=record and str(record),
        )
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        return self._answer()

    @contextlib.contextmanager
    def started(
        self,
        *arguments: object,
        cache: Path,
        most_bytes: int | None = None,
        figures: bool = False,
        slow_until: Path | None = None,
    ) -> Iterator[Running]:
        """A command of pkpo, whose whole session is killed at the end.

        Args:
            cache: of warm starts.
            most_bytes: the system lets none of its files grow beyond that.
            figures: whether its report has some.
            slow_until: its training waits a while before each step until this file is there.
        """
        out, err = self._folder / "out", self._folder / "err"
        child = self._order(
            command=[str(argument) for argument in arguments],
            env={"PKPO_CACHE": str(cache)},
            out=str(out),
            err=str(err),
            most_bytes=most_bytes,
            figures=figures,
            slow_until=slow_until and str(slow_until),
        )
        running = Running(child, out, err, self._answer)
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            running.ended()

    def command(self, *arguments: object, **how: Any) -> Running:
        """`started`, to its end."""
        with self.started(*arguments, **how) as running:
            running.ended()
        return running

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()
