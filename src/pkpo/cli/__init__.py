"""The `pkpo` command: parse, call, show."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `pkpo`.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
    """
    try:
        from pkpo.cli.commands import load, run

        load(sys.argv[1:])
    except ImportError as error:
        from pkpo.errors import MissingExtraError

        if isinstance(error, MissingExtraError):
            sys.exit(f"pkpo: {error}")
        if error.name is None or error.name.partition(".")[0] == "pkpo":
            raise
        extra = "eval" if sys.argv[1:2] in (["eval"], ["compare"]) else "train"
        feature = f"pkpo {sys.argv[1]}" if extra == "eval" else "the pkpo command"
        sys.exit(f"pkpo: {MissingExtraError(feature, extra, error.name)}")
    sys.exit(run(sys.argv[1:]))
