"""The `pkpo` command: parse, call, show."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `pkpo`.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
    """
    try:
        from pkpo.cli.commands import run
    except ImportError as error:
        from pkpo.errors import MissingExtraError

        if error.name is None or error.name.partition(".")[0] == "pkpo":
            raise
        sys.exit(f"pkpo: {MissingExtraError('the pkpo command', 'train', error.name)}")
    sys.exit(run(sys.argv[1:]))
