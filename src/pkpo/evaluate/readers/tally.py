"""Records taken in one by one, the bad ones counted or raised, as one tally of a file.

A tally is a data frame; each of its rows holds samples that share all but the reward:

    problem   String         its id
    rewards   List(Float64)  of the samples; just one in a row if there is a column `sample`
    first     Int64          the place of the first of them in the file
    cluster   String         optional: of the problem
    sample    String         optional: what tells a sample from the others of its problem
    run.NAME  String         what the run was: a model, a temperature, a step of training
    set.NAME  String         what the problem ids are ids in: a task, a data set
    one.NAME  String         what has one value for all samples of a problem: its text, the metric

    may.NAME  UInt64         the sum over the samples of what stands for their values of a column
                             that is of none of these kinds by its name
    file.NAME String         the one value that such a column seems to have in the whole file

A null in those of a NAME says that the log gives no value. `pkpo.evaluate.readers.identity`
decides by them what belongs together.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.read_result import BadLine
from pkpo.evaluate.readers.contents import UNITS, Log
from pkpo.evaluate.readers.files import matched
from pkpo.evaluate.readers.values import (
    BadValueError,
    object_of,
    problem_of,
    reward_of,
    setting_of,
    step_of,
    text_of,
)
from pkpo.evaluate.samples import SolveProbabilities

OnBadLine = Literal["error", "count"]
Duplicates = Literal["error", "drop", "keep"]
Step = int | Literal["last", "all"]
RUN, SET, ONE, MAY, FILE, STEP = "run.", "set.", "one.", "may.", "file.", "run.step"
Sample = tuple[Any, Any, Mapping[str, Any]]
"""Problem, reward, and the optional columns of a tally, the same ones for all samples of a file;
`step` stands for a run.step that must be an integer."""
_EXAMPLES = 100


@dataclass(frozen=True)
class Wanted:
    """What the caller asked for; see `pkpo.evaluate.read.read`. None stands for: by the form's
    own rule. `maybe` are columns that seem to divide the samples of every problem alike."""

    problem: str | None = None
    reward: str | None = None
    cluster: str | None = None
    sample: str | None = None
    run: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    step: Step | None = None
    filter: str | None = None
    pool: tuple[str, ...] = ()
    threshold: float | None = None
    on_bad_line: OnBadLine = "error"
    duplicates: Duplicates = "error"


@dataclass
class Reading:
    """What reading has found so far, over all files; see `ReadResult`."""

    wanted: Wanted
    notes: dict[str, None] = field(default_factory=dict)
    bad_lines: list[BadLine] = field(default_factory=list)
    num_bad: int = 0

    def note(self, text: str) -> None:
        """Keep a note, once."""
        self.notes.setdefault(text)

    def bad(self, line: BadLine) -> None:
        """Count a bad record; raises LogError under on_bad_line="error"."""
        if self.wanted.on_bad_line == "error":
            raise LogError(str(line))
        self.num_bad += 1
        if len(self.bad_lines) < _EXAMPLES:
            self.bad_lines.append(line)


def one_by_one(
    log: Log,
    reading: Reading,
    records: Iterable[tuple[int, Any]],
    samples_of: Callable[[int, Any], Iterable[Sample]],
    of_file: Mapping[str, Any] | None = None,
    unit: str = "",
) -> pl.DataFrame:
    """The tally of a file's records, which come with their places; text says what is wrong with
    one. `samples_of` gives the samples of the record at a place, or raises BadValueError;
    `of_file` is known of all samples, and `unit` is what a place is called."""
    ids: dict[str, int] = {}
    problems, places, rewards = array("q"), array("q"), array("d")
    optional: dict[str, list[str | None]] = {}
    digests: dict[str | None, str | None] = {None: None}
    for place, record in records:
        try:
            if isinstance(record, str):
                raise BadValueError(record)
            for problem, reward, known in samples_of(place, record):
                name, number = problem_of(problem), reward_of(reward)
                values = {key: _value(key, value, digests) for key, value in known.items()}
                problems.append(ids.setdefault(name, len(ids)))
                rewards.append(number)
                places.append(place)
                for key, value in values.items():
                    optional.setdefault(key, []).append(value)
        except BadValueError as error:
            reading.bad(BadLine(log.path, f"{unit or UNITS[log.kind]} {place}", str(error)))
    names, index = pl.Series(list(ids), dtype=pl.String), pl.Series(problems, dtype=pl.Int64)
    rows = pl.DataFrame(
        {
            "problem": names.gather(index) if ids else names,
            "reward": pl.Series(rewards, dtype=pl.Float64),
            "first": pl.Series(places, dtype=pl.Int64),
            **{
                STEP if key == "step" else key: pl.Series(values, dtype=pl.String)
                for key, values in optional.items()
            },
        }
    )
    rows = rows.with_columns(stands_for(name) for name in rows.columns if name.startswith(MAY))
    return with_file(gathered(rows.lazy()).collect(), of_file or {})


def _value(key: str, value: Any, digests: dict[str | None, str | None]) -> str | None:
    """A value of an optional column; digests of texts are kept in `digests`."""
    if key == "step":
        return str(step_of(value))
    if key.startswith((RUN, SET)):
        return setting_of(value)
    if key.startswith(ONE):
        text = setting_of(value)
        if text not in digests:
            digests[text] = str(pl.select(digest(pl.lit(text))).item())
        return digests[text]
    if key.startswith(MAY):
        return value if value is None or isinstance(value, str) else text_of(value)
    if value is None:
        raise BadValueError(f"the {key} is missing (null)")
    return text_of(value)


def gathered(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A tally from one sample a row: `reward` and `first`, the others as in a tally."""
    names = [name for name in rows.collect_schema().names() if name not in ("reward", "first")]
    if "sample" in names:
        return rows.select(*names, pl.concat_list("reward").alias("rewards"), "first")
    sums = [name for name in names if name.startswith(MAY)]
    keys = [name for name in names if name not in sums]
    return rows.group_by(keys).agg(
        pl.col("reward").alias("rewards"), pl.col("first").min(), pl.col(sums).sum()
    )


