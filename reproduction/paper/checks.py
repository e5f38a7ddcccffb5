"""What the paper's Tables 1-8 say by their own numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from scipy import stats

from reproduction.paper.values import (
    ENTROPY,
    K_EVAL,
    K_OPT,
    TZSM25,
    PaperTable,
    Reported,
    measured_at,
    trained_for,
)

BEYOND_ERROR = round(stats.t.ppf(0.975, 4), 3)
"""Standard errors: the two-sided 5 % point of Student's t with 4 degrees of freedom, the most
that two arms of three seeds can have."""

_ROUNDING = Fraction(1, 200)
"""How far a printed mean may be from the exact one, in points."""


@dataclass(frozen=True)
class Lead:
    """One arm against another in one column.

    Args:
        table: number of the paper's table.
        column: where they are compared.
        arm, other: their rows.
        points: mean of `arm` minus mean of `other`, in percentage points.
        errors: the same in standard errors of the difference, taking the arms as independent.
    """

    table: int
    column: str
    arm: str
    other: str
    points: float
    errors: float


@dataclass(frozen=True)
class Bend:
    """Where an arm's printed pass@k rises faster from `ks[1]` on than before.

    No pass@k does: it is concave in k, as is its unbiased estimate from one set of samples, and
    any mean of either over problems and seeds; so is max@k.

    Args:
        table: number of the paper's table.
        arm: the row.
        ks: three neighbouring k.
        before, after: points that each more sample brings from ks[0] to ks[1] and from ks[1] to
            ks[2].
    """

    table: int
    arm: str
    ks: tuple[int, int, int]
    before: float
    after: float


def errors_apart(first: Reported, second: Reported) -> float:
    """`first` minus `second` in standard errors of their difference, if independent."""
    return (first.mean - second.mean) / math.hypot(first.error, second.error)


def lead(table: PaperTable, column: str, arm: str, other: str | None = None) -> Lead:
    """`arm` against `other`, or against the best of all others; negative where it is behind."""
    values = table.column(column)
    if other is None:
        other = max((name for name in values if name != arm), key=lambda name: values[name].mean)
    points = round(values[arm].mean - values[other].mean, 2)
    return Lead(table.number, column, arm, other, points, errors_apart(values[arm], values[other]))


def diagonal_leads(tables: Sequence[PaperTable]) -> tuple[Lead, ...]:
    """The arm with k_opt = k_eval against the best other, for each k_opt of each table by k."""
    return tuple(
        lead(table, measured_at(k), trained_for(k))
        for table in tables
        if table.has_every_k
        for k in K_OPT
    )


def leads_at(
    tables: Sequence[PaperTable], k_eval: int, arm: str, other: str | None = None
) -> tuple[Lead, ...]:
    """`lead` at `k_eval` in each table by k."""
    column = measured_at(k_eval)
    return tuple(lead(table, column, arm, other) for table in tables if table.has_every_k)


def deficits(table: PaperTable) -> tuple[float, ...]:
    """Points from training for pass@1 up to the best arm, at each k of K_EVAL."""
    arm = trained_for(1)
    return tuple(max(-lead(table, measured_at(k), arm).points, 0.0) for k in K_EVAL)


def entropy_changes(table: PaperTable) -> tuple[float, ...]:
    """Points that the entropy bonus adds to training for pass@1, in each column of pass@k."""
    columns = (name for name in table.columns if name != "Cumulative Solve Rate")
    return tuple(lead(table, name, ENTROPY, trained_for(1)).points for name in columns)


def gains_of_eight_over_four(table: PaperTable) -> tuple[float, float]:
    """Points of k_opt = 8 over k_opt = 4 at k_eval = 8 and at k_eval = 16."""
    at_8, at_16 = (lead(table, measured_at(k), trained_for(8), trained_for(4)) for k in (8, 16))
    return at_8.points, at_16.points


def n_of_n_leads(tables: Sequence[PaperTable]) -> tuple[Lead, ...]:
    """k_opt = 8 against training for 16 of 16 at k_eval = 16, in each table by k."""
    return leads_at(tables, 16, trained_for(8), TZSM25)


def bends(tables: Sequence[PaperTable]) -> tuple[Bend, ...]:
    """Every bend of the tables by k that rounding to the printed digits can't explain."""
    found = []
    for table in tables:
        if not table.has_every_k:
            continue
        for arm, values in table.rows.items():
            exact = [Fraction(str(value.mean)) for value in values]
            for i in range(len(K_EVAL) - 2):
                ks = K_EVAL[i : i + 3]
                near, far = ks[1] - ks[0], ks[2] - ks[1]
                before, after = (
                    (exact[i + 1] - exact[i]) / near,
                    (exact[i + 2] - exact[i + 1]) / far,
                )
                # The middle mean counts in both slopes, each end in one.
                slack = _ROUNDING * (Fraction(1, near) + Fraction(1, far)) * 2
                if after - before > slack:
                    first, middle, last = ks
                    found.append(
                        Bend(table.number, arm, (first, middle, last), float(before), float(after))
                    )
    return tuple(found)
