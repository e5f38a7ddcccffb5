"""What `compare` gives: differences with intervals, crossings, gains and losses, and how they are
shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Literal

from pkpo.core.objectives import Objective
from pkpo.evaluate.evaluation import TARGET_NAMES
from pkpo.evaluate.formats import Formats, Notes, Record, is_chance, numbers_for, plain
from pkpo.evaluate.intervals import Interval
from pkpo.tables import Table, bullets, markdown_escape

SCHEMA = "pkpo-compare-1"
MOST_MOVED = 10
"""Problems gained, and lost, that a table shows."""

Target = Literal["fixed", "population"]
TARGETS: tuple[Target, ...] = ("fixed", "population")


@dataclass(frozen=True)
class Contrast:
    """A difference, with what can be said of it.

    Args:
        interval: for this difference alone.
        simultaneous: at Bonferroni's level, so that those of all objectives and runs of the
            comparison hold together.
        p: two-sided p-value of no difference; NaN without an interval.
        adjusted_p: by Holm over all objectives and runs; differences without a p-value count
            as tests that found nothing.
    """

    interval: Interval
    simultaneous: Interval
    p: float
    adjusted_p: float

    @property
    def sign(self) -> int:
        """1 or -1 where the simultaneous interval excludes 0 on that side, else 0."""
        if not self.simultaneous.given:
            return 0
        return int(self.simultaneous.lower > 0) - int(self.simultaneous.upper < 0)


@dataclass(frozen=True)
class Difference:
    """One objective, one run against the baseline.

    Args:
        run, baseline: names of the two; differences are run minus baseline.
        name, objective, k: what is compared.
        value, baseline_value: of each, over the problems used; NaN if undefined.
        difference: of these.
        num_problems: used, the same for both.
        num_dropped: left out because a run has fewer than k samples for them.
        fixed: for these problems; samples of both runs vary independently.
        population: for problems like these; pairs of estimates vary.
    """

    run: str
    baseline: str
    name: str
    objective: Objective
    k: int
    value: float
    baseline_value: float
    difference: float
    num_problems: int
    num_dropped: int
    fixed: Contrast
    population: Contrast

    def contrast(self, target: Target) -> Contrast:
        """The one of the two."""
        return self.fixed if target == "fixed" else self.population


@dataclass(frozen=True)
class Crossing:
    """Whether the better of two runs changes with k.

    Args:
        run, baseline: names of the two.
        target: "fixed" or "population".
        estimated_at: the ks from which on the sign of the estimated difference is another.
        better_from: the smallest k from which on the run is better at every k, by the
            simultaneous intervals; None if there is none.
        worse_from: the same where it is worse.
        better_up_to, worse_up_to: the largest k up to which it is so at every k.
        text: the same in words.
    """

    run: str
    baseline: str
    target: Target
    estimated_at: tuple[int, ...]
    better_from: int | None
    worse_from: int | None
    better_up_to: int | None
    worse_up_to: int | None
    text: str


@dataclass(frozen=True)
class MovedProblem:
    """One problem.

    Args:
        problem: its id.
        rate, baseline_rate: mean reward (for 0/1 rewards the solve rate) in the two runs.
        p: two-sided p-value of no difference: Fisher's exact test for 0/1 rewards,
            Mann and Whitney's for others.
    """

    problem: str
    rate: float
    baseline_rate: float
    p: float


@dataclass(frozen=True)
class Moved:
    """Problems gained and lost against the baseline.

    Args:
        run, baseline: names.
        false_discovery_rate: the expected share of mistakes among them is at most this
            (Benjamini and Hochberg, over all problems).
        num_problems: tested.
        gained, lost: problems with a higher or lower mean reward, by size of the change.
    """

    run: str
    baseline: str
    false_discovery_rate: float
    num_problems: int
    gained: tuple[MovedProblem, ...]
    lost: tuple[MovedProblem, ...]

    @property
    def text(self) -> str:
        return (
            f"{self.run} gained {len(self.gained)} and lost {len(self.lost)} of "
            f"{self.num_problems} problems against {self.baseline} (at most "
            f"{100 * self.false_discovery_rate:g} % of these by chance)"
        )


@dataclass(frozen=True)
class Comparison(Formats):
    """Runs against a baseline; `print` shows it.

    Args:
        baselines: for each run that is compared with another, the name of that other.
        differences: for each run, one for each objective.
        crossings: for each run and target, over the ks of pass@k or max@k.
        moved: for each run, the problems gained and lost; not where probabilities are exact.
        num_problems: matched.
        num_unmatched: problems that some run lacks, left out.
        confidence: of all intervals.
    """

    baselines: Mapping[str, str]
    differences: tuple[Difference, ...]
    crossings: tuple[Crossing, ...]
    moved: tuple[Moved, ...]
    num_problems: int
    num_unmatched: int
    confidence: float

    @property
    def baseline(self) -> str | None:
        """The run that all others are compared with, if it is one."""
        names = set(self.baselines.values())
        return names.pop() if len(names) == 1 else None

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that are compared with another."""
        return tuple(self.baselines)

    def __str__(self) -> str:
        lines = [
            f"{self.num_problems} problems in common, {self.num_unmatched} left out; "
            f"minus {self.baseline or 'their own baselines'}; "
            f"intervals at {100 * self.confidence:g} %, p by Holm"
        ]
        lines += [
            f"{d.run} {d.name}: {d.difference:+.4f}  "
            f"these problems {d.fixed.interval} p {d.fixed.adjusted_p:.2g}  "
            f"problems like these {d.population.interval} p {d.population.adjusted_p:.2g}"
            for d in self.differences
        ]
        lines += [f"{TARGET_NAMES[c.target]}: {c.text}" for c in self.crossings]
        return "\n".join([*lines, *(moved.text for moved in self.moved)])

    __repr__ = __str__

    def records(self) -> list[Record]:
        return [_flat(difference) for difference in self.differences]

    def to_dict(self) -> Record:
        names = ("num_problems", "num_unmatched", "confidence", "differences", "crossings", "moved")
        head = {"schema": SCHEMA, "baseline": self.baseline, "runs": list(self.runs)}
        return head | {name: plain(getattr(self, name)) for name in names}

    def to_markdown(self) -> str:
        parts = [table.to_markdown() for table in difference_tables(self)]
        parts += [markdown_escape(how_to_read(self)), bullets(verdicts(self))]
        return "\n\n".join([*parts, *(table.to_markdown() for table in moved_tables(self))])

    def _repr_html_(self) -> str:
        parts = [table.to_html() for table in difference_tables(self)]
        parts += [f"<p>{escape(text)}</p>" for text in (how_to_read(self), *verdicts(self))]
        return "\n".join([*parts, *(table.to_html() for table in moved_tables(self))])


