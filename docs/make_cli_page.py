"""Writes docs/cli.md from the command's own --help. Run it after changing a flag."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from pkpo.cli.commands import COMMANDS, run

PAGE = Path(__file__).parent / "cli.md"


def help_text(*arguments: str) -> str:
    os.environ.update(COLUMNS="88", NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        run([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()


def page() -> str:
    parts = ["# The command line\n\nMade by `python docs/make_cli_page.py` from `--help`."]
    for arguments in ((), *((name,) for name in COMMANDS)):
        command = " ".join(("pkpo", *arguments))
        parts.append(f"## {command}\n\n```\n{help_text(*arguments)}\n```")
    parts.append(
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM); those of "
        "`pkpo eval` and `pkpo compare` in [eval.md](eval.md). At the "
        "first interrupt running arms end after a step, with a checkpoint, and the report is "
        "written; the second ends at once. `--resume` goes on, to the same results; "
        "`python -m reproduction` goes on by itself when it is given again."
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
