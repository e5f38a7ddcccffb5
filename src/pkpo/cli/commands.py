"""The subcommands: each turns flags into one call."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console

from pkpo.cli.flags import say
from pkpo.cli.sweep import Sweep
from pkpo.cli.train import Train
from pkpo.errors import PkpoError
from pkpo.report import write_report
from pkpo.report.sweep import write_sweep_report
from pkpo.report.sweep_load import CELLS
from pkpo.train.interrupt import Interrupted


@dataclass(frozen=True)
class Report:
    """Write the report of a run or sweep again, finished or not."""

    run: tyro.conf.Positional[Path]
    """Run directory, or the folder of a sweep."""

    def __call__(self, command: str) -> int:
        sweep = (self.run / CELLS).exists()
        report = write_sweep_report(self.run) if sweep else write_report(self.run)
        say(Console(), f"Report: {report}")
        return 0


_COMMANDS = {"train": Train, "sweep": Sweep, "report": Report}


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    chosen = tyro.extras.subcommand_cli_from_dict(
        _COMMANDS,
        prog="pkpo",
        description="Train for pass@k, and see what training does to it.",
        args=list(arguments),
    )
    try:
        return chosen(shlex.join(["pkpo", *arguments]))
    except ValidationError as error:
        return _fail("; ".join(_explain(problem) for problem in error.errors()))
    except Interrupted as error:
        _fail(str(error))
        return error.exit_code
    except (PkpoError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\npkpo: interrupted; --resume continues the run", file=sys.stderr)
        return 130


def _explain(problem: ErrorDetails) -> str:
    place = ".".join(map(str, problem["loc"])) or "settings"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _fail(message: str) -> int:
    print(f"pkpo: {message}", file=sys.stderr)
    return 1
