"""Fig. 8 and Tables 5 and 6 on a hard set: what is solved where random search is hopeless."""

from __future__ import annotations

from reproduction.hard.claims import claims
from reproduction.hard.drawings import rolling_figure, solve_rate_figure
from reproduction.hard.numbers import CONTROL_NAMES, STALLED, passes
from reproduction.hard.tables import (
    beside_table,
    results_table,
    runs_table,
    saturation_table,
)
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.paper.values import paper_tables
from reproduction.studies.curves import window_of
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.tables import by_k_table, candidates_table, seeds_table


def make(context: Context, data: StudyData) -> Result:
    """The hard set's tables beside the paper's, its curves, and what the paper says of its own."""
    methods = tuple(data.choices)
    title = data.study.title
    papers = [paper for paper in paper_tables() if not paper.has_every_k]
    each_k = data.study.each_k
    judged, left_out = claims(data)
    return Result(
        settings={
            **settings(data),
            "window_steps": window_of(data.study.steps),
            "stalled_below_share": STALLED,
            "samplers": list(CONTROL_NAMES) if data.study.controls else [],
        },
        tables=(
            results_table(data, methods),
            beside_table(data, papers),
            saturation_table(data, methods),
            *_by_k(data, methods),
            candidates_table(data, methods, "candidates", f"{title}: what was chosen among"),
            runs_table(data, methods),
            seeds_table(data, methods, "seeds", f"{title}: every reported run at every k"),
        ),
        drawings=_drawings(data, methods),
        claims=judged,
        notes=(
            f"{title} stands for {data.study.stands_for}.",
            *_passes(data),
            "Claims are judged with one policy a method, chosen over all k on validation problems"
            + ("; those on test pass@k with the candidate chosen for this k." if each_k else "."),
            *left_out,
            *(() if data.study.controls else ("This study has no samplers that don't learn.",)),
        ),
    )


def _by_k(data: StudyData, methods: tuple[str, ...]) -> tuple[Table, ...]:
    if not data.study.each_k:
        return ()
    title = f"{data.study.title}: each cell's candidate chosen for its k"
    return (by_k_table(data, methods, "by_k", title),)


def _passes(data: StudyData) -> tuple[str, ...]:
    found = passes(data)
    if found is None:
        return ()
    return (
        f"Training goes {found:.1f} times through its problems; in the first pass every step "
        "brings new ones, so that the cumulative solve rate rises even for a policy that does "
        "not learn.",
    )


def _drawings(data: StudyData, methods: tuple[str, ...]) -> tuple[Drawing, Drawing]:
    seeds = len(data.reported.seeds)
    return (
        Drawing(
            name="figure8",
            title="Fig. 8: rolling pass@k on the hard set",
            caption="pass@k of the training batches, moving average with a window of "
            f"{window_of(data.study.steps)} steps: mean over {seeds} seeds with a band of one "
            "standard error.",
            alt="Four panels over training steps, pass@1, pass@4, pass@8 and pass@16, with a "
            "line for each of k_opt = 1, 4 and 8.",
            figure=rolling_figure(data),
        ),
        Drawing(
            name="solve_rate",
            title=f"{data.study.title}: training problems ever solved",
            caption="Share of the training problems that had a correct sample at this step or "
            f"before: mean over {seeds} seeds with a band of one standard error; thin: single "
            "seeds. Grey: samplers that don't learn, with as many samples of the same problems.",
            alt="Two panels over training steps with a rising line for each method and grey "
            "lines for the samplers that don't learn.",
            figure=solve_rate_figure(data, methods),
        ),
    )
