"""Results as tables of text, the same for a terminal, Markdown and a web page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkpo.digits import Towards, decimal_text
from pkpo.evaluate.intervals import Interval
from pkpo.terminal import visible

if TYPE_CHECKING:
    from pkpo.evaluate.compare import Comparison
    from pkpo.evaluate.differences import Contrast, Difference
    from pkpo.evaluate.estimates import Evaluation, Row
    from pkpo.evaluate.extrapolate import Extrapolation

TARGET_NAMES = {"fixed": "these problems", "population": "problems like these"}
_RUNS_ABREAST = 5
MOST_MOVED = 10
"""Problems gained, and lost, that a table shows."""

WHAT_THE_INTERVALS_ARE = (
    "These problems: covers what the value of these very problems would be, sampled without end.",
    "Problems like these: covers the value over all problems of the kind these were drawn from.",
)


@dataclass(frozen=True)
class Table:
    """A table of text; the first column is left-aligned, the others right-aligned.

    Args:
        headers: column titles.
        rows: cells.
        notes: numbered from 1; cells refer to them as [1].
        title: what it is about; may be empty.

    What could steer a terminal, in ids and names, is spelt out (`pkpo.terminal.visible`).
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", _cells(self.headers))
        object.__setattr__(self, "rows", tuple(map(_cells, self.rows)))
        object.__setattr__(self, "notes", _cells(self.notes))
        object.__setattr__(self, "title", visible(self.title, cell=True))

    def plain(self) -> str:
        """Aligned columns of plain text, without title and notes."""
        lines = [self.headers, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headers))]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        )


