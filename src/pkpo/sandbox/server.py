"""A warm interpreter behind the wall, from which each program is forked."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pkpo.sandbox import seccomp
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.wall import SandboxUnavailableError, Wall, command, installed

_PATIENCE_SECONDS = 30.0
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Ending:
    """How a program ended: its exit code, negative for a signal, and its processor time."""

    code: int
    cpu_seconds: float


class Sandbox:
    """Starts programs behind the wall, each in namespaces and with a scratch directory of its
    own. It starts when it is first needed; one for each thread.

    Close it, or use it in a `with` statement: everything in it is killed.

    Args:
        wall: see `pkpo.sandbox.wall.Wall`.

    Attributes:
        wall: that programs are behind; of "auto", from the first program on, the first that
            could hold it.

    Raises:
        SandboxUnavailableError: there is no wall on this machine.
    """

    def __init__(self, wall: Wall = "auto") -> None:
        self._walls = installed(wall)
        self.wall: Wall = self._walls[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, role: str, limits: Limits, files: Sequence[int], scratch: str) -> int:
        """Start a program; returns the number to end it by.

        Args:
            role: of `inside/serve.py`.
            limits: of its whole life.
            files: its descriptors for requests, replies, stdout and stderr.
            scratch: its directory, where there is no wall.

        Raises:
            SandboxUnavailableError: the wall can't be built, or has died.
        """
        request = {
            "role": role,
            "limits": limits.resources(),
            "mount": f"size={limits.scratch_mib}m,mode=777",
            "scratch": scratch,
            "filter": seccomp.program().hex(),
            "clone": seccomp.clone_number(),
        }
        failures: list[str] = []
        for wall in self._walls:
            self.wall = wall
            try:
                if self._process is None:
                    self._open()
                reply = self._asked(request, files)
            except SandboxUnavailableError as error:
                failures.append(str(error))
                continue
            if "pid" in reply:
                self._walls = (wall,)
                return reply["pid"]
            self.close()
            failures.append(f"the sandbox ({wall}) can't hold a program: {reply['failed']}")
        raise SandboxUnavailableError("; ".join(failures))

    def end(self, pid: int) -> Ending:
        """Kill a program with everything in it, if it hasn't ended."""
        reply = self._asked({"end": pid})
        return Ending(reply["code"], reply["cpu"])

    def _open(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_PATIENCE_SECONDS)
        folder = f"{os.environ.get('TMPDIR') or '/tmp'}/pkpo-{secrets.token_hex(8)}"
        with theirs:
            self._process = subprocess.Popen(
                command(self.wall, folder),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )
        self._closing = weakref.finalize(self, _end, self._process, self._control, folder)
        self._heard()

    def _asked(self, request: dict[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        assert self._control is not None
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], files)
        except OSError as error:
            raise self._dead(error) from error
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._control is not None
        try:
            reply = self._control.recv(_LARGEST)
        except OSError as error:
            raise self._dead(error) from error
        if not reply:
            raise self._dead("it hung up")
        return json.loads(reply)

    def _dead(self, error: object) -> SandboxUnavailableError:
        assert self._process is not None
        assert self._process.stderr is not None
        _kill(self._process)
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        self.close()
        return SandboxUnavailableError(f"the sandbox ({self.wall}) failed: {said or error}")

    def close(self) -> None:
        """Kill everything in it."""
        if self._process is not None:
            self._closing()
        self._process = self._control = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _end(process: subprocess.Popen[bytes], control: socket.socket, folder: str) -> None:
    """Of a sandbox that is closed, or that nobody holds any more. The server ends by itself when
    its socket is closed, and with it everything that it started."""
    control.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_SECONDS / 30)
    _kill(process)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
    shutil.rmtree(folder, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
