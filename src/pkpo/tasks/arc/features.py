"""What a small policy is told of an ARC task: a fixed number of facts about the demonstrations.

Grids of up to 30 x 30 cells are thousands of tokens. The facts are of kinds that a person sees at
a glance: sizes, colours, symmetries, objects, what is part of what. None tells what an operation
of the language would make of an input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pkpo.tasks.arc import cells
from pkpo.tasks.arc.operations import Grid

Pair = tuple[Grid, Grid]
_MIXED = "mixed"


def _relation(before: int, after: int) -> str:
    """How one number follows from another."""
    if before == after:
        return "same"
    if after % before == 0:
        return f"times{min(after // before, 5)}"
    if before % after == 0:
        return f"over{min(before // after, 5)}"
    if after == before * 2 + 1 or before == after * 2 + 1:
        return "half"
    return "less" if after < before else "more"


_RELATIONS = ("same", "half", "less", "more")
_RELATIONS += tuple(f"{word}{n}" for word in ("times", "over") for n in (2, 3, 4, 5))


def _bucket(number: float, edges: Sequence[float]) -> str:
    return str(int(np.searchsorted(edges, number, side="right")))


def _buckets(edges: Sequence[float]) -> tuple[str, ...]:
    return tuple(map(str, range(len(edges) + 1)))


def _colours(grid: Grid) -> frozenset[int]:
    return frozenset(np.unique(grid).tolist())


def _within(small: Grid, large: Grid) -> bool:
    """Whether a grid is a rectangle of another."""
    if small.shape == large.shape:
        return np.array_equal(small, large)
    if small.shape[0] > large.shape[0] or small.shape[1] > large.shape[1]:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(large, small.shape)
    return bool((windows == small).all(axis=(2, 3)).any())


def _turns(grid: Grid) -> list[Grid]:
    """The other seven images of the grid that turns and mirrors give."""
    quarters = [np.rot90(grid, i) for i in range(4)]
    return [*quarters[1:], *(g[:, ::-1] for g in quarters)]


def _changed(rule: Callable[[np.ndarray, Grid, Grid], bool | str]) -> Callable[[Grid, Grid], str]:
    """A fact about the cells that differ, where the shapes are the same."""

    def fact(before: Grid, after: Grid) -> str:
        if before.shape != after.shape:
            return "none"
        return _word(rule(before != after, before, after))

    return fact


def _word(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


_YES = ("yes", "no")
_FEW, _SIDES = (1, 2, 3, 5, 8), (2, 3, 4, 6, 10, 16)
_SHARES = (1e-9, 0.05, 0.15, 0.35, 0.7)


def _yes(rule: Callable[[Grid, Grid], bool]) -> tuple[tuple[str, ...], Callable[[Grid, Grid], str]]:
    return _YES, lambda before, after: "yes" if rule(before, after) else "no"


def _number(
    edges: Sequence[float], rule: Callable[[Grid, Grid], float]
) -> tuple[tuple[str, ...], Callable[[Grid, Grid], str]]:
    return _buckets(edges), lambda before, after: _bucket(rule(before, after), edges)


def _cell_rule(
    rule: Callable[[np.ndarray, Grid, Grid], bool | str], values: tuple[str, ...] = _YES
) -> tuple[tuple[str, ...], Callable[[Grid, Grid], str]]:
    return (*values, "none"), _changed(rule)


def _functional(_: np.ndarray, before: Grid, after: Grid) -> bool:
    """Whether a cell's colour alone tells its new one."""
    return len(np.unique(before.astype(int) * cells.COLOURS + after)) == len(np.unique(before))


def _num_objects(grid: Grid, one_colour: bool) -> int:
    return len(cells.objects(np.ascontiguousarray(grid), one_colour=one_colour).boxes)


def _boxes(grid: Grid) -> set[tuple[int, ...]]:
    found = cells.objects(np.ascontiguousarray(grid), one_colour=False)
    return {part.shape for part in found.parts}


