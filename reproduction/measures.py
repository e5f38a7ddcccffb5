"""Numbers that verdicts are computed from: exact ones, estimates, and one number a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pkpo.errors import InvalidInputError


@dataclass(frozen=True)
class Measure:
    """A number with its uncertainty. Made by `exact`, `estimated` and `by_seed`.

    Args:
        value: the number, or its estimate.
        error: its standard error; 0 for exact numbers, infinite where one seed says nothing.
        degrees: of freedom of the error.
        values: one a seed, if there are seeds; those of two measures are compared pair by pair.
        setting: what it was made with, where that decides what it can be compared with.
    """

    value: float
    error: float = 0.0
    degrees: float = math.inf
    values: tuple[float, ...] = ()
    setting: str = ""

    @property
    def is_exact(self) -> bool:
        return self.error == 0 and not self.values

    def minus(self, other: Measure) -> Measure:
        """The difference: seed by seed where both have seeds, else with independent errors."""
        setting = self.setting if self.setting == other.setting else ""
        if self.values and other.values:
            if len(self.values) != len(other.values):
                raise InvalidInputError(
                    f"paired differences need the same seeds, got {len(self.values)} and "
                    f"{len(other.values)}"
                )
            return by_seed(np.subtract(self.values, other.values), setting)
        if other.is_exact and self.values:
            return by_seed(np.subtract(self.values, other.value), setting)
        if self.is_exact and other.values:
            return by_seed(np.subtract(self.value, other.values), setting)
        error = math.hypot(self.error, other.error)
        return Measure(self.value - other.value, error, _degrees(self, other), (), setting)

    def times(self, factor: float) -> Measure:
        values = tuple(factor * value for value in self.values)
        return replace(
            self, value=factor * self.value, error=abs(factor) * self.error, values=values
        )

    def to_json(self) -> Any:
        """A number, a list of one number a seed, or an object."""
        if not self.setting and self.values:
            return list(self.values)
        if not self.setting and self.is_exact:
            return self.value
        record: dict[str, Any] = (
            {"values": list(self.values)} if self.values else {"value": self.value}
        )
        if not self.values and self.error:
            record["error"] = self.error
        if not self.values and math.isfinite(self.degrees):
            record["degrees"] = self.degrees
        return {**record, "setting": self.setting} if self.setting else record


def exact(value: float, setting: str = "") -> Measure:
    """A number without error."""
    return Measure(float(value), setting=setting)


def estimated(value: float, error: float, degrees: float = math.inf) -> Measure:
    """An estimate with its standard error."""
    return Measure(float(value), float(error), float(degrees))


def by_seed(values: Sequence[float] | np.ndarray, setting: str = "") -> Measure:
    """One number a seed; the value is their mean.

    Raises:
        InvalidInputError: no values, or not one a seed.
    """
    found = np.asarray(values, dtype=float)
    if found.ndim != 1 or not len(found):
        raise InvalidInputError(f"one number a seed is needed, got shape {found.shape}")
    count = len(found)
    error = float(found.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Measure(float(found.mean()), error, count - 1, tuple(found.tolist()), setting)


def from_json(stored: Any) -> Measure:
    """What `to_json` gave."""
    match stored:
        case list():
            return by_seed(stored)
        case {"values": values}:
            return by_seed(values, stored.get("setting", ""))
        case {"value": value}:
            return Measure(
                value,
                stored.get("error", 0.0),
                stored.get("degrees", math.inf),
                setting=stored.get("setting", ""),
            )
        case int() | float():
            return exact(stored)
    raise InvalidInputError(f"not a measure: {stored!r}")


def _degrees(first: Measure, second: Measure) -> float:
    """Welch and Satterthwaite's degrees of freedom of a difference."""
    if first.error == 0:
        return second.degrees
    if second.error == 0:
        return first.degrees
    squares = (first.error**2, second.error**2)
    below = squares[0] ** 2 / first.degrees + squares[1] ** 2 / second.degrees
    return sum(squares) ** 2 / below if below else math.inf
