"""What runs inside the sandbox: a server that forks a process for each program, which is then
called from outside, or calls functions outside. Standard library and `plain` alone; nothing that
has run a program is trusted outside.

Messages of programs are JSON, each behind its length in 4 bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plain

_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x20000000  # mounts, IPC, processes
_NO_SUID, _NO_DEVICES = 2, 4
_MOUNT_SETATTR, _RECURSIVELY, _READ_ONLY = 442, 0x8000, 1  # Linux 5.12, on every machine
_PARENT_DEATH_SIGNAL, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 1, 38, 22, 2
_CAPABILITY_VERSION = 0x20080522
_HELD = b"held"
_WARM = "bisect collections copy datetime functools heapq itertools math operator random re string"


class Files:
    """Descriptors of this process's program: it reads requests and writes replies."""

    requests = replies = -1


def read() -> Any:
    size = int.from_bytes(_exactly(4), "big")
    return json.loads(_exactly(size))


def _exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(Files.requests, size)
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write(message: Any, _os_write=os.write, _dumps=json.dumps) -> None:
    data = _dumps(message).encode()
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[_os_write(Files.replies, data) :]


def said(error: BaseException) -> str:
    """Type and message of an error, short."""
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except BaseException:
        return type(error).__name__


def limited(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def call(function: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request for a call: the value, or what kept it from being one."""
    args, kwargs = plain.decode(request["args"]), plain.decode(request["kwargs"])
    try:
        value = function(*args, **kwargs)
        reply = {"value": plain.encode(value)}
    except plain.NotPlain as error:
        return {"opaque": str(error)}
    except BaseException as error:
        return {"raised": said(error)}
    try:
        changed = plain.encode(args)
        if changed != request["args"]:
            reply["args"] = changed
    except plain.NotPlain:
        pass
    return reply


def flush(_files=(sys.stdout, sys.stderr)) -> None:
    for file in _files:
        with contextlib.suppress(OSError, ValueError):
            file.flush()


def serve() -> None:
    """Run a program, then the calls that come."""
    request = read()
    names: dict[str, Any] = {"__name__": "program", "__builtins__": __builtins__}
    failure = None
    try:
        exec(compile(request["source"], "<program>", "exec"), names)
    except BaseException as error:
        failure = said(error)
    flush()
    if failure is not None:
        write({"raised": failure})
        return
    functions = [name for name, value in names.items() if callable(value) and name[:2] != "__"]
    write({"functions": functions})
    while True:
        request = read()
        reply = call(names[request["call"]], request)
        flush()
        write(reply)


class CallFailed(Exception):
    """A call of the program that is checked failed; the message says how."""


def remote(name: str) -> Any:
    """A function that is called outside."""

    def function(*args: Any, **kwargs: Any) -> Any:
        write({"call": name, "args": plain.encode(list(args)), "kwargs": plain.encode(kwargs)})
        reply = read()
        if "value" not in reply:
            raise CallFailed(reply.get("raised") or reply.get("opaque") or "no reply")
        for mine, theirs in zip(args, plain.decode(reply.get("args", ["l"]))):
            if type(mine) is list and type(theirs) is list:
                mine[:] = theirs
            elif (type(mine) is dict and type(theirs) is dict) or (
                type(mine) is set and type(theirs) is set
            ):
                mine.clear()
                mine.update(theirs)
        return plain.decode(reply["value"])

    function.__name__ = name
    return function


def check() -> None:
    """Run trusted checks, whose proxies call functions outside."""
    request = read()
    names: dict[str, Any] = {"__name__": "checker"}
    try:
        exec(compile(request["setup"], "<setup>", "exec"), names)
    except BaseException as error:
        write({"raised": said(error)})
        return
    names |= {here: remote(there) for here, there in request["remote"].items()}
    failures = []
    for i, part in enumerate(request["parts"]):
        try:
            exec(compile(part, "<checks>", "exec"), names)
        except BaseException as error:
            failures.append([i, said(error)])
    write({"failures": failures})


def forked(libc: ctypes.PyDLL, clone: int) -> int:
    """`os.fork` into namespaces of its own."""
    pid = libc.syscall(clone, _NEW_NAMESPACES | signal.SIGCHLD, 0, 0, 0, 0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return pid


def seal(libc: ctypes.PyDLL) -> None:
    """Make what is mounted below a read-only mount read-only too, which bubblewrap alone does."""
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY)
    size = ctypes.sizeof(attributes)
    if libc.syscall(_MOUNT_SETATTR, -1, b"/", _RECURSIVELY, attributes, size) != 0:
        why = os.strerror(ctypes.get_errno())
        sys.exit(f"mounts below others can't be made read-only, which takes Linux 5.12: {why}")


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confined(libc: ctypes.PyDLL, request: dict[str, Any]) -> None:
    """A scratch directory of this process's own, no capabilities, and the filter of calls."""

    def done(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    options = request["mount"].encode()
    done(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", _NO_SUID | _NO_DEVICES, options))
    os.chdir("/tmp")
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    done(libc.capset(header, nothing))
    limited(request["limits"])
    code = bytes.fromhex(request["filter"])
    done(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    done(libc.prctl(_SECCOMP, _FILTER, ctypes.byref(_Filter(len(code) // 8, code)), 0, 0))


def program(
    libc: ctypes.PyDLL | None, request: dict[str, Any], files: list[int], told: int
) -> None:
    """In a process of its own: be a program, and tell the server that it is held."""
    Files.requests, Files.replies = files[:2]
    os.setsid()
    os.dup2(files[2], 1)
    os.dup2(files[3], 2)
    os.close(files[2])
    os.close(files[3])
    try:
        if libc is not None:
            confined(libc, request)
        else:
            os.chdir(request["scratch"])
            limited(request["limits"])
    except BaseException as error:
        os.write(told, said(error).encode())
        return
    os.write(told, _HELD)
    os.close(told)
    {"serve": serve, "check": check}[request["role"]]()


def started(
    libc: ctypes.PyDLL | None, request: dict[str, Any], files: list[int], control: socket.socket
) -> dict[str, Any]:
    """The process of a program that is held, or why it isn't."""
    heard, told = os.pipe()
    pid, verdict = -1, b""
    try:
        pid = os.fork() if libc is None else forked(libc, request["clone"])
    except OSError as error:
        verdict = said(error).encode()
    if pid == 0:
        control.close()
        os.close(heard)
        try:
            program(libc, request, files, told)
        finally:
            os._exit(0)
    os.close(told)
    verdict = verdict or os.read(heard, 1000)
    os.close(heard)
    if verdict == _HELD:
        return {"pid": pid}
    if pid > 0:
        os.waitpid(pid, 0)
    return {"failed": verdict.decode() or "it died before it was held"}


def main() -> None:
    """Start and end programs as asked on the socket that is stdin, until it is closed."""
    control = socket.socket(fileno=os.dup(0))
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    libc = None
    if sys.argv[1] != "open":
        libc = ctypes.PyDLL(None, use_errno=True)
        libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        os.environ.clear()
        if sys.argv[1] == "unsealed":
            seal(libc)
    for name in _WARM.split():
        __import__(name)
    gc.freeze()
    control.send(b"{}")
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if "end" in request:
            pid = request["end"]
            for kill in (os.kill, os.killpg):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            control.send(json.dumps({"code": code, "cpu": used.ru_utime + used.ru_stime}).encode())
            continue
        reply = started(libc, request, files, control)
        for file in files:
            os.close(file)
        control.send(json.dumps(reply).encode())


if __name__ == "__main__":
    main()
