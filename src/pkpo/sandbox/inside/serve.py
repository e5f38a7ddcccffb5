"""What runs inside the sandbox: one program whose functions are called from outside, or one that
calls functions outside. The standard library and `plain` alone; nothing here is trusted outside.

Messages are JSON, each behind its length in 4 bytes: requests on descriptor 3, replies on 4.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plain

REQUESTS, REPLIES = map(int, sys.argv[1:3])


def read() -> Any:
    size = int.from_bytes(_exactly(4), "big")
    return json.loads(_exactly(size))


def _exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(REQUESTS, size)
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write(message: Any, _os_write=os.write, _dumps=json.dumps) -> None:
    data = _dumps(message).encode()
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[_os_write(REPLIES, data) :]


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
    """Run trusted programs, one a request, whose proxies call functions outside."""
    while True:
        request = read()
        names: dict[str, Any] = {"__name__": "checker"}
        try:
            exec(compile(request["setup"], "<setup>", "exec"), names)
            names |= {here: remote(there) for here, there in request["remote"].items()}
            failures = []
            for i, part in enumerate(request["parts"]):
                try:
                    exec(compile(part, "<checks>", "exec"), names)
                except BaseException as error:
                    failures.append([i, said(error)])
            write({"failures": failures})
        except BaseException as error:
            write({"raised": said(error)})


if __name__ == "__main__":
    first = read()
    limited(first["limits"])
    {"serve": serve, "check": check}[first["role"]]()