_FACTS: Mapping[str, tuple[tuple[str, ...], Callable[[Grid, Grid], str]]] = {
    "rows": (_RELATIONS, lambda b, a: _relation(len(b), len(a))),
    "columns": (_RELATIONS, lambda b, a: _relation(b.shape[1], a.shape[1])),
    "in-rows": _number(_SIDES, lambda b, a: len(b)),
    "in-columns": _number(_SIDES, lambda b, a: b.shape[1]),
    "out-rows": _number(_SIDES, lambda b, a: len(a)),
    "out-columns": _number(_SIDES, lambda b, a: a.shape[1]),
    "in-colours": _number((2, 3, 4, 5), lambda b, a: len(_colours(b))),
    "out-colours": _number((2, 3, 4, 5), lambda b, a: len(_colours(a))),
    "new-colours": _number((1, 2, 3), lambda b, a: len(_colours(a) - _colours(b))),
    "lost-colours": _number((1, 2, 3), lambda b, a: len(_colours(b) - _colours(a))),
    "in-filled": _number(_SHARES, lambda b, a: float((b != 0).mean())),
    "out-filled": _number(_SHARES, lambda b, a: float((a != 0).mean())),
    "filled": (
        ("less", "same", "more"),
        lambda b, a: ("less", "same", "more")[
            1 + int(np.sign(int(cells.size(a)) - int(cells.size(b))))
        ],
    ),
    "changed": _cell_rule(lambda c, b, a: _bucket(float(c.mean()), _SHARES), _buckets(_SHARES)),
    "only-blank-changes": _cell_rule(lambda c, b, a: not b[c].any()),
    "only-to-blank": _cell_rule(lambda c, b, a: not a[c].any()),
    "to-one-colour": _cell_rule(lambda c, b, a: len(np.unique(a[c])) == 1),
    "from-one-colour": _cell_rule(lambda c, b, a: len(np.unique(b[c])) == 1),
    "changes-are-enclosed": _cell_rule(lambda c, b, a: bool(cells.enclosed(b)[c].all())),
    "changes-touch": _cell_rule(lambda c, b, a: bool(cells.neighbours(b)[c].all())),
    "by-colour": _cell_rule(_functional),
    "rows-kept": _cell_rule(lambda c, b, a: sorted(map(bytes, b)) == sorted(map(bytes, a))),
    "columns-kept": _cell_rule(lambda c, b, a: sorted(map(bytes, b.T)) == sorted(map(bytes, a.T))),
    "same-counts": _yes(lambda b, a: bool((cells.counts(b) == cells.counts(a)).all())),
    "out-in-in": _yes(lambda b, a: _within(a, b)),
    "in-in-out": _yes(lambda b, a: _within(b, a)),
    "turned-in-out": _yes(lambda b, a: any(_within(each, a) for each in _turns(b))),
    "turned-in-in": _yes(lambda b, a: any(_within(each, b) for each in _turns(a))),
    "in-mirror-h": _yes(lambda b, a: np.array_equal(b, b[:, ::-1])),
    "in-mirror-v": _yes(lambda b, a: np.array_equal(b, b[::-1])),
    "out-mirror-h": _yes(lambda b, a: np.array_equal(a, a[:, ::-1])),
    "out-mirror-v": _yes(lambda b, a: np.array_equal(a, a[::-1])),
    "out-diagonal": _yes(lambda b, a: np.array_equal(a, a.T)),
    "objects": _number(_FEW, lambda b, a: _num_objects(b, False)),
    "patches": _number(_FEW, lambda b, a: _num_objects(b, True)),
    "out-objects": _number(_FEW, lambda b, a: _num_objects(a, False)),
    "out-patches": _number(_FEW, lambda b, a: _num_objects(a, True)),
    "encloses": _yes(lambda b, a: bool(cells.enclosed(b).any())),
    "parts": _number((1, 2, 3, 4, 9), lambda b, a: len(cells.parts(b))),
    "size-of-part": _yes(lambda b, a: any(part.shape == a.shape for part in cells.parts(b))),
    "size-of-object": _yes(lambda b, a: a.shape in _boxes(b)),
    "size-of-content": _yes(lambda b, a: ((b != 0).any(1).sum(), (b != 0).any(0).sum()) == a.shape),
    "size-of-parts": _yes(lambda b, a: bool(n := len(cells.parts(b))) and n == a.size),
}

TOKENS: tuple[str, ...] = tuple(
    f"{name}={value}" for name, (values, _) in _FACTS.items() for value in (*values, _MIXED)
)
"""Every fact with each of its values, in the order of the facts."""
_NUMBERS = {token: number for number, token in enumerate(TOKENS)}
NUM_FACTS = len(_FACTS)


def features(pairs: Sequence[Pair]) -> list[int]:
    """The token of every fact that holds of the pairs: "mixed" where it isn't the same for all.

    Cost: tens of microseconds a fact and pair.
    """
    found = []
    for name, (_, fact) in _FACTS.items():
        value = fact(*pairs[0])
        if any(fact(*pair) != value for pair in pairs[1:]):
            value = _MIXED
        found.append(_NUMBERS[f"{name}={value}"])
    return found
