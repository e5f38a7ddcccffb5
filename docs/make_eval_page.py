"""Runs the commands of docs/eval.md and writes what they print below them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "eval.md"
LOGS = ROOT / "tests" / "evaluate" / "files"
WIDTH = "100"

_PYTHON = re.compile(r"```python\n(?!>>>)(.*?)```", re.DOTALL)
_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def made(page: str) -> str:
    """The page with what its commands print now, run on the logs that its Python makes."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            _make_logs(page)
            return _CONSOLE.sub(_run_all, page)
        finally:
            os.chdir(before)


def _make_logs(page: str) -> None:
    names: dict[str, object] = {}
    for code in _PYTHON.findall(page):
        exec(code, names)
    for log in LOGS.glob("verl_*.jsonl"):
        shutil.copy(log, log.name)
    whole = Path("base.jsonl").read_text(encoding="utf-8")
    Path("cut.jsonl").write_text(whole[: len(whole) // 2], encoding="utf-8")


def _run_all(block: re.Match[str]) -> str:
    commands = [line for line in block[1].splitlines() if line.startswith("$ ")]
    shown = "".join(f"{command}\n{_printed(command)}" for command in commands)
    return f"```console\n{shown}```"


def _printed(command: str) -> str:
    """What a command says, errors included, and its exit code if that isn't 0."""
    from pkpo.cli.commands import run

    os.environ.update(COLUMNS=WIDTH, NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(shlex.split(command.removeprefix("$ "))[1:])
    text = out.getvalue()
    return text if code == 0 else f"{text}(exit code {code})\n"


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
