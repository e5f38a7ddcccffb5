"""Methods of the literature by name, as arms of one job.

docs/baselines.md says where each comes from and what exactly is trained.
"""

from __future__ import annotations

import re
from typing import Any

from pkpo.errors import InvalidInputError
from pkpo.plans.schedules import Schedule
from pkpo.train.config import ArmSettings

ENTROPY_COEFFICIENTS = (0.001, 0.005, 0.01, 0.05, 0.1)
"""Tried by the method `entropy`, one arm each; validation picks."""

DEFAULT_K = 8

FORMS = (
    "pass@1, tzsm25, maxrl or maxrl(TERMS), mixed or mixed(K), grpo, entropy or "
    "entropy(COEFFICIENT, ...), pkpo@K, annealed or annealed(K)"
)
_NAME = re.compile(r"\s*([a-z0-9]+|pass@1)\s*(?:\((.*)\)|@\s*(\d+))?\s*")


_MOST_PARAMETERS = {"pass@1": 0, "tzsm25": 0, "grpo": 0} | dict.fromkeys(
    ("maxrl", "mixed", "pkpo", "annealed"), 1
)


def _arms(name: str, given: list[str], steps: int, n: int) -> list[dict[str, Any]]:
    """Fields of the arms; a ValueError for parameters that the method doesn't take."""
    most = _MOST_PARAMETERS.get(name)
    if most is not None and len(given) > most:
        raise ValueError(f"it takes {most or 'no'} parameter{'' if most == 1 else 's'}")
    on_mean = {"schedule": "mean", "baseline": "loo"}
    if name == "entropy":
        coefficients = tuple(map(float, given)) or ENTROPY_COEFFICIENTS
        family = name if len(coefficients) > 1 else None
        return [
            {"name": f"entropy({c!r})", **on_mean, "entropy_coef": c, "family": family}
            for c in coefficients
        ]
    k = int(given[0]) if given else DEFAULT_K
    match name:
        case "pass@1":
            return [{"name": name, **on_mean}]
        case "grpo":
            return [{"name": name, **on_mean, "scale": "group_std"}]
        case "tzsm25":
            return [{"name": name, "schedule": f"max@{n}"}]
        case "maxrl":
            return [
                {"name": f"maxrl({k})", "schedule": f"log_pass({k})"}
                if given
                else {"name": name, "schedule": f"log_pass({n})"}
            ]
        case "mixed":
            return [{"name": f"mixed({k})", "schedule": str(Schedule.mix(k, "mean", 0, steps))}]
        case "pkpo" if not given:
            raise ValueError("it needs its k, as in pkpo@8")
        case "pkpo":
            return [{"name": f"pkpo@{k}", "schedule": f"max@{k}"}]
    if steps < 2:
        raise ValueError("one training step has no half")
    schedule = str(Schedule.switch(k, steps // 2, "mean"))
    return [{"name": f"annealed({k})", "schedule": schedule}]


def method_arms(
    text: str, *, steps: int, num_generations: int, learning_rate: float
) -> tuple[ArmSettings, ...]:
    """The arms of a method: one, or a family of them.

    Args:
        text: one of `FORMS`.
        steps, num_generations: of the training settings.
        learning_rate: of every arm.

    Raises:
        InvalidInputError: no such method, or parameters that it doesn't take.

    >>> [arm] = method_arms("annealed", steps=800, num_generations=16, learning_rate=3e-4)
    >>> arm.name, arm.schedule
    ('annealed(8)', 'switch(max@8, 400, mean)')
    """
    match = _NAME.fullmatch(text)
    name, inside, at = match.groups() if match else ("", None, None)
    if (name, inside, at) == ("pass", None, "1"):
        name, at = "pass@1", None
    known = name in _MOST_PARAMETERS or name == "entropy"
    if not known or (at is not None and name != "pkpo"):
        raise InvalidInputError(f"no method {text!r}; allowed: {FORMS}")
    given = [part.strip() for part in (inside or at or "").split(",") if part.strip()]
    try:
        return tuple(
            ArmSettings.model_validate(
                {"learning_rate": learning_rate, "baseline": "loo_minus_one", **fields}
            )
            for fields in _arms(name, given, steps, num_generations)
        )
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"can't read the method {text!r}: {error}; allowed: {FORMS}"
        ) from error
