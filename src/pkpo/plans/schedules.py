"""Schedules: which objective to train at which step."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import Objective, checked_k, max_at
from pkpo.core.parsing import as_objective
from pkpo.core.weights import estimate_weights
from pkpo.errors import InvalidInputError


def _checked_step(value: object, name: str) -> int:
    try:
        step = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        step = -1
    if step < 0 or isinstance(value, bool):
        raise InvalidInputError(f"{name} must be an integer >= 0, got {value!r}")
    return step


@dataclass(frozen=True)
class Schedule:
    """A function from training step (0, 1, ...) to objective. Immutable, compares, hashes,
    and `str` gives text that `pkpo.schedule` reads back.

    Build one with `Schedule.constant`, `.switch`, `.staged`, `.linear_k` or `.mix`.

    Raises:
        InvalidInputError: steps that aren't integers >= 0 or don't rise, k < 1, or a mixture
            of an objective with its opposite, which would be worth nothing on the way.

    >>> anneal = Schedule.switch(8, at=1500, then=1)  # Fig. 3 of 2505.15201
    >>> anneal(0), anneal(1500)
    (Objective('max@8'), Objective('mean'))
    >>> str(anneal)
    'switch(max@8, 1500, mean)'
    """

    kind: str
    arguments: tuple[Objective | int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", _checked(self.kind, tuple(self.arguments)))

    @classmethod
    def constant(cls, objective: Objective | int | str) -> Schedule:
        """The same objective at every step."""
        return cls("constant", (as_objective(objective),))

    @classmethod
    def switch(cls, first: Objective | int | str, at: int, then: Objective | int | str) -> Schedule:
        """`first` before step `at`, `then` from step `at` on."""
        return cls.staged([(0, first), (at, then)])

    @classmethod
    def staged(cls, stages: Sequence[tuple[int, Objective | int | str]]) -> Schedule:
        """Each objective from its step on.

        Args:
            stages: pairs (first step, objective); the first step is 0, later ones rise.
        """
        if not stages or _checked_step(stages[0][0], "a stage's first step") != 0:
            raise InvalidInputError(f"stages must start at step 0, got {list(stages)}")
        arguments: list[Objective | int] = []
        for step, objective in stages:
            arguments += [step, as_objective(objective)]
        kind = {1: "constant", 2: "switch"}.get(len(stages), "staged")
        return cls(kind, tuple(arguments[1:]))

    @classmethod
    def linear_k(cls, start_k: int, end_k: int, begin: int, end: int) -> Schedule:
        """max@k with k moving linearly from `start_k` at step `begin` to `end_k` at step
        `end`, rounded to the nearest integer (halves up)."""
        return cls("linear_k", (start_k, end_k, begin, end))

    @classmethod
    def mix(
        cls, first: Objective | int | str, then: Objective | int | str, begin: int, end: int
    ) -> Schedule:
        """(1 - w) * first + w * then, with w rising linearly from 0 at step `begin` to 1 at
        step `end`."""
        return cls("mix", (as_objective(first), as_objective(then), begin, end))

    def __call__(self, step: int) -> Objective:
        """The objective at `step`, an integer >= 0."""
        step = _checked_step(step, "step")
        match self.kind, self.arguments:
            case "linear_k", (int(start_k), int(end_k), int(begin), int(end)):
                share = _progress(step, begin, end)
                return max_at(math.floor(start_k + share * (end_k - start_k) + 0.5))
            case "mix", (Objective() as first, Objective() as then, int(begin), int(end)):
                share = _progress(step, begin, end)
                if share in (0.0, 1.0):
                    return then if share else first
                return (1.0 - share) * first + share * then
        starts = (0, *self.arguments[1::2])
        stage = sum(1 for start in starts if isinstance(start, int) and start <= step) - 1
        objective = self.arguments[2 * stage]
        assert isinstance(objective, Objective)
        return objective

    @property
    def last_stage(self) -> int:
        """The step at which the last objective of a switch or staged schedule begins; for a
        gradual one the step at which it begins to change, for a constant one 0."""
        place = {"constant": None, "linear_k": 2, "mix": 2}.get(self.kind, -2)
        return 0 if place is None else operator.index(self.arguments[place])  # type: ignore[arg-type]

    def objectives(self, steps: int | None = None) -> set[Objective]:
        """Every objective that it gives in steps 0, ..., steps - 1, by default in any. Cost: one
        a step of a gradual change."""
        gradual = self.kind in ("linear_k", "mix")
        given = self.arguments[2:] if gradual else self.arguments[1::2]
        changes: Sequence[int] = [at for at in given if isinstance(at, int)]
        if gradual:
            begin, end = changes
            changes = range(begin, end + 1 if steps is None else min(end + 1, steps))
        return {self(step) for step in (0, *changes) if steps is None or step < steps}

    def __str__(self) -> str:
        if self.kind == "constant":
            return str(self.arguments[0])
        return f"{self.kind}({', '.join(map(str, self.arguments))})"

    def __repr__(self) -> str:
        return f"Schedule({str(self)!r})"


def _checked(kind: str, arguments: tuple[object, ...]) -> tuple[Objective | int, ...]:
    match kind, arguments:
        case "linear_k", (start_k, end_k, begin, end):
            return (
                checked_k(start_k, "start_k"),
                checked_k(end_k, "end_k"),
                *_interval(begin, end),
            )
        case "mix", (Objective() as first, Objective() as then, begin, end):
            begin, end = _interval(begin, end)
            _refuse_opposites(first, then, begin, end)
            return first, then, begin, end
    objectives, steps = arguments[::2], arguments[1::2]
    number = {"constant": 1, "switch": 2, "staged": len(steps) + 1}.get(kind)
    whole = [_checked_step(step, "a stage's first step") for step in steps]
    if number != len(objectives) or not all(isinstance(o, Objective) for o in objectives):
        raise InvalidInputError(f"no schedule {kind!r} has the arguments {arguments}; {FORMS}")
    if any(b <= a for a, b in itertools.pairwise([0, *whole])):
        raise InvalidInputError(f"stages must start at step 0 and rise, got steps {[0, *whole]}")
    checked = list(arguments)
    checked[1::2] = whole
    return tuple(checked)  # type: ignore[return-value]


def _refuse_opposites(first: Objective, then: Objective, begin: int, end: int) -> None:
    """Raise where (1 - w) first + w then is worth nothing for some 0 < w < 1."""
    size = max(first.k, then.k)
    one, two = (estimate_weights(size, objective).of_rewards for objective in (first, then))
    top = int(np.abs(one).argmax())
    if one[top] * two[top] < 0.0:
        share = one[top] / (one[top] - two[top])
        left = (1.0 - share) * one + share * two
        if np.abs(left).max() <= 1e-9 * abs(one[top]) * (1.0 - share):
            raise InvalidInputError(
                f"mixing {first} with {then} leaves nothing at step "
                f"{begin + share * (end - begin):g}: one is the opposite of the other"
            )


def _interval(begin: object, end: object) -> tuple[int, int]:
    first, last = _checked_step(begin, "begin"), _checked_step(end, "end")
    if last <= first:
        raise InvalidInputError(f"end must come after begin, got begin = {first}, end = {last}")
    return first, last


def _progress(step: int, begin: int, end: int) -> float:
    return min(max((step - begin) / (end - begin), 0.0), 1.0)


def split_arguments(text: str) -> list[str]:
    """Split at the commas that stand outside parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


