"""Two or more runs on the same problems: paired differences, crossings, gains and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.evaluate.comparison import TARGETS, Comparison
from pkpo.evaluate.differences import RunData, adjusted, crossing, difference_of, moved_problems
from pkpo.evaluate.estimates import TooFew, checked, used_problems
from pkpo.evaluate.read_result import ReadResult
from pkpo.evaluate.readers.tally import SET
from pkpo.evaluate.samples import Measured, Samples
from pkpo.evaluate.selection import Selection, as_objectives

Unmatched = Literal["error", "drop"]


def compare(
    runs: Mapping[str, Measured | ReadResult],
    objectives: Selection | None = None,
    *,
    baseline: str | Mapping[str, str] | None = None,
    unmatched: Unmatched = "error",
    too_few: TooFew = "error",
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compares runs with a baseline, problem by problem.

    Args:
        runs: samples, exact `SolveProbabilities`, or what `read` gave, of at least two runs,
            by name; problems are matched by their ids.
        objectives: as in `evaluate`; by default powers of two up to the smallest n.
        baseline: one of the names, the first by default; or for each run to compare the name
            of the one to compare it with.
        unmatched: problems that some run lacks are an "error", or "drop" leaves them out.
        too_few: problems with fewer than k samples in some run, as in `evaluate`; "drop"
            leaves them out of both runs.
        confidence: of the intervals, in (0, 1).
        seed: as in `evaluate`.

    Raises:
        InvalidInputError: fewer than two runs, an unknown baseline, problems that don't match
            under "error" (naming one), logs that put the same ids into different tasks or data
            sets, clusters that differ, or no problem in common.
        UndefinedEstimateError: n < k under too_few="error".

    Source: docs/intervals.md.
    """
    if len(runs) < 2:
        raise InvalidInputError(f"at least two runs are needed, got {len(runs)}")
    names = list(runs)
    if not isinstance(baseline, Mapping):
        first = names[0] if baseline is None else baseline
        baseline = {name: first for name in names if name != first}
    for name in (*baseline, *baseline.values()):
        if name not in runs:
            raise InvalidInputError(f"baseline must be one of {names}, got {name!r}")
    if unmatched not in ("error", "drop"):
        raise InvalidInputError(f"unmatched must be 'error' or 'drop', got {unmatched!r}")
    _check_same_problems({n: run for n, run in runs.items() if isinstance(run, ReadResult)})
    samples_of = {
        name: run.samples if isinstance(run, ReadResult) else run for name, run in runs.items()
    }
    matched, left_out = _matched(samples_of, unmatched)
    grouped = {name: checked(samples, too_few, confidence) for name, samples in matched.items()}
    if objectives is None:
        objectives = min((samples.ks for samples in matched.values()), key=max)
    chosen = as_objectives(objectives)
    usable = {
        name: [used_problems(samples, objective, too_few) for objective in chosen]
        for name, samples in matched.items()
    }
    data = {name: RunData(name, one, seed) for name, one in grouped.items()}
    pairs = baseline.items()
    level = 1.0 - (1.0 - confidence) / (len(chosen) * len(baseline))
    differences = adjusted(
        [
            difference_of(
                data[name],
                data[other],
                objective,
                usable[name][place] & usable[other][place],
                confidence,
                level,
            )
            for name, other in pairs
            for place, objective in enumerate(chosen)
        ]
    )
    crossings = (
        crossing([d for d in differences if d.run == name], target)
        for name in baseline
        for target in TARGETS
    )
    moved = (
        moved_problems(before, after, other, name, 1.0 - confidence)
        for name, other in pairs
        if isinstance(before := matched[other], Samples)
        and isinstance(after := matched[name], Samples)
    )
    return Comparison(
        dict(baseline),
        differences,
        tuple(found for found in crossings if found is not None),
        tuple(moved),
        len(matched[names[0]].problems),
        left_out,
        confidence,
    )


def _check_same_problems(runs: Mapping[str, ReadResult]) -> None:
    """Raises InvalidInputError where the logs of two runs say that an id is of different sets."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for name, run in runs.items():
        for field, values in run.known.items():
            if not field.startswith(SET):
                continue
            for problem, value in zip(run.samples.problems, values):
                if value is None:
                    continue
                other, before = seen.setdefault((field, problem), (name, value))
                if value != before:
                    plain = field.removeprefix(SET)
                    raise InvalidInputError(
                        f"problem {problem!r} is of the {plain} {before!r} in {other!r} but of "
                        f"{value!r} in {name!r}; pool= (--pool {plain}) takes ids for the same "
                        f"problems all the same"
                    )


def _matched(runs: Mapping[str, Measured], unmatched: str) -> tuple[dict[str, Measured], int]:
    """The samples of the problems that all runs have, in the order of the first run."""
    everything = dict.fromkeys(p for samples in runs.values() for p in samples.problems)
    held = {name: set(samples.problems) for name, samples in runs.items()}
    common = [p for p in everything if all(p in ids for ids in held.values())]
    if not common:
        firsts = ", ".join(
            f"{name!r} has {repr(run.problems[0]) if run.problems else 'none'}"
            for name, run in runs.items()
        )
        raise InvalidInputError(f"the runs have no problem in common: {firsts}")
    missing = len(everything) - len(common)
    if missing and unmatched == "error":
        problem, name = next(
            (p, name) for p in everything for name, ids in held.items() if p not in ids
        )
        raise InvalidInputError(
            f"{missing} problems aren't in every run; {name!r} lacks {problem!r}; "
            "unmatched='drop' (--unmatched drop) leaves them out"
        )
    chosen: dict[str, Measured] = {}
    for name, samples in runs.items():
        place = {problem: i for i, problem in enumerate(samples.problems)}
        chosen[name] = samples.take(np.array([place[problem] for problem in common]))
    clusters = {samples.clusters_P for samples in chosen.values() if samples.clusters_P}
    if len(clusters) > 1:
        raise InvalidInputError("the runs put the same problems into different clusters")
    return chosen, missing
