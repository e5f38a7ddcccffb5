"""Programs behind the wall, and talking to them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import tempfile
import time
import weakref
from dataclasses import dataclass
from typing import Any, Literal, Self

from pkpo.errors import PkpoError
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.server import Ending, Sandbox

Why = Literal["time", "memory", "output", "exit", "protocol"]
_CHUNK = 1 << 16
_KILLED_FROM = 16


class ProgramEnded(PkpoError, RuntimeError):
    """A program ended, or was ended, before it replied.

    Attributes:
        why: "time" (of the clock or the processor), "memory", "output" (too much of it), "exit"
            (by itself), or "protocol" (it wrote what isn't a reply).
    """

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why: Why = why


@dataclass(frozen=True)
class Outcome:
    """What became of a program that was run to its end.

    Args:
        status: "ok", "raised" or the `why` of `ProgramEnded`.
        message: of the error; empty for "ok".
        stdout, stderr: what it wrote, cut at the limit.
        seconds: by the clock.
    """

    status: Literal["ok", "raised"] | Why
    message: str
    stdout: str
    stderr: str
    seconds: float


class Program:
    """One program behind the wall, in an interpreter of its own.

    Args:
        sandbox: that starts it.
        limits: of its whole life.
        role: "serve" runs the program and then the calls that come; "check" runs trusted
            checks, whose functions are called outside.

    Close it, or use it in a `with` statement: everything in it is killed.

    Raises:
        SandboxUnavailableError: it can't be held.
    """

    def __init__(
        self, sandbox: Sandbox, limits: Limits, role: Literal["serve", "check"] = "serve"
    ) -> None:
        self.limits, self._sandbox = limits, sandbox
        self._start = time.monotonic()
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._written = 0
        self._received = bytearray()
        self._scratch = tempfile.mkdtemp() if sandbox.wall == "unsafe" else ""
        theirs, self._requests = os.pipe()
        ours, given = {}, [theirs]
        for name in ("reply", "stdout", "stderr"):
            ours[name], theirs = os.pipe()
            given.append(theirs)
        self._selector = selectors.DefaultSelector()
        self._closing = weakref.finalize(self, _close_all, (self._requests, *ours.values()))
        for name, file in ours.items():
            os.set_blocking(file, False)
            self._selector.register(file, selectors.EVENT_READ, name)
        os.set_blocking(self._requests, False)
        self._pid: int | None = None
        try:
            self._pid = sandbox.start(role, limits, given, self._scratch)
        except BaseException:
            self.close()
            raise
        finally:
            for file in given:
                os.close(file)

    def send(self, message: dict[str, Any]) -> None:
        """Write a message.

        Raises:
            ProgramEnded: it is no longer there, or doesn't read.
        """
        data = json.dumps(message).encode()
        left = memoryview(len(data).to_bytes(4, "big") + data)
        while left:
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                self._read_some(0.01)
            except BrokenPipeError:
                raise self._ended() from None

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            ProgramEnded: there is none within the limits, or it isn't one.
        """
        while (message := self._message()) is None:
            if not self._read_some(None):
                raise self._ended()
        try:
            reply = json.loads(message)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            self.close()
            raise ProgramEnded("protocol", "it wrote something that isn't a reply")
        return reply

    def _message(self) -> bytes | None:
        if len(self._received) < 4:
            return None
        size = int.from_bytes(self._received[:4], "big")
        if size > self.limits.message_kib << 10:
            self.close()
            raise ProgramEnded("protocol", f"a message of {size:,} bytes")
        if len(self._received) < 4 + size:
            return None
        message = bytes(self._received[4 : 4 + size])
        del self._received[: 4 + size]
        return message

    def _read_some(self, wait: float | None) -> bool:
        """Read what is there; False if the program closed its side of the replies."""
        left = self._start + self.limits.wall_seconds - time.monotonic()
        if left <= 0:
            self.close()
            raise ProgramEnded("time", f"more than {self.limits.wall_seconds:g} s")
        for key, _ in self._selector.select(left if wait is None else min(wait, left)):
            with contextlib.suppress(BlockingIOError):
                data = os.read(key.fd, _CHUNK)
                if not data:
                    self._selector.unregister(key.fileobj)
                    if key.data == "reply":
                        return False
                elif key.data == "reply":
                    self._received += data
                else:
                    self._keep(key.data, data)
        return True

    def _keep(self, name: str, data: bytes) -> None:
        most = self.limits.output_kib << 10
        kept = self._output[name]
        kept += data[: most - len(kept)]
        self._written += len(data)
        if self._written > _KILLED_FROM * most:
            self.close()
            raise ProgramEnded("output", f"more than {_KILLED_FROM * most:,} bytes of output")

    def _ended(self) -> ProgramEnded:
        self.drain()
        ending = self.close()
        limits = self.limits
        # The kernel kills by the clock's ticks, and reports a sum that can be a third below them.
        if ending.code == -signal.SIGKILL and ending.cpu_seconds > 0.5 * limits.cpu_seconds:
            return ProgramEnded("time", f"more than {limits.cpu_seconds:g} s of the processor")
        if "MemoryError" in self.stderr:
            return ProgramEnded("memory", f"more than {limits.memory_mib} MiB")
        return ProgramEnded("exit", f"it ended without a reply (exit code {ending.code})")

    def drain(self) -> None:
        """Read the output that is there."""
        with contextlib.suppress(ProgramEnded):
            while self._selector.get_map() and self._selector.select(0):
                if not self._read_some(0):
                    continue

    @property
    def stdout(self) -> str:
        return self._output["stdout"].decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self._output["stderr"].decode("utf-8", "replace")

    @property
    def seconds(self) -> float:
        """By the clock, since its start."""
        return time.monotonic() - self._start

    def close(self) -> Ending:
        """Kill it with everything in it, if it hasn't ended, which it then has."""
        self._closing()
        self._selector.close()
        pid, self._pid = self._pid, None
        ending = Ending(0, 0.0) if pid is None else self._sandbox.end(pid)
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return ending

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _close_all(files: tuple[int, ...]) -> None:
    for file in files:
        os.close(file)


def run(source: str, limits: Limits | None = None, sandbox: Sandbox | None = None) -> Outcome:
    """Run a Python program to its end behind the wall.

    Args:
        source: of the program; it has the standard library, an empty scratch directory as its
            working directory, no stdin, and nothing else.
        limits: what it may use.
        sandbox: that starts it; by default one of its own, which takes some 0.1 s to start.

    Raises:
        SandboxUnavailableError: nothing on this machine can hold it.
    """
    if sandbox is None:
        with Sandbox() as sandbox:
            return run(source, limits, sandbox)
    with Program(sandbox, limits or Limits()) as program:
        status: Literal["ok", "raised"] | Why
        try:
            program.send({"source": source})
            reply = program.receive()
            message = str(reply.get("raised", ""))
            status = "raised" if message else "ok"
            if message.startswith("MemoryError"):
                status = "memory"
            program.drain()
        except ProgramEnded as error:
            status, message = error.why, str(error)
        return Outcome(status, message, program.stdout, program.stderr, program.seconds)
