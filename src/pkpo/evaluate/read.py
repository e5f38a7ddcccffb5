"""Reading anyone's logs of samples into `Samples`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import polars as pl

from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate.read_result import ReadResult
from pkpo.evaluate.readers.contents import Log, fingerprint, look_at
from pkpo.evaluate.readers.files import expand, readable_again, unpacked
from pkpo.evaluate.readers.forms import form_of
from pkpo.evaluate.readers.merge import DividedError, merge
from pkpo.evaluate.readers.pkpo_run import file_in
from pkpo.evaluate.readers.tally import Duplicates, OnBadLine, Reading, Step, Wanted
from pkpo.evaluate.samples import SolveProbabilities


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
    with tempfile.TemporaryDirectory(prefix="pkpo-read-") as folder:
        sources = {p: readable_again(p, Path(folder), i) for i, p in enumerate(files)}
        try:
            return _read(sources, format, Reading(wanted))
        except DividedError as error:
            return _read(sources, format, Reading(replace(wanted, maybe=error.args)))


def _several(values: str | Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _check(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(map(repr, allowed))
        number = "an integer, " if name == "step" else ""
        raise InvalidInputError(f"{name} must be {number}one of {listed}, got {value!r}")


def _read(sources: Mapping[Path, Path], format: str | None, reading: Reading) -> ReadResult:
    """What the files hold, from where each can be read more than once."""
    tallies: dict[Path, pl.DataFrame] = {}
    seen: dict[int, list[Path]] = {}
    form = None
    for path in sources:
        before = replace(reading, bad_lines=[*reading.bad_lines], notes={**reading.notes})
        with _opened(path, sources) as log:
            found = form_of(log, reading.wanted, format)
            tally = found.read(log, reading)
            if form and form is not found:
                first = next(iter(sources))
                raise LogError(
                    f"{first} is of the form {form.name} but {path} of {found.name}; read them "
                    f"apart"
                )
            form = found
            if isinstance(tally, SolveProbabilities):
                _check_alone(path, len(sources), reading.wanted)
                return ReadResult(tally, form.name, (path,), notes=tuple(reading.notes))
            alike = seen.setdefault(_key(tally) if len(sources) > 1 else 0, [])
            again = reading.wanted.duplicates != "keep" and _again(log, alike, sources)
        if not again:
            alike.append(path)
            tallies[path] = tally
            continue
        if reading.wanted.duplicates == "error":
            raise LogError(
                f"{path} has the same content as {again}, so each sample would be there twice; "
                f"choose with duplicates= (--duplicates) to drop it or to keep both"
            )
        reading = before
        reading.note(f"{path} was dropped: it has the same content as {again}.")
    first, *others = tallies
    source = f"{first} and {len(others)} more" if others else str(first)
    samples, known = merge(list(tallies.values()), reading, source)
    return ReadResult(
        samples=samples,
        format=form.name if form else "",
        files=tuple(tallies),
        num_bad=reading.num_bad,
        bad_lines=tuple(reading.bad_lines),
        notes=tuple(reading.notes),
        known=known,
    )


@contextmanager
def _opened(path: Path, sources: Mapping[Path, Path]) -> Iterator[Log]:
    """The log in a file, unpacked."""
    with tempfile.TemporaryDirectory(prefix="pkpo-read-") as folder:
        yield look_at(path, unpacked(path, sources[path], Path(folder)), [*sources].index(path))


def _key(tally: pl.DataFrame) -> int:
    """The same for files whose problems have the same rewards."""
    return int(tally.select("problem", "rewards").explode("rewards").hash_rows().sum())


def _again(log: Log, alike: Sequence[Path], sources: Mapping[Path, Path]) -> Path | None:
    """The file before it, of those with alike rewards, that holds the very same records."""
    for path in alike:
        with _opened(path, sources) as other:
            if fingerprint(other) == fingerprint(log):
                return path
    return None


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
