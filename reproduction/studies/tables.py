"""Tables of a study: methods against k, mean and standard error over the reported seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from pkpo.report.records import Arm
from pkpo.report.records import Scores as Evaluation
from pkpo.train.config import ArmSettings
from reproduction.comparing import Difference, difference, mean_and_error
from reproduction.results import Table
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES, PAPER_METHODS

WARM_START = "warm start"

OPTIMISED: Mapping[int, str] = {k: f"k_opt={k}" for k in (1, 2, 4, 8)}
"""The methods trained for one k, by that k."""

TZSM25, ENTROPY, ANNEALED = "TZSM25", "EntropyReg", "8→1"


def present(data: StudyData, methods: Iterable[str]) -> tuple[str, ...]:
    """Those of the methods that the study has."""
    return tuple(method for method in methods if method in data.choices)


def paper_methods(data: StudyData) -> tuple[str, ...]:
    """Labels of the study's methods that the paper has, in the paper's order."""
    return present(data, (m.label for m in PAPER_METHODS))


def settings_of(data: StudyData, arm: str) -> ArmSettings:
    """The settings of a candidate."""
    every = (one for found in data.study.candidates().values() for one in found)
    return next(one for one in every if one.name == arm)


def candidate_text(data: StudyData, arm: str) -> str:
    """What was chosen in a candidate, such as "lr 0.001, coefficient 0.01"."""
    found = settings_of(data, arm)
    text = f"lr {found.learning_rate:g}"
    return f"{text}, coefficient {found.entropy_coef:g}" if found.entropy_coef else text


def measured(arm: Arm, of: Callable[[Evaluation], float | None]) -> np.ndarray:
    """One number of the held-out evaluation by seed; NaN where it was not measured."""
    found = [of(run.evaluation) if run.evaluation else None for run in arm.runs]
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def measured_base(data: StudyData, of: Callable[[Evaluation], float | None]) -> np.ndarray:
    """The same of the warm starts."""
    found = [of(data.reported.base[seed]) for seed in data.reported.seeds]
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def chosen_for(data: StudyData) -> str:
    """How the candidates that stand for a method at one k were chosen, in words."""
    return "chosen for its k" if data.study.each_k else "chosen over all k"


def ways_of_choosing(data: StudyData) -> dict[str, bool]:
    """In words, and whether each k has a candidate of its own: one way or both."""
    ways = {"one policy": False}
    return {**ways, "chosen for k": True} if data.study.each_k else ways


def gap_for_k(data: StudyData, first: str, second: str, k: int) -> Difference:
    """Held-out pass@k of one method minus another's by seed, each with the candidate that was
    chosen for this k where the study has it."""
    return difference(data.scores(first, k, for_k=True), data.scores(second, k, for_k=True))


def best_in_columns(
    means: Sequence[Sequence[float]], first_row: int, first_column: int
) -> frozenset[tuple[int, int]]:
    """(row, column) of each column's highest mean.

    Args:
        means: by row and column; NaN where there is nothing.
        first_row, first_column: of the table, where `means` begins.
    """
    bold = set()
    for j, column in enumerate(np.asarray(means, dtype=float).T):
        if np.isfinite(column).any():
            best = np.nanmax(column)
            bold |= {(first_row + int(i), first_column + j) for i in np.flatnonzero(column == best)}
    return frozenset(bold)


def one_policy_table(data: StudyData, methods: Sequence[str], name: str, title: str) -> Table:
    """One policy a method, the candidate chosen over all k: pass@k, entropy, distinct solutions."""
    rows, means = [], []
    base = [data.base(k) for k in K_VALUES]
    extra = [_entropy, _distinct]
    cells = [mean_and_error(values) for values in base]
    cells += [_plain(measured_base(data, of)) for of in extra]
    rows.append((WARM_START, *cells, "-"))
    for method in methods:
        arm = data.chosen(method)
        scores = [data.scores(method, k) for k in K_VALUES]
        means.append([float(values.mean()) for values in scores])
        cells = [mean_and_error(values) for values in scores]
        cells += [_plain(measured(arm, of)) for of in extra]
        rows.append((method, *cells, candidate_text(data, arm.name)))
    return Table(
        name=name,
        title=title,
        headers=("", *_k_eval(), "entropy", "distinct solutions", "chosen"),
        rows=tuple(rows),
        notes=(
            f"Held-out pass@k in per cent, {_over_seeds(data)}. Bold: highest mean of the trained "
            "rows. Each method's candidate is the one with the highest mean over all k on "
            "validation problems, in runs with other seeds.",
            "Entropy in nats a completion; distinct solutions: different correct completions "
            "among the samples of one problem.",
        ),
        bold=best_in_columns(means, 1, 1),
    )


def by_k_table(data: StudyData, methods: Sequence[str], name: str, title: str) -> Table:
    """For each k the candidate that was chosen for that k alone."""
    means = [[float(data.scores(m, k, for_k=True).mean()) for k in K_VALUES] for m in methods]
    base = (WARM_START, *(mean_and_error(data.base(k)) for k in K_VALUES))
    rows = [
        (method, *(mean_and_error(data.scores(method, k, for_k=True)) for k in K_VALUES))
        for method in methods
    ]
    return Table(
        name=name,
        title=title,
        headers=("", *_k_eval()),
        rows=(base, *rows),
        notes=(
            f"Held-out pass@k in per cent, {_over_seeds(data)}. Bold: highest mean of the trained "
            "rows. In each cell the method's candidate is the one with the highest pass@k at this "
            "k on validation problems, in runs with other seeds.",
        ),
        bold=best_in_columns(means, 1, 1),
    )


def max_at_k_tables(
    data: StudyData, methods: Sequence[str], name: str, title: str
) -> tuple[Table, ...]:
    """Held-out max@k of the reward, one policy a method; no table where rewards are 0 or 1."""
    base = [measured_base(data, _max_at(k)) for k in K_VALUES]
    if np.isnan(base).any():
        return ()
    scores = {m: [measured(data.chosen(m), _max_at(k)) for k in K_VALUES] for m in methods}
    table = Table(
        name=name,
        title=title,
        headers=("", *_k_eval()),
        rows=tuple(
            (row, *map(mean_and_error, values))
            for row, values in ((WARM_START, base), *scores.items())
        ),
        notes=(
            f"Per cent of the full reward, {_over_seeds(data)}: what training for k maximises. "
            "Bold: highest mean of the trained rows. Candidates were chosen by pass@k, over all "
            "k; pass@k itself counts a completion as right only with the full reward.",
        ),
        bold=best_in_columns(
            [[float(v.mean()) for v in values] for values in scores.values()], 1, 1
        ),
    )
    return (table,)


def candidates_table(data: StudyData, methods: Sequence[str], name: str, title: str) -> Table:
    """Validation scores of all candidates in the tuning runs; chosen ones in bold."""
    rows, bold = [], set()
    single = K_VALUES if data.study.each_k else ()
    for method in methods:
        choice = data.choices[method]
        for arm, scores in choice.scores.items():
            here = len(rows)
            bold |= {(here, j) for j, k in enumerate(single, 2) if choice.by_k[k] == arm}
            bold |= {(here, 2 + len(K_VALUES))} if choice.overall == arm else set()
            values = [*(scores[k] for k in K_VALUES), float(np.mean([*scores.values()]))]
            cells = (f"{100 * value:.1f}" for value in values)
            rows.append((method, candidate_text(data, arm), *cells))
    seeds = ", ".join(map(str, data.study.tuning_seeds))
    return Table(
        name=name,
        title=title,
        headers=("", "candidate", *_k_eval(), "mean"),
        rows=tuple(rows),
        notes=(
            f"Validation pass@k in per cent after the last step, mean over tuning seeds {seeds}. "
            + (
                "Bold: chosen for that k, and by the mean over all k."
                if single
                else "Bold: chosen."
            ),
        ),
        bold=frozenset(bold),
    )


def seeds_table(data: StudyData, methods: Sequence[str], name: str, title: str) -> Table:
    """Every reported run: held-out pass@k of the warm starts and of each chosen candidate."""
    rows = []
    single = K_VALUES if data.study.each_k else ()
    for place, seed in enumerate(data.reported.seeds):
        base = (_fraction(data.base(k)[place]) for k in K_VALUES)
        rows.append((WARM_START, "", "", "", str(seed), *base, ""))
    for method in methods:
        choice = data.choices[method]
        for arm in choice.names:
            settings = settings_of(data, arm)
            meant = [f"k={k}" for k in single if choice.by_k[k] == arm]
            meant = ["all k", *meant] if choice.overall == arm else meant
            for run in data.arm(arm).runs:
                assert run.evaluation is not None
                cells = (_fraction(run.evaluation.pass_at_k[k]) for k in K_VALUES)
                numbers = (f"{settings.learning_rate:g}", f"{settings.entropy_coef:g}")
                rows.append((method, arm, *numbers, str(run.seed), *cells, ", ".join(meant)))
    return Table(
        name=name,
        title=title,
        headers=(
            "method",
            "arm",
            "learning rate",
            "entropy coefficient",
            "seed",
            *(f"pass@{k}" for k in K_VALUES),
            "chosen for",
        ),
        rows=tuple(rows),
        notes=("Held-out pass@k, fractions of 1.",),
    )


def _entropy(evaluation: Evaluation) -> float | None:
    return evaluation.entropy


def _distinct(evaluation: Evaluation) -> float | None:
    return evaluation.distinct_solutions


def _max_at(k: int) -> Callable[[Evaluation], float | None]:
    return lambda evaluation: None if evaluation.max_at_k is None else evaluation.max_at_k[k]


def _plain(values: np.ndarray) -> str:
    if np.isnan(values).any():
        return "-"
    if len(values) < 2:
        return f"{values.mean():.2f}"
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def _fraction(value: float) -> str:
    return f"{value:.5f}"


def _k_eval() -> tuple[str, ...]:
    return tuple(f"k_eval={k}" for k in K_VALUES)


def _over_seeds(data: StudyData) -> str:
    count = len(data.reported.seeds)
    return f"mean ± standard error over {count} seeds" if count > 1 else "one seed"