def _cells(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(visible(text, cell=True) for text in texts)


@dataclass
class Notes:
    """Sentences numbered in the order of their first use."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """ " [2]" for the second sentence, nothing for none."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


@dataclass(frozen=True)
class Numbers:
    """How the numbers of one table are written.

    Args:
        percent: chances in per cent, else as they are.
        decimals: behind the point.
        signed: positive numbers have a plus.
    """

    percent: bool
    decimals: int
    signed: bool = False

    @property
    def unit(self) -> str:
        """What stands behind a number."""
        return " %" if self.percent and not self.signed else ""

    def text(self, value: float, towards: Towards = "nearest") -> str:
        """Without the unit. A chance looks like 0 or 100 % only if it is."""
        if math.isnan(value):
            return "undefined"
        text = decimal_text(
            value,
            self.decimals,
            scale=100 if self.percent else 1,
            towards=towards,
            kept_apart=(0, 100) if self.percent and not self.signed else (),
        )
        return f"+{text}" if self.signed and float(text) > 0 else text

    def interval(self, interval: Interval) -> str:
        """Both limits, or the bound that stands in their place, rounded so that it holds."""
        if interval.kind in ("none", "exact"):
            return interval.kind
        if interval.kind == "lower bound":
            return f"≥ {self.text(interval.lower, 'below')}{self.unit}"
        if interval.kind == "upper bound":
            return f"≤ {self.text(interval.upper, 'above')}{self.unit}"
        return f"{self.text(interval.lower)} to {self.text(interval.upper)}{self.unit}"


def is_chance(name: str) -> bool:
    """Whether a value of this name is a chance, to be shown in per cent."""
    return name.startswith(("pass@", "pass^"))


def numbers_for(names: Iterable[str], intervals: Sequence[Interval], signed: bool) -> Numbers:
    """Per cent if every row is a chance; as many decimals as the narrowest interval warrants."""
    percent = all(map(is_chance, names))
    errors = [i.standard_error for i in intervals if i.standard_error > 0]
    if not errors:
        return Numbers(percent, 1 if percent else 4, signed)
    half_width = 2.0 * min(errors) * (100.0 if percent else 1.0)
    wanted = 1 - math.floor(math.log10(half_width))
    return Numbers(percent, min(max(wanted, 1 if percent else 0), 4 if percent else 8), signed)


def evaluation_table(evaluation: Evaluation) -> Table:
    """One row an objective: the value, both intervals and the number of problems behind it."""
    notes = Notes()
    body = []
    for row in evaluation.rows:
        numbers = _numbers_of(evaluation, row)
        body.append(
            (
                row.name,
                numbers.text(row.value)
                + ("" if math.isnan(row.value) else numbers.unit)
                + notes.mark(row.note),
                *(
                    numbers.interval(interval)
                    + notes.mark(_why(interval) if row.num_problems else "")
                    for interval in (row.fixed, row.population)
                ),
                f"{row.num_problems}",
            )
        )
    percent = f"{100 * evaluation.confidence:g} %"
    headers = ("", "value", *(f"{percent}, {name}" for name in TARGET_NAMES.values()), "problems")
    return Table(headers, tuple(body), tuple(notes.texts))


def _numbers_of(evaluation: Evaluation, row: Row) -> Numbers:
    """As many decimals as the row's own intervals warrant; without any, those of its unit's."""
    alike = [r for r in evaluation.rows if is_chance(r.name) == is_chance(row.name)]
    known = [r for r in (row,) if r.fixed.standard_error > 0 or r.population.standard_error > 0]
    given = [interval for r in known or alike for interval in (r.fixed, r.population)]
    return numbers_for([row.name], given, False)


def side_by_side_tables(evaluations: Mapping[str, Evaluation]) -> tuple[Table, ...]:
    """One column a run, as many in a table as a terminal of 80 columns has room for: each value,
    and below it the interval for problems like these."""
    names = list(evaluations)
    return tuple(
        _side_by_side({name: evaluations[name] for name in names[i : i + _RUNS_ABREAST]})
        for i in range(0, len(names), _RUNS_ABREAST)
    )


def _side_by_side(evaluations: Mapping[str, Evaluation]) -> Table:
    notes = Notes()
    body: list[tuple[str, ...]] = []
    for rows in zip(*evaluations.values()):
        numbers = numbers_for([rows[0].name], [row.population for row in rows], False)
        body.append((rows[0].name, *(numbers.text(row.value) + numbers.unit for row in rows)))
        limits = (
            numbers.interval(row.population).removesuffix(numbers.unit).replace(" to ", "–")
            + notes.mark(_why(row.population))
            for row in rows
        )
        body.append(("", *limits))
    confidence = next(iter(evaluations.values())).confidence
    title = f"Below each value its {100 * confidence:g} % interval for problems like these"
    return Table(("", *evaluations), tuple(body), tuple(notes.texts), title)


def extrapolation_table(extrapolation: Extrapolation) -> Table:
    """One row a k; the title says that it is a model, and what it assumes."""
    numbers = Numbers(percent=True, decimals=1)
    body = tuple(
        (f"pass@{k}", numbers.text(value) + " %", f"{numbers.text(low)} to {numbers.text(high)} %")
        for k, value, low, high in zip(
            extrapolation.ks, extrapolation.values, extrapolation.lower, extrapolation.upper
        )
    )
    headers = ("", "modelled", f"{100 * extrapolation.confidence:g} %, if the model holds")
    title = f"A model, not an estimate: it assumes that {extrapolation.assumptions}"
    return Table(headers, body, (), title)


def difference_tables(comparison: Comparison) -> tuple[Table, ...]:
    """For each run, one row an objective: both values and their difference with intervals."""
    return tuple(_difference_table(comparison, run) for run in comparison.runs)


def _difference_table(comparison: Comparison, run: str) -> Table:
    rows = [d for d in comparison.differences if d.run == run]
    notes = Notes()
    body = []
    for row in rows:
        given = [c.simultaneous for c in (row.fixed, row.population)]
        alike = numbers_for([row.name], given, signed=False)
        signed = numbers_for([row.name], given, signed=True)
        dropped = f"{row.num_dropped} problems with n < k left out" if row.num_dropped else ""
        body.append(
            (
                row.name,
                *(
                    alike.text(v) + ("" if math.isnan(v) else alike.unit)
                    for v in (row.baseline_value, row.value)
                ),
                signed.text(row.difference) + notes.mark(dropped),
                *(_contrast(signed, c, notes) for c in (row.fixed, row.population)),
                f"{row.num_problems}",
            )
        )
    headers = (
        "",
        rows[0].baseline,
        run,
        "difference",
        *TARGET_NAMES.values(),
        "problems",
    )
    return Table(headers, tuple(body), tuple(notes.texts), f"{run} minus {rows[0].baseline}")


def _contrast(numbers: Numbers, contrast: Contrast, notes: Notes) -> str:
    interval = contrast.simultaneous
    star = " *" if contrast.sign else ""
    return numbers.interval(interval) + star + notes.mark(_why(interval))


def _why(interval: Interval) -> str:
    """What stands in the place of an interval, and why; empty for an interval."""
    if interval.given:
        return ""
    what = "no interval" if interval.kind == "none" else "a bound in place of an interval"
    return f"{what}: {interval.note}"


def how_to_read(comparison: Comparison) -> str:
    """What the intervals of `difference_tables` are."""
    number = len(comparison.differences)
    unit = (
        "Differences of chances are in percentage points. "
        if any(is_chance(d.name) for d in comparison.differences)
        else ""
    )
    together = (
        f"The intervals of all {number} differences hold together with "
        f"{100 * comparison.confidence:g} % confidence"
        if number > 1
        else f"The intervals hold with {100 * comparison.confidence:g} % confidence"
    )
    return f"{unit}{together}; * marks those that exclude 0."


def verdicts(comparison: Comparison) -> tuple[str, ...]:
    """In words: which run is better from where on, for each run and target."""
    sentences = []
    for run in comparison.runs:
        for target, name in TARGET_NAMES.items():
            found = [c for c in comparison.crossings if (c.run, c.target) == (run, target)]
            if found:
                sentences.append(f"{name.capitalize()}: {found[0].text}.")
                continue
            rows = [d for d in comparison.differences if d.run == run]
            sentences += [f"{name.capitalize()}: {_verdict(row, target)}." for row in rows]
    return tuple(sentences)


def _verdict(row: Difference, target: str) -> str:
    sign = (row.fixed if target == "fixed" else row.population).sign
    if sign == 0:
        return f"can't tell {row.run} and {row.baseline} apart at {row.name}"
    better, worse = (row.run, row.baseline) if sign > 0 else (row.baseline, row.run)
    return f"{better} is better than {worse} at {row.name}"


def moved_tables(comparison: Comparison) -> tuple[Table, ...]:
    """For each run, the problems that moved most, gains first."""
    tables = []
    for moved in comparison.moved:
        rows = []
        for kind, problems in (("gained", moved.gained), ("lost", moved.lost)):
            rows += [
                (p.problem, kind, f"{p.baseline_rate:.3g}", f"{p.rate:.3g}", f"{p.p:.2g}")
                for p in problems[:MOST_MOVED]
            ]
            rest = len(problems) - MOST_MOVED
            if rest > 0:
                rows.append((f"... and {rest} more", kind, "", "", ""))
        headers = ("problem", "", moved.baseline, moved.run, "p")
        title = (
            f"Problems whose own samples show that {moved.run} is better: {len(moved.gained)} of "
            f"{moved.num_problems}; worse: {len(moved.lost)} (false discovery rate "
            f"{100 * moved.false_discovery_rate:g} %)"
        )
        tables.append(Table(headers, tuple(rows), (), title))
    return tuple(tables)
