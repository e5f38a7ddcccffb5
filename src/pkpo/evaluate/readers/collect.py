"""Records taken in one by one, the bad ones counted or raised, as one tally of a file.

A tally is a data frame; each of its rows holds samples that share all but the reward:

    problem  String         its id
    rewards  List(Float64)  of the samples; just one in a row if there is a column `sample`
    first    Int64          the place of the first of them in the file
    task     String         optional: what the problem ids are ids in
    cluster  String         optional: of the problem
    step     Int64          optional: of training, when the sample was drawn
    sample   String         optional: what tells a sample from the others of its problem
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.values import BadValueError, problem_of, reward_of, step_of

OnBadLine = Literal["error", "count"]
_EXAMPLES = 100


@dataclass(frozen=True)
class BadLine:
    """A record that couldn't be read.

    Args:
        path: the file.
        place: where in it, such as "line 17" or "row 3".
        reason: what is wrong with it.
    """

    path: Path
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.reason}"


@dataclass(frozen=True)
class Wanted:
    """What the caller asked for. None stands for: by the form's own rule.

    Args:
        problem: the column of problem ids.
        reward: the column, metric or scorer that gives the reward.
        cluster: the column of clusters.
        sample: the column that tells samples of a problem apart.
        filter: the lm-evaluation-harness filter.
        on_bad_line: stop at the first bad record or count them.
    """

    problem: str | None = None
    reward: str | None = None
    cluster: str | None = None
    sample: str | None = None
    filter: str | None = None
    on_bad_line: OnBadLine = "error"


@dataclass
class Reading:
    """What reading has found so far, over all files.

    Args:
        wanted: what the caller asked for.
        notes: choices that were made, and what else a reader of the numbers should know.
        bad_lines: the first bad records.
        num_bad: how many there were.
    """

    wanted: Wanted
    notes: dict[str, None] = field(default_factory=dict)
    bad_lines: list[BadLine] = field(default_factory=list)
    num_bad: int = 0

    def note(self, text: str) -> None:
        """Keep a note, once."""
        self.notes.setdefault(text)

    def bad(self, line: BadLine) -> None:
        """Count a bad record.

        Raises:
            LogError: under on_bad_line="error".
        """
        if self.wanted.on_bad_line == "error":
            raise LogError(str(line))
        self.num_bad += 1
        if len(self.bad_lines) < _EXAMPLES:
            self.bad_lines.append(line)


class Collector:
    """Takes the records of one file.

    Args:
        reading: takes the bad ones.
        path: the file.
        unit: what a place in it is called.
    """

    def __init__(self, reading: Reading, path: Path, unit: str) -> None:
        self._reading, self._path, self._unit = reading, path, unit
        self._ids: dict[str, int] = {}
        self._problems, self._places = array("q"), array("q")
        self._rewards = array("d")
        self._optional: dict[str, list[Any]] = {}

    def add(
        self,
        place: int,
        problem: Any,
        reward: Any,
        *,
        count: int = 1,
        **optional: Any,
    ) -> None:
        """Take a sample, or count it as bad.

        Args:
            place: where in the file.
            problem: its problem's id as it stands there.
            reward: its reward as it stands there.
            count: how many equal samples this is.
            optional: task, cluster, step or sample; always the same ones in a file.

        Raises:
            LogError: it is bad, and the caller wants to stop at that.
        """
        try:
            name, number = problem_of(problem), reward_of(reward)
            values = {key: _optional(key, value) for key, value in optional.items()}
        except BadValueError as error:
            self.bad(place, str(error))
            return
        index = self._ids.setdefault(name, len(self._ids))
        for _ in range(count):
            self._problems.append(index)
            self._rewards.append(number)
            self._places.append(place)
            for key, value in values.items():
                self._optional.setdefault(key, []).append(value)

    def bad(self, place: int, reason: str) -> None:
        """Count the record at `place` as bad."""
        self._reading.bad(BadLine(self._path, f"{self._unit} {place}", reason))

    def tally(self) -> pl.DataFrame:
        """All that was added."""
        names = pl.Series("problem", list(self._ids), dtype=pl.String)
        index = pl.Series("index", self._problems, dtype=pl.Int64)
        rows = pl.DataFrame(
            [
                names.gather(index) if len(names) else names,
                pl.Series("reward", self._rewards, dtype=pl.Float64),
                pl.Series("first", self._places, dtype=pl.Int64),
                *(
                    pl.Series(key, values, dtype=pl.Int64 if key == "step" else pl.String)
                    for key, values in self._optional.items()
                ),
            ]
        )
        return gathered(rows.lazy()).collect()


def gathered(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A tally from one sample a row: `reward` and `first`, the others as in a tally."""
    keys = [name for name in rows.collect_schema().names() if name not in ("reward", "first")]
    if "sample" in keys:
        return rows.select(*keys, pl.concat_list("reward").alias("rewards"), "first")
    return rows.group_by(keys).agg(pl.col("reward").alias("rewards"), pl.col("first").min())


def _optional(key: str, value: Any) -> Any:
    if key == "step":
        return step_of(value)
    if value is None:
        raise BadValueError(f"the {key} is missing (null)")
    return value if isinstance(value, str) else problem_of(value)
