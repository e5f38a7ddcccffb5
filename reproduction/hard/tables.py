"""Tables of the hard set: in the layout of Tables 5 and 6, beside them, and run by run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pkpo.report.records import Scores as Evaluation
from reproduction.comparing import mean_and_error
from reproduction.hard.numbers import (
    QUARTER,
    SOLVE_RATE,
    STALLED,
    TENTH,
    control_curves,
    rise,
    share_of_rise,
    solve_curves,
    solved,
    training_pass_at_k,
)
from reproduction.paper import values as paper_values
from reproduction.paper.values import PaperTable
from reproduction.results import Table
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import (
    ENTROPY,
    OPTIMISED,
    TZSM25,
    WARM_START,
    best_in_columns,
    candidate_text,
    measured,
    measured_base,
    present,
)

ROWS: Mapping[str, str] = {
    **{OPTIMISED[k]: paper_values.trained_for(k) for k in (1, 4, 8)},
    TZSM25: paper_values.TZSM25,
    ENTROPY: paper_values.ENTROPY,
}
"""The rows of Tables 5 and 6 by our methods."""

_NONE = "-"
_KS = (1, 16)


def columns_of(data: StudyData, method: str) -> list[np.ndarray]:
    """The columns of Tables 5 and 6 (A,) by seed, in [0, 1]: solve rate, test pass@1, pass@16."""
    return [solved(data, method), *(data.scores(method, k) for k in _KS)]


def results_table(data: StudyData, methods: Sequence[str]) -> Table:
    """One policy a method, and the samplers that don't learn."""
    base = [mean_and_error(data.base(k)) for k in _KS]
    entropy = _plain(measured_base(data, _entropy))
    rows: list[tuple[str, ...]] = [(WARM_START, _NONE, *base, _NONE, _NONE, entropy, _NONE)]
    means = []
    for method in methods:
        arm = data.chosen(method)
        trained = [training_pass_at_k(data, method, k) for k in _KS]
        numbers = [*columns_of(data, method), *trained]
        means.append([float(values.mean()) for values in numbers])
        cells = (mean_and_error(values) for values in numbers)
        entropy = _plain(measured(arm, _entropy))
        rows.append((method, *cells, entropy, candidate_text(data, arm.name)))
    for name, curve in control_curves(data).items():
        rows.append((name, mean_and_error(curve[:, -1]), *[_NONE] * 6))
    return Table(
        name="results",
        title=f"{data.study.title}: the columns of Tables 5 and 6, and more",
        headers=(
            "",
            SOLVE_RATE,
            *(f"test pass@{k}" for k in _KS),
            *(f"training pass@{k}" for k in _KS),
            "entropy",
            "chosen",
        ),
        rows=tuple(rows),
        notes=(
            f"Per cent, mean ± standard error over {len(data.reported.seeds)} seeds; bold: "
            "highest mean of the trained rows. One policy a method: the candidate with the "
            "highest mean over all k on validation problems, in runs with other seeds.",
            "Cumulative solve rate: share of the training problems that had a correct sample at "
            "any step. Training pass@k: of the training batches, mean over the last tenth of "
            "the steps. Entropy: nats a completion, on test problems.",
        ),
        bold=best_in_columns(means, 1, 1),
    )


def beside_table(data: StudyData, papers: Sequence[PaperTable]) -> Table:
    """Tables 5 and 6 and ours, column by column."""
    rows, means = [], []
    columns = papers[0].columns
    for method in present(data, ROWS):
        cells, numbers = [], []
        for column, ours in zip(columns, columns_of(data, method)):
            theirs = [paper.column(column)[ROWS[method]] for paper in papers]
            cells += [*map(str, theirs), mean_and_error(ours)]
            numbers += [*(value.mean for value in theirs), float(ours.mean())]
        rows.append((method, *cells))
        means.append(numbers)
    whose = (*(f"paper, {paper.model}" for paper in papers), "here")
    return Table(
        name="beside_tables5and6",
        title="Tables 5 and 6 of the paper and ours",
        headers=("", *(f"{column}: {who}" for column in columns for who in whose)),
        rows=tuple(rows),
        notes=(
            "Per cent, mean ± standard error over seeds; bold: highest mean of the column. The "
            "paper's levels belong to other models and problems; the pattern is what can be "
            "compared.",
        ),
        bold=best_in_columns(means, 0, 1),
    )


def saturation_table(data: StudyData, methods: Sequence[str]) -> Table:
    """How much the cumulative solve rate still rises at the end."""
    rows = []
    for name, curve in solve_curves(data, methods).items():
        half = curve[:, (curve.shape[1] - 1) // 2]
        share = share_of_rise(curve, QUARTER)
        rows.append(
            (
                name,
                mean_and_error(curve[:, -1]),
                mean_and_error(half),
                mean_and_error(rise(curve, QUARTER)),
                mean_and_error(rise(curve, TENTH)),
                mean_and_error(share),
                f"{int((share < STALLED).sum())} of {len(share)}",
            )
        )
    return Table(
        name="saturation",
        title=f"{data.study.title}: whether training had come to its end",
        headers=(
            "",
            SOLVE_RATE,
            "after half of the steps",
            "last 25 % bring",
            "last 10 % bring",
            "last 25 %, of the whole",
            f"seeds in which that is below {100 * STALLED:g} %",
        ),
        rows=tuple(rows),
        notes=(
            "Per cent and percentage points, mean ± standard error over seeds. The paper trains "
            "until the cumulative rate has not changed for 1,000 steps; here every method has "
            f"{data.study.steps} steps.",
        ),
    )


def runs_table(data: StudyData, methods: Sequence[str]) -> Table:
    """Every reported run of the chosen candidates, and every sampler, seed by seed."""
    rows = []
    trained = {
        method: [
            *columns_of(data, method),
            *(training_pass_at_k(data, method, k) for k in _KS),
            measured(data.chosen(method), _entropy),
        ]
        for method in methods
    }
    for name, curve in solve_curves(data, methods).items():
        rises = [rise(curve, QUARTER), rise(curve, TENTH)]
        rest = trained[name][1:] if name in trained else []
        for place, seed in enumerate(data.reported.seeds):
            values = [curve[place, -1], *(r[place] for r in rises), *(v[place] for v in rest)]
            cells = [f"{value:.5f}" for value in values]
            rows.append((name, str(seed), *cells, *[_NONE] * (8 - len(cells))))
    return Table(
        name="runs",
        title=f"{data.study.title}: every run",
        headers=(
            "",
            "seed",
            SOLVE_RATE,
            "last 25 % bring",
            "last 10 % bring",
            *(f"test pass@{k}" for k in _KS),
            *(f"training pass@{k}" for k in _KS),
            "entropy",
        ),
        rows=tuple(rows),
        notes=("Fractions of 1; entropy in nats a completion. One policy a method.",),
    )


def _entropy(evaluation: Evaluation) -> float | None:
    return evaluation.entropy


def _plain(values: np.ndarray) -> str:
    return _NONE if np.isnan(values).any() else mean_and_error(values, scale=1.0)