FORMS = (
    "an objective, switch(FIRST, STEP, THEN) or FIRST->THEN@STEP, "
    "staged(FIRST, STEP, SECOND, STEP, THIRD, ...), linear_k(START_K, END_K, BEGIN, END), "
    "mix(FIRST, THEN, BEGIN, END)"
)
_CALL = re.compile(r"\s*(constant|switch|staged|linear_k|mix)\s*\((.*)\)\s*", re.DOTALL)
_ARROW = re.compile(r"(.+)->(.+)@\s*(\d+)\s*")


def parse(text: str) -> Schedule:
    """The schedule that `text` names.

    Raises:
        ValueError, TypeError: it names none.
    """
    if arrow := _ARROW.fullmatch(text):
        return Schedule.switch(arrow[1], int(arrow[3]), arrow[2])
    call = _CALL.fullmatch(text)
    if call is None:
        return Schedule.constant(text)
    arguments = split_arguments(call[2])
    match call[1]:
        case "linear_k":
            return Schedule.linear_k(*map(int, arguments))
        case "mix":
            first, then, begin, end = arguments
            return Schedule.mix(first, then, int(begin), int(end))
    exact = {"constant": 1, "switch": 3}.get(call[1])
    if len(arguments) % 2 == 0 or exact not in (None, len(arguments)):
        raise ValueError(f"{len(arguments)} arguments are no {call[1]}")
    steps = [0, *map(int, arguments[1::2])]
    return Schedule.staged(list(zip(steps, arguments[::2])))


def schedule(spec: Schedule | Objective | int | str) -> Schedule:
    """The schedule that `spec` names.

    Args:
        spec: a Schedule, an objective (constant; an integer k means max@k), or text: an
            objective, "switch(max@8, 1500, mean)" or "8->1@1500",
            "staged(max@8, 500, max@4, 1000, mean)", "linear_k(8, 1, 0, 1500)",
            "mix(max@8, mean, 0, 1500)".

    Raises:
        InvalidInputError: none of these; the message lists the forms.

    >>> schedule("8->1@1500") == Schedule.switch(8, at=1500, then=1)
    True
    >>> schedule("mix(max@8, mean, 0, 100)")(50)
    Objective('0.5*max@8 + 0.5*mean')
    """
    if isinstance(spec, Schedule):
        return spec
    if not isinstance(spec, str):
        return Schedule.constant(spec)
    try:
        return parse(spec)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"can't read the schedule {spec!r}: {error}; allowed: {FORMS}"
        ) from error
