"""Plans: which objective each prompt of a step is trained for; by step, by validation, or by
how often each prompt was solved."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError
from pkpo.plans import schedules
from pkpo.plans.choices import Choice, Plan
from pkpo.plans.per_prompt import PerPrompt
from pkpo.plans.plateau import Plateau
from pkpo.plans.schedules import Schedule, schedule

__all__ = ["FORMS", "ByStep", "Choice", "PerPrompt", "Plan", "Plateau", "plan"]


class ByStep(Plan):
    """A schedule: the same objective for all prompts, by the number of the step alone.

    >>> print(ByStep(schedule("8->1@1500")).choose(1500, ["a", "b"]))
    mean
    """

    def __init__(self, by_step: Schedule) -> None:
        self.schedule = by_step

    def choose(self, step: int, prompts: Sequence[Hashable]) -> Choice:
        return Choice.same(self.schedule(step), len(prompts), f"step {step} of {self.schedule}")

    def possible(self, steps: int | None = None) -> set[Objective]:
        return self.schedule.objectives(steps)

    def __str__(self) -> str:
        return str(self.schedule)


FORMS = (
    f"{schedules.FORMS}, "
    "plateau(FIRST, SECOND, ..., metric=pass@K, patience=3, min_delta=0.002), "
    "per_prompt(K_MAX, decay=0.5, solved=1.0) or per_prompt(K1, K2, ..., decay=0.5, solved=1.0)"
)
_CALL = re.compile(r"\s*(plateau|per_prompt)\s*\((.*)\)\s*", re.DOTALL)
_NAMED = re.compile(r"([a-z_]+)\s*=\s*(.+)", re.DOTALL)
_METRIC = re.compile(r"pass@\s*(\d+)")


def _metric_k(text: str) -> int:
    match = _METRIC.fullmatch(text)
    if match is None:
        raise ValueError(f"the metric must be pass@K, got {text!r}")
    return int(match[1])


_READERS = {
    "plateau": {"metric": _metric_k, "patience": int, "min_delta": float},
    "per_prompt": {"decay": float, "solved": float},
}


def _parse(text: str) -> Plan:
    call = _CALL.fullmatch(text)
    if call is None:
        return ByStep(schedules.parse(text))
    readers, values, named = _READERS[call[1]], [], {}
    for argument in schedules.split_arguments(call[2]):
        match = _NAMED.fullmatch(argument)
        if match is None:
            if named:
                raise ValueError(f"{argument!r} comes after a named argument")
            values.append(argument)
        elif match[1] not in readers or match[1] in named:
            problem = "twice" if match[1] in named else f"not among {', '.join(readers)}"
            raise ValueError(f"{match[1]!r} is {problem}")
        else:
            named[match[1]] = readers[match[1]](match[2].strip())
    if call[1] == "plateau":
        if "metric" in named:
            named["metric_k"] = named.pop("metric")
        return Plateau(values, **named)
    ks = [int(value) for value in values]
    return PerPrompt.up_to(*ks, **named) if len(ks) == 1 else PerPrompt(ks, **named)


def plan(spec: Plan | Schedule | Objective | int | str) -> Plan:
    """The plan that `spec` names.

    Args:
        spec: a Plan (returned as it is, with what it remembers), all that `pkpo.schedule`
            takes, or text:
            "plateau(max@8, mean, metric=pass@8, patience=3, min_delta=0.002)": the next
            objective once validation pass@8 stops rising;
            "per_prompt(8)" or "per_prompt(1, 4, 8, decay=0.5, solved=1.0)": a k for each
            prompt from its earlier samples.

    Raises:
        InvalidInputError: none of these; the message lists the forms.

    >>> str(plan("plateau(8, 1)"))
    'plateau(max@8, mean, metric=pass@8, patience=3, min_delta=0.002)'
    >>> str(plan("8->1@1500"))
    'switch(max@8, 1500, mean)'
    """
    if isinstance(spec, Plan):
        return spec
    if not isinstance(spec, str):
        return ByStep(schedule(spec))
    try:
        return _parse(spec)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"can't read the plan {spec!r}: {error}; allowed: {FORMS}"
        ) from error
