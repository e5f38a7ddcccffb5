"""`python -m reproduction`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pkpo.cli import finish
from pkpo.cli.arguments import regrouped
from pkpo.cli.commands import exit_code
from pkpo.cli.errors import UsageError
from pkpo.cli.flags import refused_as
from pkpo.terminal import console, say, visible


@dataclass(frozen=True)
class Reproduce:
    """Make the papers' figures, tables and claims again, and lay them beside the papers'.

    Give names of topics, or "all"; "ledger" judges every claim again from what is stored, and
    "condense STUDY" stores the data of studies that ran in --runs; without any, lists the topics.
    What is there already is kept, training that was interrupted goes on with the same command,
    and a study whose data is there isn't trained.
    """

    names: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[NAME ...]", help_behavior_hint="(optional)"),
    ] = ()
    """Topics, "all", or "ledger"."""

    quick: tyro.conf.FlagCreatePairsOff[bool] = False
    """Smaller settings, which show that everything runs: a few minutes for all."""

    out: Annotated[
        Path | None,
        tyro.conf.arg(help_behavior_hint="(default: runs/reproduction[-quick])"),
    ] = None
    """Folder of the results."""

    runs: Annotated[
        Path | None,
        tyro.conf.arg(help_behavior_hint="(default: runs, in the folder of the results)"),
    ] = None
    """Folder of the training runs."""

    workers: int = 2
    """Processes that train at a time, one thread each."""

    again: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make the topics anew even if they are there. Training that is done is kept."""

    def __call__(self, command: str) -> int:
        shown = console()
        if self.workers < 1:
            raise UsageError(f"--workers must be >= 1, got {self.workers}")
        from reproduction.driver import condense_studies, reproduce
        from reproduction.topics import TOPICS, find_topics

        if not self.names:
            width = max(len(topic.name) for topic in TOPICS)
            for topic in TOPICS:
                say(shown, f"{topic.name:<{width}}  {topic.title} ({topic.place})")
            return 0
        out = self.out or Path("runs") / ("reproduction-quick" if self.quick else "reproduction")
        if self.names[0] == "condense":
            for path in condense_studies(self.names[1:], out, self.runs or out / "runs"):
                say(shown, f"Data: {path}")
            return 0
        with refused_as(UsageError):
            find_topics([name for name in self.names if name != "ledger"])
        start = time.perf_counter()
        page = reproduce(
            self.names,
            out,
            quick=self.quick,
            workers=self.workers,
            console=shown,
            command=command,
            runs=self.runs,
            again=self.again,
        )
        say(shown, f"Page: {page}  ({time.perf_counter() - start:.0f} s)")
        return 0


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    prog = "python -m reproduction"

    def call() -> int:
        chosen = tyro.cli(Reproduce, prog=prog, args=regrouped(Reproduce, arguments))
        return chosen(visible(f"{prog} {shlex.join(arguments)}".strip()))

    return exit_code(call)


if __name__ == "__main__":
    finish(lambda: run(sys.argv[1:]), lasting=True)
