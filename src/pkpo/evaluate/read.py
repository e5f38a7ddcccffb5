"""Reading anyone's logs of samples into `Samples`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import polars as pl

from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate.read_result import ReadResult
from pkpo.evaluate.readers.contents import look_at
from pkpo.evaluate.readers.files import expand, identical, readable_again, unpacked
from pkpo.evaluate.readers.forms import form_of
from pkpo.evaluate.readers.merge import DividedError, Known, merge
from pkpo.evaluate.readers.pkpo_run import file_in
from pkpo.evaluate.readers.tally import Duplicates, OnBadLine, Reading, Step, Wanted
from pkpo.evaluate.samples import Measured, SolveProbabilities


def read(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    problem: str | None = None,
    reward: str | None = None,
    cluster: str | None = None,
    sample: str | None = None,
    run: str | Sequence[str] = (),
    task: str | Sequence[str] = (),
    step: Step | None = None,
    filter: str | None = None,
    pool: str | Sequence[str] = (),
    threshold: float | None = None,
    on_bad_line: OnBadLine = "error",
    duplicates: Duplicates = "error",
) -> ReadResult:
    """Read one log or several of the same form. docs/readers.md describes the forms.

    The same problem in several files has the samples of all of them, if they are of one run.

    Args:
        paths: files, patterns such as "logs/*.jsonl", pkpo run folders, pipes, or "-" for
            stdin; each may be packed with gzip or zstandard.
        format: the form, a key of `pkpo.evaluate.readers.forms.FORMS`; None tells it from
            the content.
        problem: the column of problem ids, where the form's own isn't wanted.
        reward: the column, metric or scorer to take rewards from.
        cluster: a column of clusters, which each problem belongs to one of.
        sample: a column that tells the samples of a problem apart, to find duplicates.
        run: which run, where there are several: FIELD=VALUE, or VALUE, or a part of one that
            no other has. FIELD alone: a column that tells runs apart.
        task: the same of tasks and data sets; problems of several are named TASK/ID.
        step: of training logs, the step's number, "last" or "all".
        filter: of lm-evaluation-harness logs, the filter.
        pool: fields that may differ among the samples, or "all" for all fields of the run.
        threshold: rewards of at least this become 1, all others 0.
        on_bad_line: "error" stops at the first bad record; "count" leaves them out and
            counts them.
        duplicates: what to do with a sample that is there twice: "error", "drop" all but
            the first, or "keep" as if they were different.

    Returns:
        The samples. The order of problems is that of their first samples; of rewards within
        a problem, ascending.

    Raises:
        LogError: a file is damaged, of no known form, or leaves a choice open; names the file
            and where in it.
        InvalidInputError: an argument isn't one of those above.
        OSError: a file can't be read.

    Cost: for tables one pass of polars over the columns needed; memory of some hundred bytes
    for each distinct (problem, reward) beside what polars maps of the file.
    """
    _check("on_bad_line", on_bad_line, get_args(OnBadLine))
    _check("duplicates", duplicates, get_args(Duplicates))
    if isinstance(step, bool) or not (step is None or isinstance(step, int)):
        _check("step", step, ("last", "all"))
    if threshold is not None and not math.isfinite(threshold):
        raise InvalidInputError(f"threshold must be a finite number, got {threshold}")
    files = tuple(file_in(path) if path.is_dir() else path for path in expand(paths))
    wanted = Wanted(
        problem=problem,
        reward=reward,
        cluster=cluster,
        sample=sample,
        run=_several(run),
        task=_several(task),
        step=step,
        filter=filter,
        pool=(*_several(pool), *(("step",) if step == "all" else ())),
        threshold=threshold,
        on_bad_line=on_bad_line,
        duplicates=duplicates,
    )
    reading = Reading(wanted)
    with tempfile.TemporaryDirectory(prefix="pkpo-read-") as folder:
        sources = {p: readable_again(p, Path(folder), i) for i, p in enumerate(files)}
        files = _distinct(sources, reading)
        sources = {p: sources[p] for p in files}
        form, tallies = _tallies(sources, format, reading)
        more = len(files) - 1
        source = f"{files[0]} and {more} more" if more else str(files[0])
        try:
            samples, known = _merged(tallies, reading, source)
        except DividedError as error:
            reading = Reading(replace(wanted, maybe=error.args))
            form, tallies = _tallies(sources, format, reading)
            samples, known = _merged(tallies, reading, source)
    return ReadResult(
        samples=samples,
        format=form,
        files=files,
        num_bad=reading.num_bad,
        bad_lines=tuple(reading.bad_lines),
        notes=tuple(reading.notes),
        known=known,
    )


def _merged(
    tallies: list[pl.DataFrame] | SolveProbabilities, reading: Reading, source: str
) -> tuple[Measured, Known]:
    if isinstance(tallies, SolveProbabilities):
        return tallies, {}
    return merge(tallies, reading, source)


def _several(values: str | Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _check(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(map(repr, allowed))
        number = "an integer, " if name == "step" else ""
        raise InvalidInputError(f"{name} must be {number}one of {listed}, got {value!r}")


def _distinct(sources: Mapping[Path, Path], reading: Reading) -> tuple[Path, ...]:
    """The files without those that have the same content as one before."""
    if reading.wanted.duplicates == "keep":
        return tuple(sources)
    again = {later: first for first, later in identical(sources)}
    if again and reading.wanted.duplicates == "error":
        later, first = next(iter(again.items()))
        raise LogError(
            f"{later} has the same content as {first}, so each sample would be there twice; choose "
            f"with duplicates= (--duplicates) to drop it or to keep both"
        )
    for later, first in again.items():
        reading.note(f"{later} was dropped: it has the same content as {first}.")
    return tuple(file for file in sources if file not in again)


def _tallies(
    sources: Mapping[Path, Path], format: str | None, reading: Reading
) -> tuple[str, list[pl.DataFrame] | SolveProbabilities]:
    tallies: list[pl.DataFrame] = []
    names: dict[str, Path] = {}
    for number, (path, source) in enumerate(sources.items()):
        with tempfile.TemporaryDirectory(prefix="pkpo-read-") as folder:
            log = look_at(path, unpacked(path, source, Path(folder)), number)
            form = form_of(log, reading.wanted, format)
            names.setdefault(form.name, path)
            if len(names) > 1:
                (one, first), (other, second) = names.items()
                raise LogError(
                    f"{first} is of the form {one} but {second} of {other}; read them apart"
                )
            tally = form.read(log, reading)
            if isinstance(tally, SolveProbabilities):
                _check_alone(path, len(sources), reading.wanted)
                return form.name, tally
            tallies.append(tally)
    return next(iter(names)), tallies


def _check_alone(path: Path, num_files: int, wanted: Wanted) -> None:
    """Exact probabilities can't be pooled, and leave nothing to choose among samples."""
    if num_files > 1:
        raise LogError(
            f"{path} holds the exact probabilities of one policy, which can't be pooled with "
            f"other files; `pkpo compare` takes several policies side by side"
        )
    for name in ("run", "task", "filter", "step", "threshold", "pool"):
        if getattr(wanted, name) not in (None, ()):
            raise LogError(f"{path} holds exact probabilities, no samples to choose by {name}=")
