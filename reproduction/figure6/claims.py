"""What the paper says about Fig. 6, judged on one study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from pkpo.report.records import Arm
from reproduction.comparing import ABOVE_RULE, all_above, difference
from reproduction.figure6.numbers import (
    AROUND,
    ENTROPY_COLUMN,
    SOLVED,
    at_end,
    common_rates,
    epoch_ends,
    ordered_share,
    prompts_per_step,
    slopes_around,
    train_problems,
)
from reproduction.old_results import PKPO, Claim, Verdict
from reproduction.studies.curves import metric
from reproduction.studies.runs import StudyData
from reproduction.studies.tables import OPTIMISED, candidate_text, present

ORDERED = 0.95
"""Share of the steps at which "throughout" asks for the order."""

_EVERY = tuple(OPTIMISED.values())
_SAID = {
    SOLVED: "A higher k_opt has a higher cumulative solve rate throughout training",
    ENTROPY_COLUMN: "A higher k_opt has a higher entropy throughout training",
}
_PLACES = {SOLVED: "Sec. 5.2.1, Fig. 6a", ENTROPY_COLUMN: "Sec. 5.2.1, Fig. 6b"}
_END = {SOLVED: "the last solve rate", ENTROPY_COLUMN: "the mean of the last 10 % of the steps"}


def claims(data: StudyData) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims that can be judged, and a sentence on each that can't."""
    made, notes = [], []
    methods = present(data, _EVERY)
    if methods == _EVERY:
        tuned = {method: data.chosen(method) for method in _EVERY}
        rates = ", ".join(f"{m}: {candidate_text(data, a.name)}" for m, a in tuned.items())
        made += [_throughout(tuned, column, f"chosen over all k ({rates})") for column in _SAID]
        for rate, arms in common_rates(data, _EVERY).items():
            if all(arms[method].name == tuned[method].name for method in _EVERY):
                continue
            case = f"all with learning rate {rate:g}"
            made += [_throughout(arms, column, case) for column in _SAID]
    else:
        lacking = ", ".join(sorted(set(_EVERY) - set(methods)))
        notes.append(f"Left out, as this study lacks {lacking}: the order by k_opt.")
    ends = epoch_ends(train_problems(data), prompts_per_step(data), data.study.steps)
    if ends:
        made.append(_boundaries(data, methods, ends))
    else:
        notes.append("Left out: the slope at the end of an epoch; training ends before one.")
    return tuple(made), tuple(notes)


def _throughout(arms: Mapping[str, Arm], column: str, case: str) -> Claim:
    """The order of k_opt = 1, 2, 4, 8 at the end and along the way."""
    one, four, eight = (arms[OPTIMISED[k]] for k in (1, 4, 8))
    finals = {method: at_end(arm, column) for method, arm in arms.items()}
    means = [float(values.mean()) for values in finals.values()]
    rises = all(low < high for low, high in itertools.pairwise(means))
    share = ordered_share([one, four, eight], column)
    gap = difference(at_end(eight, column), at_end(one, column))
    verdict = (
        Verdict.HOLDS
        if rises and share >= ORDERED
        else Verdict.IN_PART
        if gap.above
        else Verdict.NO
    )
    scale, unit = (100.0, "per cent") if column == SOLVED else (1.0, "nats")
    shown = ", ".join(f"{scale * mean:.2f} with {method}" for method, mean in zip(finals, means))
    return Claim(
        PKPO,
        _PLACES[column],
        f"{_SAID[column]}; {case.split(' (')[0]}.",
        f"holds: {_END[column]} rises in the mean over k_opt = 1, 2, 4, 8, and at "
        f"{100 * ORDERED:g} % of the steps after the first 20 % the means are in the order 8, 4, "
        "1 or equal; in part: k_opt = 8 is above k_opt = 1 at the end beyond the 95 % interval "
        "of the paired difference; does not hold otherwise",
        f"{case.capitalize()}: {_END[column]}, {unit}: {shown}; k_opt = 8 minus 1: "
        f"{scale * gap.mean:+.2f} ± {scale * gap.standard_error:.2f}; in order at "
        f"{100 * share:.0f} % of the steps.",
        verdict,
    )


def _boundaries(data: StudyData, methods: tuple[str, ...], ends: tuple[float, ...]) -> Claim:
    """The slope of the solve rate before and after the ends of epochs."""
    gaps, parts = [], []
    for method in methods:
        solved_AS = metric(data.chosen(method), SOLVED)
        pairs = [slopes_around(solved_AS, end) for end in ends]
        before = np.mean([pair[0] for pair in pairs], axis=0)
        after = np.mean([pair[1] for pair in pairs], axis=0)
        gaps.append(difference(before, after))
        parts.append(
            f"{method} from {1e4 * before.mean():.1f} to {1e4 * after.mean():.1f} "
            f"(fall {gaps[-1].text(1e4)})"
        )
    return Claim(
        PKPO,
        _PLACES[SOLVED],
        "The slope of the cumulative solve rate falls where an epoch ends.",
        f"Mean rise a step in the {AROUND} steps before minus that in the {AROUND} after, for "
        f"each k_opt. {ABOVE_RULE}",
        f"Epochs end at step {', '.join(f'{end:g}' for end in ends)}. Points per 100 steps: "
        f"{'; '.join(parts)}.",
        all_above(gaps),
    )
