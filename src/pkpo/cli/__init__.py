"""The `pkpo` command: parse, call, show."""

from __future__ import annotations

import sys

from pkpo.cli.commands import LEAVE_FILES, run
from pkpo.terminal import guard_streams, output_failure


def main() -> None:
    """Entry point of `pkpo`.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
    """
    guard_streams()
    arguments = sys.argv[1:]
    try:
        code = run(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    if (failure := output_failure()) is not None:
        lasting = arguments[0] in LEAVE_FILES
        rest = "; all else was done without it" if lasting else ""
        print(f"pkpo: can't write to stdout: {failure.strerror}{rest}", file=sys.stderr)
        code = code if lasting else code or 1
    sys.exit(code)
