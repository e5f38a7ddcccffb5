"""Methods that the papers don't have, at equal samples and the same seeds as the papers'."""

from __future__ import annotations

from collections.abc import Mapping

from reproduction.beyond.claims import claims
from reproduction.beyond.drawings import centred_figure, gaps_figure
from reproduction.beyond.numbers import (
    CENTRED,
    PAPER_SETTINGS,
    beyond_methods,
    centred_gaps,
    counted,
    gaps,
    paper_best,
)
from reproduction.comparing import Difference, mean_and_error
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData, pass_at_k, settings
from reproduction.studies.settings import K_VALUES
from reproduction.studies.tables import (
    OPTIMISED,
    candidate_text,
    candidates_table,
    one_policy_table,
    present,
    seeds_table,
)


def make(context: Context, data: StudyData) -> Result:
    """Each method over the paper's best setting at each k, and the two baselines of max@k."""
    ours, papers = beyond_methods(data), present(data, PAPER_SETTINGS)
    compared = ours if papers else ()
    title = data.study.title
    judged, left_out = claims(data)
    return Result(
        settings={
            **settings(data),
            "paper_settings": list(papers),
            "methods": list(ours),
        },
        tables=(
            *((gaps_table(data, ours), chosen_table(data, ours)) if compared else ()),
            *_baselines_table(data),
            one_policy_table(data, (*papers, *ours), "one_policy", f"{title}: one policy a method"),
            candidates_table(data, ours, "candidates", f"{title}: what was chosen among"),
            seeds_table(data, (*papers, *ours), "seeds", f"{title}: every reported run"),
        ),
        drawings=_drawings(data, compared),
        claims=judged,
        notes=(
            "All methods have the same samples a step, steps, learning rates to choose among and "
            "seeds.",
            *((_chance(data, ours),) if compared else ()),
            *left_out,
        ),
    )


def _chance(data: StudyData, methods: tuple[str, ...]) -> str:
    found = counted(data, methods)
    return (
        f"{len(methods)} methods at {len(K_VALUES)} values of k are {found.total} comparisons, of "
        f"which {found.by_chance:.1f} would be expected beyond a 95 % interval, on either side, "
        f"if no method differed. Found: {found.above} above and {found.below} below; by Holm's "
        f"procedure over all of them, {found.above_holm} above and {found.below_holm} below. "
        "Comparisons of one method at several k, and of several methods with one setting, "
        "are not independent."
    )


def gaps_table(data: StudyData, methods: tuple[str, ...]) -> Table:
    """Each method minus the paper's best setting."""
    found = {method: gaps(data, method) for method in methods}
    best = [paper_best(data, k) for k in K_VALUES]
    scores = [pass_at_k(data.arm(b.arm), k) for b, k in zip(best, K_VALUES)]
    return Table(
        name="over_best",
        title=f"{data.study.title}: points over the paper's best setting",
        headers=("", *(f"k_eval={k}" for k in K_VALUES)),
        rows=(
            ("the paper's best setting", *(b.method for b in best)),
            ("its pass@k", *map(mean_and_error, scores)),
            *((m, *(gap.text() for gap in row.values())) for m, row in found.items()),
        ),
        notes=(
            "Percentage points of held-out pass@k, mean ± standard error of paired differences "
            f"over {len(data.reported.seeds)} seeds; bold: beyond the 95 % interval, on either "
            "side.",
            "The paper's best setting: the one with the highest pass@k at this k on validation "
            "problems, in runs with other seeds. Every method's candidate is chosen for this k "
            "in the same way.",
        ),
        bold=_beyond(found, first_row=2),
    )


def chosen_table(data: StudyData, methods: tuple[str, ...]) -> Table:
    """What validation chose for each k."""
    best = [paper_best(data, k) for k in K_VALUES]
    rows = [
        (
            "the paper's best setting",
            *(f"{b.method}, {candidate_text(data, b.arm)}: {100 * b.validation:.1f}" for b in best),
        )
    ]
    for method in methods:
        choice = data.choices[method]
        arms = [choice.by_k[k] for k in K_VALUES]
        cells = (
            f"{candidate_text(data, arm)}: {100 * choice.scores[arm][k]:.1f}"
            for arm, k in zip(arms, K_VALUES)
        )
        rows.append((method, *cells))
    seeds = ", ".join(map(str, data.study.tuning_seeds))
    return Table(
        name="chosen",
        title=f"{data.study.title}: what validation chose for each k",
        headers=("", *(f"k_eval={k}" for k in K_VALUES)),
        rows=tuple(rows),
        notes=(f"With validation pass@k in per cent, mean over tuning seeds {seeds}.",),
    )


def _baselines_table(data: StudyData) -> tuple[Table, ...]:
    """The centred baseline minus that of eq. (33)."""
    found = {f"max@{k}": centred_gaps(data, k) for k in _both_baselines(data)}
    if not found:
        return ()
    return (
        Table(
            name="baselines",
            title=f"{data.study.title}: the centred baseline over that of eq. (33)",
            headers=("trained for", *(f"k_eval={k}" for k in K_VALUES)),
            rows=tuple((m, *(gap.text() for gap in row.values())) for m, row in found.items()),
            notes=(
                "Percentage points of held-out pass@k, mean ± standard error of paired "
                "differences over seeds; bold: beyond the 95 % interval, on either side.",
            ),
            bold=_beyond(found, first_row=0),
        ),
    )


def _both_baselines(data: StudyData) -> tuple[int, ...]:
    """The k for which the study has both."""
    return tuple(
        k for k, label in CENTRED.items() if len(present(data, (label, OPTIMISED[k]))) == 2
    )


def _beyond(
    found: Mapping[str, Mapping[int, Difference]], first_row: int
) -> frozenset[tuple[int, int]]:
    return frozenset(
        (i, j)
        for i, row in enumerate(found.values(), first_row)
        for j, gap in enumerate(row.values(), 1)
        if gap.above or gap.below
    )


def _drawings(data: StudyData, compared: tuple[str, ...]) -> tuple[Drawing, ...]:
    intervals = (
        "Means of paired differences over seeds in held-out pass@k with 95 % intervals; filled "
        "where the interval lies on one side of zero."
    )
    drawings = []
    if compared:
        drawings.append(
            Drawing(
                name="over_best",
                title="Points over the paper's best setting",
                caption=f"{intervals} The paper's best setting is chosen on validation problems "
                "for each k.",
                alt="A panel for each method with points and intervals against k_eval, and a "
                "dashed line at zero.",
                figure=gaps_figure(data, compared),
            )
        )
    if both := _both_baselines(data):
        drawings.append(
            Drawing(
                name="baselines",
                title="The centred baseline over that of eq. (33)",
                caption=intervals,
                alt="A panel for each k that was trained for with points and intervals against "
                "k_eval, and a dashed line at zero.",
                figure=centred_figure(data, both),
            )
        )
    return tuple(drawings)
