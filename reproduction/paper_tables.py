"""Tables 1-8 of the paper as printed, and which of its statements their numbers bear out."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pkpo.errors import InvalidInputError
from pkpo.tables import Table
from reproduction.measures import Measure, by_seed, estimated, exact
from reproduction.results import Result
from reproduction.topics import Context

K_OPT = (1, 2, 4, 8)
"""What the arms of Tables 1-4, 7 and 8 were trained for."""

K_EVAL = (1, 2, 4, 8, 16)
"""What they were measured at."""

TZSM25 = "[TZSM25]"
"""The arm trained for k = n = 16 (Tang et al., 2025)."""

ENTROPY = "EntropyReg"
"""The arm trained for pass@1 with an entropy bonus."""

SEEDS = 3

_ROUNDING = Fraction(1, 200)
"""How far a printed mean may be from the exact one, in points."""


class Reported(NamedTuple):
    """A mean in per cent, and its standard error over three seeds."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.error:.2f}"


def trained_for(k: int) -> str:
    """The row of the arm trained for `k`."""
    return f"k_opt={k}"


def measured_at(k: int) -> str:
    """The column of pass@k in the tables with every k_eval."""
    return f"k_eval={k}"


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper: by arm, a number for each column."""

    number: int
    model: str
    benchmark: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Reported, ...]]

    @property
    def has_every_k(self) -> bool:
        """Whether its columns are pass@k at each k of K_EVAL."""
        return self.columns == tuple(measured_at(k) for k in K_EVAL)

    def column(self, name: str) -> dict[str, Reported]:
        """The numbers of one column, by arm.

        Raises:
            InvalidInputError: the table has no such column.
        """
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise InvalidInputError(f"Table {self.number} has no column {name!r}; it has {known}")
        place = self.columns.index(name)
        return {arm: values[place] for arm, values in self.rows.items()}

    def as_table(self) -> Table:
        """In the paper's layout, the highest mean of each column in bold."""
        bold = set()
        for j, name in enumerate(self.columns, start=1):
            means = [value.mean for value in self.column(name).values()]
            bold |= {(i, j) for i, mean in enumerate(means) if mean == max(means)}
        return Table(
            title=f"Table {self.number} of the paper: {self.model} on {self.benchmark}",
            headers=(self.model, *self.columns),
            rows=tuple((arm, *map(str, values)) for arm, values in self.rows.items()),
            notes=("Per cent, mean ± standard error over three seeds. Bold: highest mean.",),
            bold=frozenset(bold),
        )


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """Tables 1-8, in the paper's order."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return tuple(
        PaperTable(
            one["number"],
            one["model"],
            one["benchmark"],
            tuple(one["columns"]),
            {arm: tuple(map(_reported, row.split("  "))) for arm, row in one["rows"].items()},
        )
        for one in tomllib.loads(text)["table"]
    )


def _reported(cell: str) -> Reported:
    mean, error = cell.split(" ± ")
    return Reported(float(mean), float(error))


class Lead(NamedTuple):
    """One arm against another in one column, in percentage points, and in standard errors of the
    difference, taking the arms as independent."""

    other: str
    points: float
    errors: float


def lead(table: PaperTable, column: str, arm: str, other: str | None = None) -> Lead:
    """`arm` against `other`, or against the best of all others; negative where it is behind."""
    values = table.column(column)
    if other is None:
        other = max((name for name in values if name != arm), key=lambda name: values[name].mean)
    points = values[arm].mean - values[other].mean
    return Lead(
        other, round(points, 2), points / math.hypot(values[arm].error, values[other].error)
    )


def meant_for(k_eval: int) -> str:
    """The arm that is closest to `k_eval`: k_opt = k_eval, and 8 at 16."""
    return trained_for(min(k_eval, K_OPT[-1]))


def deficits(table: PaperTable) -> tuple[float, ...]:
    """Points from training for pass@1 up to the best arm, at each k of K_EVAL."""
    arm = trained_for(1)
    return tuple(max(-lead(table, measured_at(k), arm).points, 0.0) for k in K_EVAL)


class Bend(NamedTuple):
    """Where an arm's printed pass@k rises faster from `ks[1]` on than before, in points that each
    more sample brings. No pass@k does: it is concave in k, as is its unbiased estimate from one set
    of samples, and any mean of either over problems and seeds; so is max@k."""

    table: int
    arm: str
    ks: tuple[int, int, int]
    before: float
    after: float


def bends(tables: Sequence[PaperTable]) -> tuple[Bend, ...]:
    """Every bend of the tables by k that rounding to the printed digits can't explain."""
    found = []
    for table in tables:
        for arm, values in table.rows.items() if table.has_every_k else ():
            means = [Fraction(str(value.mean)) for value in values]
            for i, ks in enumerate(zip(K_EVAL, K_EVAL[1:], K_EVAL[2:])):
                near, far = ks[1] - ks[0], ks[2] - ks[1]
                before, after = (
                    (means[i + 1] - means[i]) / near,
                    (means[i + 2] - means[i + 1]) / far,
                )
                # The middle mean counts in both slopes, each end in one.
                if after - before > _ROUNDING * (Fraction(1, near) + Fraction(1, far)) * 2:
                    found.append(Bend(table.number, arm, ks, float(before), float(after)))
    return tuple(found)


