"""Tables 1-4, 7 and 8 of the paper beside a study."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pkpo.errors import InvalidInputError
from reproduction.comparing import difference, mean_and_error
from reproduction.old_results import Table
from reproduction.paper import values as paper_values
from reproduction.paper.values import K_EVAL, PaperTable, measured_at, paper_tables
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import (
    ENTROPY,
    OPTIMISED,
    TZSM25,
    best_in_columns,
    present,
    ways_of_choosing,
)

BENCHMARKS: Mapping[str, str] = {
    "countdown": "MATH",
    "programs": "MATH",
    "programs-parts": "Coding",
}
"""By study, the paper's benchmark that it stands for."""

ROWS: Mapping[str, str] = {
    **{method: paper_values.trained_for(k) for k, method in OPTIMISED.items()},
    TZSM25: paper_values.TZSM25,
    ENTROPY: paper_values.ENTROPY,
}
"""The paper's rows by our methods."""


def tables_of(study: str) -> tuple[PaperTable, ...]:
    """The paper's tables of the benchmark that a study stands for.

    Raises:
        InvalidInputError: the study stands for no benchmark of these tables.
    """
    if study not in BENCHMARKS:
        raise InvalidInputError(
            f"study {study!r} stands for no table; those that do: {', '.join(BENCHMARKS)}"
        )
    return tuple(t for t in paper_tables() if t.benchmark == BENCHMARKS[study] and t.has_every_k)


def beside_table(data: StudyData, paper: PaperTable) -> Table:
    """One of the paper's tables and ours in its layout, column by column."""
    methods = present(data, ROWS)
    rows, means = [], []
    for method in methods:
        cells, numbers = [], []
        for k in K_EVAL:
            theirs, ours = paper.column(measured_at(k))[ROWS[method]], data.scores(method, k)
            cells += [str(theirs), mean_and_error(ours)]
            numbers += [theirs.mean, float(ours.mean())]
        rows.append((method, *cells))
        means.append(numbers)
    return Table(
        name=f"beside_table{paper.number}",
        title=f"Table {paper.number} of the paper ({paper.model}, {paper.benchmark}) and ours",
        headers=("", *(f"{whose}, k_eval={k}" for k in K_EVAL for whose in ("paper", "here"))),
        rows=tuple(rows),
        notes=(
            "Per cent, mean ± standard error over seeds; bold: highest mean of the column. The "
            "levels belong to other models and problems; the pattern is what can be compared. "
            "Ours: one policy a method, chosen over all k.",
        ),
        bold=best_in_columns(means, 0, 1),
    )


def gains_table(data: StudyData, papers: tuple[PaperTable, ...]) -> Table:
    """What each method has over k_opt = 1 at each k, in the paper's tables and here."""
    rows = []
    plain = OPTIMISED[1]
    for method in (m for m in present(data, ROWS) if m != plain):
        for paper in papers:
            gains = paper_gains(paper, method)
            name = f"{method}, Table {paper.number}"
            rows.append((name, *(f"{100 * gain:+.1f}" for gain in gains)))
        for way, for_k in ways_of_choosing(data).items():
            ours = [
                difference(data.scores(method, k, for_k=for_k), data.scores(plain, k, for_k=for_k))
                for k in K_EVAL
            ]
            rows.append((f"{method}, here, {way}", *(gap.text() for gap in ours)))
    return Table(
        name="gains_beside_paper",
        title="What each method has over k_opt = 1: the paper and here",
        headers=("", *(f"k_eval={k}" for k in K_EVAL)),
        rows=tuple(rows),
        notes=(
            "Percentage points over k_opt = 1. Ours with the standard error of the paired "
            "difference; the paper gives none for differences.",
        ),
    )


def paper_gains(paper: PaperTable, method: str) -> np.ndarray:
    """Fractions of 1 that a method has over k_opt = 1 at each k of K_EVAL, as printed."""
    columns = [paper.column(measured_at(k)) for k in K_EVAL]
    plain = ROWS[OPTIMISED[1]]
    return np.array([(c[ROWS[method]].mean - c[plain].mean) / 100 for c in columns])
