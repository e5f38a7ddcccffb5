"""The `pkpo` command: parse, call, show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from pkpo.cli.commands import LEAVE_FILES, run
from pkpo.terminal import guard_streams, output_failure


def main() -> None:
    """Entry point of `pkpo`.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
    """
    arguments = sys.argv[1:]
    finish(lambda: run(arguments), lasting=arguments[:1] in ([name] for name in LEAVE_FILES))


def finish(call: Callable[[], int], *, lasting: bool) -> NoReturn:
    """Exit with what `call()` returns, and say so if stdout could not be written.

    Args:
        call: the work of a command.
        lasting: whether the work leaves files, so that lost output is no failure.
    """
    guard_streams()
    try:
        code = call()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    if (failure := output_failure()) is not None:
        rest = "; all else was done without it" if lasting else ""
        print(f"pkpo: can't write to stdout: {failure.strerror}{rest}", file=sys.stderr)
        code = code if lasting else code or 1
    sys.exit(code)
