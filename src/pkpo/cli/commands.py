"""The subcommands: a table of them, and the call of the one that is asked for."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pkpo import __version__
from pkpo.cli.errors import UsageError
from pkpo.errors import PkpoError, install_command, is_installed, needing
from pkpo.terminal import visible


@dataclass(frozen=True)
class Command:
    """A subcommand that isn't imported before it is called.

    Args:
        summary: the first line of its help.
        place: module and class, a dataclass of flags that is called with the command line.
        extra: of pkpo, which brings what it needs.
        package: one that only this extra brings.
    """

    summary: str
    place: str
    extra: str
    package: str

    def load(self) -> Callable[..., Any]:
        """The class.

        Raises:
            ImportError: some of what it needs is missing or broken.
        """
        module, _, attribute = self.place.partition(":")
        return getattr(import_module(module), attribute)


def _measuring(summary: str, place: str) -> Command:
    return Command(summary, place, "eval", "zstandard")


def _training(summary: str, place: str) -> Command:
    return Command(summary, place, "train", "torch")


COMMANDS = {
    "eval": _measuring("pass@k from a log of samples, with intervals.", "pkpo.cli.evaluate:Eval"),
    "compare": _measuring(
        "Two or more runs on the same problems: differences with intervals.",
        "pkpo.cli.compare:Compare",
    ),
    "tasks": _measuring(
        "The tasks there are, or sample problems of one of them.", "pkpo.cli.tasks:Tasks"
    ),
    "verify": _measuring(
        "Score any sampler's completions of a task into a log that `pkpo eval` reads.",
        "pkpo.cli.verify:Verify",
    ),
    "sample": _training(
        "Draw completions of a task from a language model, for `pkpo verify`.",
        "pkpo.cli.sample:Sample",
    ),
    "audit": _measuring(
        "Which objective an engine, or anybody's function of rewards, really trains for.",
        "pkpo.cli.audit:Audit",
    ),
    "doctor": _measuring(
        "What is installed, which engine sees pkpo, and what works here.",
        "pkpo.cli.doctor:Doctor",
    ),
    "train": _training(
        "Train a small language model for several objectives, side by side.",
        "pkpo.cli.train:Train",
    ),
    "sweep": _training(
        "Train every combination of some settings, each with all objectives and seeds.",
        "pkpo.cli.sweep:Sweep",
    ),
    "report": _training(
        "Write the report of a run or sweep again, finished or not.", "pkpo.cli.report:Report"
    ),
}

LEAVE_FILES = ("verify", "sample", "train", "sweep", "report")
"""Commands whose work isn't lost with what they print."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    name, *rest = arguments or [""]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"pkpo {__version__}")
        return 0
    if name.startswith("--tyro-"):
        return exit_code(lambda: _complete(arguments))
    hint = "; --resume continues a run that has begun" if name in ("train", "sweep") else ""
    hint = "; the same command goes on" if name in ("verify", "sample") else hint
    return exit_code(lambda: _call(name, rest), hint)


def exit_code(call: Callable[[], int], hint: str = "") -> int:
    """What `call()` returns, or the code of what it raises, whose message goes to stderr.

    Args:
        call: does the work of a command.
        hint: added to the message of an interrupt.
    """
    try:
        return call()
    except (PkpoError, OSError) as error:
        print(f"pkpo: {visible(str(error))}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        print(f"\npkpo: interrupted{hint}", file=sys.stderr)
        return 130


def _call(name: str, rest: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise UsageError(_unknown(name))
    with needing(f"pkpo {name}", COMMANDS[name].extra):
        import tyro

        from pkpo.cli.arguments import regrouped

        flags = COMMANDS[name].load()
        chosen = tyro.cli(flags, prog=f"pkpo {name}", args=regrouped(flags, rest))
        return chosen(visible(shlex.join(["pkpo", name, *rest])))


def _unknown(name: str) -> str:
    if not name:
        return f"which command? {', '.join(COMMANDS)}; `pkpo --help` says what each does"
    what = "no flag" if name.startswith("-") else "no command"
    similar = difflib.get_close_matches(name, COMMANDS, n=1)
    meant = f"; did you mean {similar[0]!r}?" if similar else ";"
    return f"{what} {name!r}{meant} Commands: {', '.join(COMMANDS)}"


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    absent = {c.extra: [] for c in COMMANDS.values() if not is_installed(c.package)}
    for name, command in COMMANDS.items():
        if command.extra in absent:
            absent[command.extra].append(name)
    needs = [f"{', '.join(names)} needs: {install_command(e)}" for e, names in absent.items()]
    return "\n".join(
        [
            "usage: pkpo [--help] [--version] COMMAND ...",
            "",
            "Measure pass@k, train for it, and see what training does to it.",
            "",
            *lines,
            "",
            *needs,
            "`pkpo COMMAND --help` lists the flags of a command.",
        ]
    )


def _complete(arguments: Sequence[str]) -> int:
    """tyro's completions for shells, which know all commands and flags."""
    import tyro

    tyro.extras.subcommand_cli_from_dict(
        {name: command.load() for name, command in COMMANDS.items()},
        prog="pkpo",
        args=list(arguments),
    )
    return 0
