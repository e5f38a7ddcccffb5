"""Where the better of two runs changes with k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from pkpo.core.objectives import MaxAt, Mean
from pkpo.evaluate.comparison import Crossing, Difference, Target


def crossing(differences: Sequence[Difference], target: Target) -> Crossing | None:
    """The crossing of one run with the baseline, over its pass@k or max@k rows; None where
    fewer than two of these have a value."""
    rows = sorted(
        (d for d in differences if _is_best_of_k(d) and d.num_problems > 0), key=lambda d: d.k
    )
    if len(rows) < 2:
        return None
    ks = [d.k for d in rows]
    signs = [d.contrast(target).sign for d in rows]
    found = Crossing(
        rows[0].run,
        rows[0].baseline,
        target,
        tuple(b.k for a, b in pairwise(rows) if a.difference * b.difference < 0),
        *(_from(ks, signs, sign) for sign in (1, -1)),
        *(_from(ks[::-1], signs[::-1], sign) for sign in (1, -1)),
        text="",
    )
    return replace(found, text=_in_words(found, ks))


def _is_best_of_k(difference: Difference) -> bool:
    (weight, term), *others = difference.objective.terms
    return not others and weight == 1 and isinstance(term, MaxAt | Mean)


def _from(ks: Sequence[int], signs: Sequence[int], sign: int) -> int | None:
    """The first k after which all signs, its own included, are `sign`."""
    result = None
    for k, found in zip(reversed(ks), reversed(signs)):
        if found != sign:
            break
        result = k
    return result


def _in_words(found: Crossing, ks: Sequence[int]) -> str:
    run, baseline = found.run, found.baseline
    if found.better_from == ks[0]:
        return f"{run} is better than {baseline} at every k asked for"
    if found.worse_from == ks[0]:
        return f"{baseline} is better than {run} at every k asked for"
    parts = []
    for name, up_to in ((run, found.better_up_to), (baseline, found.worse_up_to)):
        if up_to is not None:
            where = "at" if up_to == ks[0] else "up to"
            parts.append(f"{name} is better {where} k = {up_to}")
    for name, start in ((run, found.better_from), (baseline, found.worse_from)):
        if start is not None:
            where = f"at k = {start}" if start == ks[-1] else f"from k = {start} on"
            parts.append(f"{name} is better {where}")
    told = [k for k in (found.better_up_to, found.worse_up_to) if k is not None]
    last = max(told, default=0)
    start = min((k for k in (found.better_from, found.worse_from) if k is not None), default=None)
    if all(k <= last or (start is not None and k >= start) for k in ks):
        return "; ".join(parts)
    parts.append("can't tell at the other k" if parts else f"can't tell {run} and {baseline} apart")
    if found.estimated_at and len(parts) < 3:
        where = ", ".join(map(str, found.estimated_at))
        parts.append(f"the estimates cross before k = {where}, which the intervals don't confirm")
    return "; ".join(parts)
