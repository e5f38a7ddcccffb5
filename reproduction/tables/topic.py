"""Tables 1-4, 7 and 8 on a study: trained for k, measured at k."""

from __future__ import annotations

from reproduction.old_results import Drawing, Result
from reproduction.old_topics import Context
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.settings import NO_BASELINE
from reproduction.studies.tables import (
    ENTROPY,
    OPTIMISED,
    by_k_table,
    candidates_table,
    chosen_for,
    max_at_k_tables,
    one_policy_table,
    paper_methods,
    present,
    seeds_table,
)
from reproduction.tables.claims import claims
from reproduction.tables.drawings import gains_figure, paper_figure
from reproduction.tables.entropy import coefficients_table
from reproduction.tables.paper import beside_table, gains_table, tables_of


def make(context: Context, data: StudyData) -> Result:
    """The tables of one study, drawn, beside the paper's, and what the paper says of its own."""
    methods = (*paper_methods(data), *present(data, [NO_BASELINE.label]))
    papers = tables_of(data.study.name)
    title = data.study.title
    judged, left_out = claims(data)
    coefficients = (coefficients_table(data),) if ENTROPY in data.choices else ()
    return Result(
        settings=settings(data),
        tables=(
            one_policy_table(data, methods, "one_policy", f"{title}: one policy a method"),
            *(
                [
                    by_k_table(
                        data, methods, "by_k", f"{title}: each cell's candidate chosen for its k"
                    )
                ]
                if data.study.each_k
                else []
            ),
            *max_at_k_tables(data, methods, "max_at_k", f"{title}: max@k of the reward"),
            *(beside_table(data, paper) for paper in papers),
            gains_table(data, papers),
            candidates_table(data, methods, "candidates", f"{title}: what was chosen among"),
            *coefficients,
            seeds_table(data, methods, "seeds", f"{title}: every reported run"),
        ),
        drawings=_drawings(data, methods),
        claims=tuple(claim.about(title) for claim in judged),
        notes=(
            f"{title} stands for {data.study.stands_for}.",
            "Claims are judged with each cell's candidate chosen for its k. With one policy a "
            "method a learning rate that suits one k decides on the others too."
            if data.study.each_k
            else "One policy a method is reported, chosen over all k on validation problems; a "
            "learning rate that suits one k decides on the others too.",
            *left_out,
        ),
    )


def _drawings(data: StudyData, methods: tuple[str, ...]) -> tuple[Drawing, ...]:
    title = data.study.title
    gains = Drawing(
        name="gains",
        title=f"{title}: pass@k against k_eval",
        caption=f"Held-out pass@k, each method's candidate {chosen_for(data)} on validation "
        "problems. Means of paired differences over seeds, bars: one standard error. On the "
        "right the line of the method with k_opt = k_eval should be the highest at its k.",
        alt=f"Two panels against k_eval with a line for each of {', '.join(methods)}: points over "
        "the warm start and points over k_opt = 1.",
        figure=gains_figure(data, methods),
    )
    if OPTIMISED[1] not in data.choices:
        return (gains,)
    beside = Drawing(
        name="beside_paper",
        title="Points over k_opt = 1: the paper's tables and ours",
        caption="The paper's printed means, and ours with each cell's candidate "
        f"{chosen_for(data)}. Bars (ours): one standard error of the paired "
        "difference.",
        alt="A panel for each of the paper's tables and one for this study, with points over "
        "k_opt = 1 against k_eval for each method.",
        figure=paper_figure(data, tables_of(data.study.name)),
    )
    return gains, beside
