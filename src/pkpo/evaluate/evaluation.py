"""What `evaluate` gives: values with intervals, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pkpo.core.objectives import Objective
from pkpo.evaluate.formats import Formats, Notes, Record, flat, is_chance, numbers_for, plain
from pkpo.evaluate.intervals import Interval
from pkpo.tables import Table

SCHEMA = "pkpo-eval-1"
TARGET_NAMES = {"fixed": "these problems", "population": "problems like these"}
WHAT_THE_INTERVALS_ARE = (
    "These problems: covers what the value of these very problems would be, sampled without end.",
    "Problems like these: covers the value over all problems of the kind these were drawn from.",
)
_RUNS_ABREAST = 5


@dataclass(frozen=True)
class Row:
    """One objective on one set of samples.

    Args:
        name: "pass@8", "max@8", ...
        objective: what is estimated.
        k: the number of samples it is about.
        value: mean over the problems used of the unbiased estimate of each; NaN if undefined.
        num_problems: how many problems the value is over.
        num_dropped: problems left out for having fewer than k samples.
        fixed: where the value of these very problems lies; only samples vary.
        population: where the mean over all problems of this kind lies; problems and samples
            vary.
        note: why `value` is NaN, or what else to know.
    """

    name: str
    objective: Objective
    k: int
    value: float
    num_problems: int
    num_dropped: int
    fixed: Interval
    population: Interval
    note: str = ""


@dataclass(frozen=True)
class Evaluation(Formats):
    """Values and intervals; `print` shows them as a table.

    Args:
        rows: one for each objective, in the order asked for.
        num_problems, num_samples: in the samples; no samples stand behind exact values.
        confidence: of the intervals.
        simultaneous: whether all intervals of a kind hold together with that confidence.
        source: what was evaluated.
    """

    rows: tuple[Row, ...]
    num_problems: int
    num_samples: int
    confidence: float
    simultaneous: bool
    source: str = ""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, key: str | int | Objective) -> Row:
        """The row of a name, an objective, or the only row with this k."""
        found = [r for r in self.rows if key in (r.name, str(r.objective)) or key == r.objective]
        if isinstance(key, int):
            found = [row for row in self.rows if row.k == key]
        if len(found) != 1:
            names = ", ".join(row.name for row in self.rows)
            raise KeyError(f"{key!r} names {len(found)} of the rows: {names}")
        return found[0]

    def __str__(self) -> str:
        head = f"{self.num_problems} problems, {self.num_samples or 'exact, no'} samples"
        if self.source:
            head = f"{self.source}: {head}"
        together = ", simultaneous" if self.simultaneous else ""
        headers = ("", "value", *TARGET_NAMES.values(), "used")
        cells = tuple(
            (r.name, f"{r.value:.4f}", str(r.fixed), str(r.population), str(r.num_problems))
            for r in self.rows
        )
        notes = [
            f"{row.name}, {what}: {note}"
            for row in self.rows
            for what, note in zip(
                ("value", *TARGET_NAMES.values()),
                (row.note, row.fixed.note, row.population.note),
            )
            if note
        ]
        table = Table(headers, cells, words=frozenset(range(5))).to_text()
        title = f"{head}; intervals at {100 * self.confidence:g} %{together}"
        return "\n".join([title, table, *notes])

    __repr__ = __str__

    def records(self) -> list[Record]:
        return [flat(plain(row)) for row in self.rows]

    def to_dict(self) -> Record:
        names = ("source", "num_problems", "num_samples", "confidence", "simultaneous")
        head = {"schema": SCHEMA} | {name: getattr(self, name) for name in names}
        return head | {"estimates": plain(self.rows)}

    def to_markdown(self) -> str:
        return evaluation_table(self).to_markdown()

    def _repr_html_(self) -> str:
        return evaluation_table(self).to_html()


def evaluation_table(evaluation: Evaluation) -> Table:
    """One row an objective: the value, both intervals and the number of problems behind it."""
    notes = Notes()
    body = []
    for row in evaluation.rows:
        # Where its own intervals don't say how many decimals it warrants, those of its unit do.
        alone = row.fixed.standard_error > 0 or row.population.standard_error > 0
        unit = [r for r in evaluation.rows if is_chance(r.name) == is_chance(row.name)]
        known = [one for r in ([row] if alone else unit) for one in (r.fixed, r.population)]
        numbers = numbers_for([row.name], known, False)
        limits = (
            numbers.interval(one) + (notes.mark_interval(one) if row.num_problems else "")
            for one in (row.fixed, row.population)
        )
        value = numbers.value(row.value) + notes.mark(row.note)
        body.append((row.name, value, *limits, f"{row.num_problems}"))
    percent = f"{100 * evaluation.confidence:g} %"
    headers = ("", "value", *(f"{percent}, {name}" for name in TARGET_NAMES.values()), "problems")
    return Table(headers, tuple(body), tuple(notes.texts), numbered=True)


def left_out_line(evaluation: Evaluation) -> str:
    """Which values leave problems out, for having fewer than k samples."""
    parts = [
        f"{row.name}: {row.num_dropped} of {evaluation.num_problems}"
        for row in evaluation.rows
        if row.num_dropped
    ]
    return f"problems left out for n < k: {', '.join(parts) or 'none'}"


def side_by_side_tables(evaluations: Mapping[str, Evaluation]) -> tuple[Table, ...]:
    """One column a run, as many in a table as a terminal of 80 columns has room for: each value,
    and below it the interval for problems like these."""
    names = list(evaluations)
    tables = []
    for shown in (names[i : i + _RUNS_ABREAST] for i in range(0, len(names), _RUNS_ABREAST)):
        notes = Notes()
        body: list[tuple[str, ...]] = []
        for rows in zip(*(evaluations[name] for name in shown)):
            numbers = numbers_for([rows[0].name], [row.population for row in rows], False)
            body.append((rows[0].name, *(numbers.text(row.value) + numbers.unit for row in rows)))
            limits = (
                numbers.interval(row.population).removesuffix(numbers.unit).replace(" to ", "–")
                + notes.mark_interval(row.population)
                for row in rows
            )
            body.append(("", *limits))
        confidence = evaluations[shown[0]].confidence
        title = f"Below each value its {100 * confidence:g} % interval for problems like these"
        headers = ("", *shown)
        tables.append(Table(headers, tuple(body), tuple(notes.texts), title, numbered=True))
    return tuple(tables)