def stands_for(column: str) -> pl.Expr:
    """Numbers for a column's values, of which 2^32 can be added."""
    return pl.col(column).cast(pl.String).hash() // 2**32


def with_file(tally: pl.DataFrame, of_file: Mapping[str, Any]) -> pl.DataFrame:
    """With what is known of all samples of a file, where its rows don't say otherwise."""
    return tally.with_columns(
        pl.lit(setting_of(value), dtype=pl.String).alias(name)
        for name, value in of_file.items()
        if name not in tally.columns
    )


def digest(text: pl.Expr) -> pl.Expr:
    """A number that stands for a text, which may be long; null for none."""
    return pl.when(text != "").then(text.hash())


def fields(prefix: str, values: Any, but: Iterable[str] = ()) -> dict[str, Any]:
    """A JSON object's members as columns of a tally, `but` these; of anything else, none."""
    return {prefix + key: value for key, value in object_of(values).items() if key not in but}


def folder_of(pattern: str) -> Callable[[Path], dict[str, Any]]:
    """The folder as a run, for tools that write one run into a folder, under these names."""
    return lambda path: {f"{RUN}folder": str(path.parent)} if matched(pattern, path) else {}


def chosen(
    log: Log,
    what: str,
    found: Sequence[str],
    wanted: str | None,
    flag: str = "reward= (--reward)",
    no: str = "",
) -> str | None:
    """What is wanted of what was found, or the only one there is; None if there are none. Raises
    LogError if it isn't there or there are several; they are called `no` and `what`."""
    if wanted is not None and wanted not in found:
        there = ", ".join(found) or "none"
        raise LogError(f"{log.path} has no {no or what} {wanted!r}; it has {there}")
    if wanted is None and len(found) > 1:
        raise LogError(
            f"{log.path} has several {what}s ({', '.join(found)}): choose one with {flag}"
        )
    return wanted or next(iter(found), None)


@dataclass(frozen=True)
class Form:
    """A kind of log, and how to read it.

    Args:
        name: what `format=` calls it.
        looks_like: what its content is recognised by, for messages.
        matches: whether a file that begins like this is of this form.
        read: the tally of one file, or exact probabilities; raises LogError if it is damaged,
            or there is a choice that the caller hasn't made.
    """

    name: str
    looks_like: str
    matches: Callable[[Log], bool]
    read: Callable[[Log, Reading], pl.DataFrame | SolveProbabilities]
