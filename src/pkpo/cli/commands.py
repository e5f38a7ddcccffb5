"""The subcommands: each turns flags into one call."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence

import tyro
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pkpo.errors import MissingExtraError, PkpoError

EVALUATION = ("eval", "compare")
"""Commands that need the `eval` extra alone: no PyTorch."""

TRAINING = ("train", "sweep", "report", "reproduce")
_ABSENT = {
    EVALUATION: " Evaluation (eval, compare) needs pip install 'pkpo[eval]'.",
    TRAINING: " Training (train, sweep, report, reproduce) needs pip install 'pkpo[train]'.",
}

Commands = dict[str, Callable[..., Callable[[str], int]]]


def run(arguments: Sequence[str]) -> int:
    """Run the command line `arguments`; returns the exit code."""
    commands = load(arguments)
    absent = "".join(text for names, text in _ABSENT.items() if not set(names) & set(commands))
    try:
        chosen = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="pkpo",
            description=f"Measure pass@k, train for it, and see what training does to it.{absent}",
            args=list(arguments),
        )
        code = chosen(shlex.join(["pkpo", *arguments]))
        sys.stdout.flush()
    except ValidationError as error:
        return _fail("; ".join(_explain(problem) for problem in error.errors()))
    except BrokenPipeError:  # the reader of stdout, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PkpoError, OSError) as error:
        _fail(str(error))
        return int(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        hint = "" if set(arguments[:1]) & set(EVALUATION) else "; --resume continues the run"
        print(f"\npkpo: interrupted{hint}", file=sys.stderr)
        return 130
    return code


def load(arguments: Sequence[str]) -> Commands:
    """The commands to choose from: those of the other group than the chosen one's are left
    out, so that each needs its own packages alone.

    Raises:
        ImportError: a package is missing without which the command can't run.
    """
    chosen = arguments[0] if arguments else ""
    commands: Commands = {}
    for names, load_group in ((EVALUATION, _evaluation), (TRAINING, _training)):
        if chosen in {*EVALUATION, *TRAINING} - {*names}:
            continue
        try:
            commands |= load_group()
        except ImportError as error:
            own = (error.name or "pkpo").partition(".")[0] == "pkpo"
            if chosen in names or (own and not isinstance(error, MissingExtraError)):
                raise
    return commands


def _evaluation() -> Commands:
    from pkpo.cli.compare import Compare
    from pkpo.cli.evaluate import Eval

    return {"eval": Eval, "compare": Compare}


def _training() -> Commands:
    from pkpo.cli.report import Report
    from pkpo.cli.reproduce import Reproduce
    from pkpo.cli.sweep import Sweep
    from pkpo.cli.train import Train

    return {"train": Train, "sweep": Sweep, "report": Report, "reproduce": Reproduce}


def _explain(problem: ErrorDetails) -> str:
    place = ".".join(map(str, problem["loc"])) or "settings"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _fail(message: str) -> int:
    print(f"pkpo: {message}", file=sys.stderr)
    return 1