def _flat(difference: Difference) -> Record:
    record = plain(difference)
    for target in TARGETS:
        contrast = record.pop(target)
        single, together = contrast["interval"], contrast["simultaneous"]
        columns = {name: single[name] for name in ("kind", "lower", "upper")}
        columns |= {f"simultaneous_{name}": together[name] for name in ("lower", "upper")}
        columns |= {"standard_error": single["standard_error"]}
        columns |= {
            "p": contrast["p"],
            "adjusted_p": contrast["adjusted_p"],
            "note": single["note"],
        }
        record |= {f"{target}_{name}": value for name, value in columns.items()}
    return record


def difference_tables(comparison: Comparison) -> tuple[Table, ...]:
    """For each run, one row an objective: both values and their difference with intervals."""
    tables = []
    for run, baseline in comparison.baselines.items():
        notes, body = Notes(), []
        for row in (d for d in comparison.differences if d.run == run):
            contrasts = [row.contrast(target) for target in TARGETS]
            intervals = [contrast.simultaneous for contrast in contrasts]
            alike = numbers_for([row.name], intervals, signed=False)
            signed = numbers_for([row.name], intervals, signed=True)
            dropped = f"{row.num_dropped} problems with n < k left out" if row.num_dropped else ""
            values = (alike.value(row.baseline_value), alike.value(row.value))
            difference = signed.text(row.difference) + notes.mark(dropped)
            limits = (
                signed.interval(one) + (" *" if contrast.sign else "") + notes.mark_interval(one)
                for contrast, one in zip(contrasts, intervals)
            )
            body.append((row.name, *values, difference, *limits, f"{row.num_problems}"))
        headers = ("", baseline, run, "difference", *TARGET_NAMES.values(), "problems")
        title = f"{run} minus {baseline}"
        tables.append(Table(headers, tuple(body), tuple(notes.texts), title, numbered=True))
    return tuple(tables)


def how_to_read(comparison: Comparison) -> str:
    """What the intervals of `difference_tables` are."""
    number = len(comparison.differences)
    unit = (
        "Differences of chances are in percentage points. "
        if any(is_chance(d.name) for d in comparison.differences)
        else ""
    )
    hold = f"of all {number} differences hold together" if number > 1 else "hold"
    confidence = f"{100 * comparison.confidence:g} % confidence"
    return f"{unit}The intervals {hold} with {confidence}; * marks those that exclude 0."


def verdicts(comparison: Comparison) -> tuple[str, ...]:
    """In words: which run is better from where on, for each run and target."""
    sentences = []
    for run in comparison.runs:
        for target, name in zip(TARGETS, TARGET_NAMES.values()):
            found = [c for c in comparison.crossings if (c.run, c.target) == (run, target)]
            if found:
                sentences.append(f"{name.capitalize()}: {found[0].text}.")
                continue
            rows = [d for d in comparison.differences if d.run == run]
            sentences += [f"{name.capitalize()}: {_verdict(row, target)}." for row in rows]
    return tuple(sentences)


def _verdict(row: Difference, target: Target) -> str:
    sign = row.contrast(target).sign
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