def make(context: Context) -> Result:
    """The tables as printed, and what their statements are judged by."""
    tables = paper_tables()
    by_k = [table for table in tables if table.has_every_k]
    return Result(
        tables={
            **{f"paper_table{table.number}": table.as_table() for table in tables},
            "paper_leads": lead_table(by_k),
            "paper_bends": bend_table(by_k),
        },
        measures=measures(tables),
        notes=(
            "These are the paper's numbers, copied; nothing here was trained. The claims ask "
            "only what the printed numbers say.",
            "Means over the six tables by k take each table as one observation; between two cells "
            "arms are taken as independent, each with the two degrees of freedom of three seeds.",
        ),
    )


def measures(tables: Sequence[PaperTable]) -> dict[str, Measure]:
    """What the paper's statements on its tables are judged by, in points.

    Of the tables by k each is one observation; the others' cells have their standard errors.
    """
    by_k = [table for table in tables if table.has_every_k]
    lost = [deficits(table) for table in by_k]
    found: dict[str, Measure] = {}

    def over_tables(name: str, k: int, arm: str, other: str | None = None) -> None:
        points = [lead(table, measured_at(k), arm, other).points for table in by_k]
        found[f"{name} at k_eval = {k}"] = by_seed(points)

    for place, k in enumerate(K_EVAL):
        over_tables("lead of the arm meant for it", k, meant_for(k))
        over_tables("gain of the entropy bonus", k, ENTROPY, trained_for(1))
        over_tables("loss of the entropy bonus", k, trained_for(1), ENTROPY)
        over_tables("lead of k_opt = 8 over k_opt = 4", k, trained_for(8), trained_for(4))
        over_tables("lead of k_opt = 8 over [TZSM25]", k, trained_for(8), TZSM25)
        found[f"deficit of k_opt = 1 at k_eval = {k}"] = by_seed([row[place] for row in lost])
        leads = [lead(table, measured_at(k), meant_for(k)) for table in by_k]
        found[f"leads within the error of three seeds at k_eval = {k}"] = exact(
            sum(abs(one.errors) < BEYOND_ERROR for one in leads)
        )
    for table in tables:
        for name in () if table.has_every_k else table.columns:
            for arm, value in table.column(name).items():
                key = f"Table {table.number}, {name}, {arm}"
                found[key] = estimated(value.mean, value.error, SEEDS - 1)
    return {**found, "bends beyond rounding": exact(len(bends(by_k)))}


BEYOND_ERROR = 2.776
"""Standard errors: the two-sided 5 % point of Student's t with 4 degrees of freedom, the most that
two arms of three seeds can have."""


def lead_table(by_k: Sequence[PaperTable]) -> Table:
    """By how much the arm with k_opt = k_eval (8 at 16) is ahead of the best other arm."""
    rows = []
    for table in by_k:
        leads = (lead(table, measured_at(k), meant_for(k)) for k in K_EVAL)
        cells = (f"{one.points:+.2f} ({one.errors:+.2f} s.e.)" for one in leads)
        rows.append((f"Table {table.number}: {table.model}, {table.benchmark}", *cells))
    return Table(
        title="How far the arm meant for k_eval is ahead of the best other arm",
        headers=("", *(f"k_eval={k}" for k in K_EVAL)),
        rows=tuple(rows),
        notes=(
            "Percentage points, and in standard errors of the difference. The arm is the one "
            "with k_opt = k_eval; k_opt = 8 at k_eval = 16.",
            f"No single lead is beyond the error of its three seeds, {BEYOND_ERROR} standard "
            "errors (5 % of Student's t).",
        ),
    )


def bend_table(by_k: Sequence[PaperTable]) -> Table:
    """Where a row can't be the unbiased estimates of pass@k from one set of samples a seed."""
    return Table(
        title="Rows that bend upwards in k",
        headers=("", "k", "points a sample before", "and after"),
        rows=tuple(
            (
                f"Table {one.table}, {one.arm}",
                ", ".join(map(str, one.ks)),
                f"{one.before:.3f}",
                f"{one.after:.3f}",
            )
            for one in bends(by_k)
        ),
        notes=(
            "pass@k and max@k are concave in k, and so are their unbiased estimates from one set "
            "of samples. Rounding to two digits explains none of these.",
        ),
    )
