"""Programs behind the wall, and talking to them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from pkpo.errors import PkpoError
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.wall import command

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
    """One interpreter behind the wall, for one program.

    Args:
        limits: of its whole life.
        role: "serve" runs the program and then the calls that come; "check" runs trusted
            checks whose functions are called outside.

    Close it, or use it in a `with` statement: everything in it is killed.
    """

    def __init__(self, limits: Limits, role: Literal["serve", "check"] = "serve") -> None:
        self.limits = limits
        self._start = time.monotonic()
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._written = 0
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        arguments, inherited = command(limits, requests, replies)
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                pass_fds=(requests, replies, inherited),
                start_new_session=True,
            )
        finally:
            for descriptor in (requests, replies, inherited):
                os.close(descriptor)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        os.set_blocking(self._requests, False)
        self._selector = selectors.DefaultSelector()
        for file, name in (
            (self._process.stdout, "stdout"),
            (self._process.stderr, "stderr"),
            (self._replies, "reply"),
        ):
            os.set_blocking(file if isinstance(file, int) else file.fileno(), False)
            self._selector.register(file, selectors.EVENT_READ, name)
        self._received = bytearray()
        self.send({"role": role, "limits": limits.resources()})

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
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        self.drain()
        self.close()
        if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGKILL):
            return ProgramEnded("time", f"more than {self.limits.cpu_seconds:g} s of the processor")
        if "MemoryError" in self.stderr:
            return ProgramEnded("memory", f"more than {self.limits.memory_mib} MiB")
        return ProgramEnded("exit", f"it ended without a reply (exit code {code})")

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

    def restart_clock(self) -> None:
        """Let `wall_seconds` begin now."""
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """By the clock, since its start."""
        return time.monotonic() - self._start

    def close(self) -> None:
        """Kill it with everything in it."""
        if self._selector.get_map() is None:
            return
        self._selector.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdout, self._process.stderr):
            if file is not None:
                file.close()
        os.close(self._requests)
        os.close(self._replies)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def run(source: str, limits: Limits | None = None) -> Outcome:
    """Run a Python program to its end behind the wall.

    Args:
        source: of the program; it has the standard library, an empty scratch directory as its
            working directory, no stdin, and nothing else.
        limits: what it may use.

    Raises:
        SandboxUnavailableError: nothing on this machine can hold it.
    """
    with Program(limits or Limits()) as program:
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
