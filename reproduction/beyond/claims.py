"""Claims of our own on methods that the papers don't have."""

from __future__ import annotations

from collections.abc import Mapping

from reproduction.beyond.numbers import (
    CENTRED,
    PAPER_SETTINGS,
    beyond_methods,
    centred_gaps,
    gaps,
)
from reproduction.comparing import ABOVE_RULE, Difference, all_above, is_above
from reproduction.old_results import Claim
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import OPTIMISED, present

_PLACE = "beyond the papers"


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    made: list[Claim] = []
    notes = []
    if present(data, PAPER_SETTINGS):
        made += [_beats(data, method) for method in beyond_methods(data)]
    else:
        notes.append(f"{data.study.name} has none of the paper's settings to compare with.")
    for k, method in CENTRED.items():
        missing = [m for m in (method, OPTIMISED[k]) if m not in data.choices]
        if missing:
            lacks = ", ".join(missing)
            notes.append(
                f"Left out, as {data.study.name} lacks {lacks}: the baselines with k = {k}."
            )
        else:
            made += _centred(data, k)
    return tuple(made), tuple(notes)


def _beats(data: StudyData, method: str) -> Claim:
    found = gaps(data, method)
    return Claim(
        "here",
        _PLACE,
        f"{method} beats the paper's best setting at every k_eval.",
        "Held-out pass@k at each k_eval minus that of the paper's best setting, which is the one "
        f"of {', '.join(present(data, PAPER_SETTINGS))} with the highest pass@k on validation "
        f"problems in the tuning runs; candidates of all methods are chosen for this k. "
        f"{ABOVE_RULE}",
        f"Points: {_listed(found)}.",
        all_above(list(found.values())),
    )


def _centred(data: StudyData, k: int) -> list[Claim]:
    found = centred_gaps(data, k)
    return [
        Claim(
            "here",
            _PLACE,
            f"Trained for max@{k}, the centred leave-one-out baseline is better than that of "
            f"eq. (33) at k_eval = {at}.",
            f"{CENTRED[k]} minus {OPTIMISED[k]}, held-out pass@{at}, each with the candidate "
            f"chosen for it. {ABOVE_RULE}",
            f"{found[at].text()} points.",
            is_above(found[at]),
        )
        for at in (k, 16)
    ]


def _listed(found: Mapping[int, Difference]) -> str:
    return ", ".join(f"{gap.text()} at {k}" for k, gap in found.items())
