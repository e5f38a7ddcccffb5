"""Methods of the literature by name, as arms of one job.

docs/baselines.md says where each comes from and what exactly is trained.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Job:
    steps: int
    num_generations: int
    learning_rate: float

    def arm(
        self,
        name: str,
        schedule: object,
        *,
        loo: bool = False,
        group_std: bool = False,
        entropy_coef: float = 0.0,
        family: str | None = None,
    ) -> ArmSettings:
        return ArmSettings(
            name=name,
            schedule=str(schedule),
            learning_rate=self.learning_rate,
            baseline="loo" if loo else "loo_minus_one",
            scale="group_std" if group_std else "none",
            entropy_coef=entropy_coef,
            family=family,
        )


_MOST_PARAMETERS = {
    "pass@1": 0,
    "tzsm25": 0,
    "grpo": 0,
    "maxrl": 1,
    "mixed": 1,
    "pkpo": 1,
    "annealed": 1,
    "entropy": None,
}


def _arms(name: str, given: list[str], job: _Job) -> tuple[ArmSettings, ...]:
    """
    Raises:
        ValueError: parameters that the method doesn't take.
    """
    most = _MOST_PARAMETERS[name]
    if most is not None and len(given) > most:
        raise ValueError(f"it takes {most or 'no'} parameter{'' if most == 1 else 's'}")
    if name == "entropy":
        coefficients = tuple(map(float, given)) or ENTROPY_COEFFICIENTS
        family = "entropy" if len(coefficients) > 1 else None
        return tuple(
            job.arm(f"entropy({c!r})", "mean", loo=True, entropy_coef=c, family=family)
            for c in coefficients
        )
    if name == "pkpo" and not given:
        raise ValueError("it needs its k, as in pkpo@8")
    if name == "annealed" and job.steps < 2:
        raise ValueError("one training step has no half")
    n, k = job.num_generations, int(given[0]) if given else DEFAULT_K
    terms = int(given[0]) if given else n
    arms = {
        "pass@1": lambda: job.arm("pass@1", "mean", loo=True),
        "tzsm25": lambda: job.arm("tzsm25", f"max@{n}"),
        "grpo": lambda: job.arm("grpo", "mean", loo=True, group_std=True),
        "maxrl": lambda: job.arm(f"maxrl({terms})" if given else "maxrl", f"log_pass({terms})"),
        "mixed": lambda: job.arm(f"mixed({k})", Schedule.mix(k, "mean", 0, job.steps)),
        "pkpo": lambda: job.arm(f"pkpo@{k}", f"max@{k}"),
        "annealed": lambda: job.arm(f"annealed({k})", Schedule.switch(k, job.steps // 2, "mean")),
    }
    return (arms[name](),)


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
    if name not in _MOST_PARAMETERS or (at is not None and name != "pkpo"):
        raise InvalidInputError(f"no method {text!r}; allowed: {FORMS}")
    given = [part.strip() for part in (inside or at or "").split(",") if part.strip()]
    try:
        return _arms(name, given, _Job(steps, num_generations, learning_rate))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"can't read the method {text!r}: {error}; allowed: {FORMS}"
        ) from error
