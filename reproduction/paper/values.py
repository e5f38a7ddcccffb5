"""The numbers of Tables 1-8 of 2505.15201, as printed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pkpo.errors import InvalidInputError
from reproduction.old_results import Table

K_OPT = (1, 2, 4, 8)
"""What the arms of Tables 1-4, 7 and 8 were trained for."""

K_EVAL = (1, 2, 4, 8, 16)
"""What they were measured at."""

TZSM25 = "[TZSM25]"
"""The arm trained for k = n = 16 (Tang et al., 2025)."""

ENTROPY = "EntropyReg"
"""The arm trained for pass@1 with an entropy bonus."""


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
    """One table of the paper.

    Args:
        number: the paper's.
        model, benchmark: as its caption names them.
        columns: titles of the columns of numbers.
        rows: a number for each column, by arm.
    """

    number: int
    model: str
    benchmark: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Reported, ...]]

    @property
    def has_every_k(self) -> bool:
        """Whether its columns are pass@k at each k of K_EVAL."""
        return self.columns == _EVERY_K

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
            name=f"paper_table{self.number}",
            title=f"Table {self.number} of the paper: {self.model} on {self.benchmark}",
            headers=(self.model, *self.columns),
            rows=tuple((arm, *map(str, values)) for arm, values in self.rows.items()),
            notes=("Per cent, mean ± standard error over three seeds. Bold: highest mean.",),
            bold=frozenset(bold),
        )


_EVERY_K = tuple(measured_at(k) for k in K_EVAL)
_BY_K = (_EVERY_K, (*(trained_for(k) for k in K_OPT), TZSM25, ENTROPY))
_ARC = (
    ("Cumulative Solve Rate", "pass@1", "pass@16"),
    (trained_for(1), trained_for(4), trained_for(8), TZSM25, ENTROPY),
)


def _table(
    number: int,
    model: str,
    benchmark: str,
    layout: tuple[tuple[str, ...], tuple[str, ...]],
    values: tuple[tuple[tuple[float, float], ...], ...],
) -> PaperTable:
    columns, arms = layout
    rows = {arm: tuple(Reported(*pair) for pair in row) for arm, row in zip(arms, values)}
    return PaperTable(number, model, benchmark, columns, rows)


_TABLES = (
    _table(
        1,
        "GEMMA2-9B",
        "MATH",
        _BY_K,
        (
            ((22.24, 0.50), (25.35, 0.55), (30.73, 0.59), (37.08, 0.64), (42.59, 0.68)),
            ((21.46, 0.51), (28.61, 0.56), (32.92, 0.61), (39.59, 0.66), (45.34, 0.70)),
            ((21.25, 0.53), (27.15, 0.58), (34.93, 0.63), (41.71, 0.69), (47.05, 0.74)),
            ((20.69, 0.56), (26.78, 0.60), (33.68, 0.66), (42.62, 0.72), (48.37, 0.77)),
            ((19.48, 0.61), (25.41, 0.67), (31.17, 0.73), (39.34, 0.79), (44.82, 0.83)),
            ((20.85, 0.58), (26.05, 0.64), (32.48, 0.70), (38.21, 0.76), (43.95, 0.81)),
        ),
    ),
    _table(
        2,
        "LLAMA3.1-8B",
        "MATH",
        _BY_K,
        (
            ((51.15, 0.61), (51.82, 0.64), (53.69, 0.68), (55.41, 0.72), (56.83, 0.76)),
            ((49.72, 0.62), (53.51, 0.66), (55.45, 0.70), (57.23, 0.74), (58.71, 0.78)),
            ((49.18, 0.64), (52.20, 0.68), (57.83, 0.72), (58.47, 0.77), (59.28, 0.81)),
            ((48.63, 0.67), (52.14, 0.71), (56.28, 0.75), (59.04, 0.80), (61.88, 0.84)),
            ((48.21, 0.70), (50.93, 0.75), (54.38, 0.80), (57.11, 0.85), (58.55, 0.90)),
            ((48.51, 0.68), (51.95, 0.73), (55.33, 0.78), (56.95, 0.83), (58.18, 0.88)),
        ),
    ),
    _table(
        3,
        "GEMMA2-9B",
        "Coding",
        _BY_K,
        (
            ((37.71, 0.60), (42.03, 0.65), (48.19, 0.69), (55.07, 0.75), (60.98, 0.79)),
            ((36.84, 0.61), (46.56, 0.67), (52.68, 0.72), (59.73, 0.78), (65.86, 0.84)),
            ((36.49, 0.63), (44.95, 0.69), (57.09, 0.76), (63.64, 0.83), (69.51, 0.88)),
            ((35.75, 0.67), (44.41, 0.73), (55.08, 0.80), (65.56, 0.88), (71.91, 0.94)),
            ((34.36, 0.72), (42.81, 0.78), (52.36, 0.86), (61.07, 0.95), (66.41, 1.01)),
            ((35.91, 0.70), (43.75, 0.76), (53.28, 0.84), (60.13, 0.93), (65.29, 0.99)),
        ),
    ),
    _table(
        4,
        "LLAMA3.1-8B",
        "Coding",
        _BY_K,
        (
            ((67.38, 0.72), (67.45, 0.76), (69.22, 0.80), (71.11, 0.84), (72.84, 0.88)),
            ((64.91, 0.73), (69.73, 0.78), (72.03, 0.82), (74.08, 0.87), (75.89, 0.91)),
            ((64.25, 0.75), (68.47, 0.80), (74.67, 0.85), (75.01, 0.90), (77.75, 0.95)),
            ((63.57, 0.78), (68.39, 0.83), (72.84, 0.88), (76.82, 0.94), (79.33, 0.99)),
            ((62.77, 0.82), (66.86, 0.88), (70.83, 0.94), (73.95, 1.01), (75.47, 1.06)),
            ((63.91, 0.80), (67.85, 0.86), (71.78, 0.92), (72.99, 0.98), (74.31, 1.04)),
        ),
    ),
    _table(
        5,
        "GEMMA2-9B",
        "ARC-AGI-1",
        _ARC,
        (
            ((12.00, 4.33), (2.00, 1.69), (8.18, 4.00)),
            ((82.33, 4.14), (22.00, 2.00), (38.18, 4.67)),
            ((84.14, 4.67), (26.67, 2.50), (44.50, 4.33)),
            ((22.00, 4.44), (6.00, 2.67), (10.16, 4.57)),
            ((24.67, 4.50), (4.00, 2.33), (8.89, 4.89)),
        ),
    ),
    _table(
        6,
        "LLAMA3.1-8B",
        "ARC-AGI-1",
        _ARC,
        (
            ((22.00, 4.18), (3.33, 2.00), (8.00, 4.50)),
            ((87.17, 4.14), (24.33, 2.33), (42.00, 4.16)),
            ((88.89, 4.33), (29.67, 2.67), (43.13, 4.67)),
            ((36.00, 2.50), (8.00, 4.00), (18.00, 4.89)),
            ((28.00, 4.44), (8.00, 2.50), (14.67, 4.44)),
        ),
    ),
    _table(
        7,
        "GEMMA2-2B",
        "MATH",
        _BY_K,
        (
            ((15.91, 0.40), (18.12, 0.43), (23.37, 0.48), (29.58, 0.53), (35.02, 0.58)),
            ((15.15, 0.41), (20.73, 0.45), (25.81, 0.50), (31.96, 0.55), (37.75, 0.60)),
            ((14.86, 0.43), (19.86, 0.47), (27.59, 0.52), (34.27, 0.58), (38.91, 0.62)),
            ((14.19, 0.46), (19.33, 0.50), (26.45, 0.55), (35.49, 0.60), (40.73, 0.65)),
            ((13.11, 0.50), (18.09, 0.54), (24.58, 0.60), (31.81, 0.66), (37.24, 0.71)),
            ((14.51, 0.48), (18.95, 0.52), (25.33, 0.58), (30.95, 0.64), (36.18, 0.69)),
        ),
    ),
    _table(
        8,
        "GEMMA2-2B",
        "Coding",
        _BY_K,
        (
            ((19.82, 0.53), (23.81, 0.57), (29.75, 0.62), (36.33, 0.66), (42.04, 0.71)),
            ((18.70, 0.54), (26.94, 0.59), (33.82, 0.64), (40.95, 0.69), (47.03, 0.74)),
            ((18.69, 0.56), (26.43, 0.61), (36.81, 0.67), (44.81, 0.73), (50.55, 0.78)),
            ((17.94, 0.59), (25.86, 0.64), (35.88, 0.70), (46.45, 0.77), (52.83, 0.83)),
            ((16.81, 0.65), (24.27, 0.69), (33.11, 0.76), (41.98, 0.84), (47.26, 0.89)),
            ((18.05, 0.62), (25.13, 0.67), (34.01, 0.74), (40.88, 0.81), (46.15, 0.86)),
        ),
    ),
)


def paper_tables() -> tuple[PaperTable, ...]:
    """Tables 1-8, in the paper's order."""
    return _TABLES
