"""JSON objects with errors that name the file and the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pkpo.errors import RunDirectoryError
from pkpo.report import jsonio
from pkpo.report.jsonio import PROBABILITY_SLACK

_MOST_DIGITS = 9


class JsonObject:
    """A JSON object that checks types as its keys are read.

    Args:
        values: the object.
        place: where it stands, for messages, such as "metrics.jsonl, line 3".

    Every reading method raises RunDirectoryError for a missing key or a wrong type.
    """

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values = values
        self.place = place

    def fail(self, problem: str) -> NoReturn:
        """Raises RunDirectoryError with the place and `problem`."""
        raise RunDirectoryError(f"{self.place}: {problem}")

    def _get(self, key: str, kinds: type | tuple[type, ...], wanted: str) -> Any:
        if key not in self.values:
            self.fail(f"key {key!r} is missing")
        value = self.values[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            self.fail(f"{key!r} must be {wanted}, not {_brief(value)}")
        return value

    def text(self, key: str) -> str:
        return self._get(key, str, "a string")

    def integer(self, key: str) -> int:
        value = self._get(key, int, "a whole number")
        if abs(value) >= 2**53:
            self.fail(f"{key!r} is too large: {_brief(value)}")
        return value

    def number(self, key: str) -> float:
        self._get(key, (int, float), "a number")
        value = self.number_or_none(key)
        assert value is not None
        return value

    def flag(self, key: str) -> bool:
        return self._get(key, bool, "true or false")

    def number_or_none(self, key: str) -> float | None:
        value = self._get(key, (int, float, type(None)), "a number or null")
        try:
            return None if value is None else float(value)
        except OverflowError:
            self.fail(f"{key!r} is too large: {_brief(value)}")

    def items(self, key: str) -> list[Any]:
        return self._get(key, list, "a list")

    def child(self, key: str) -> JsonObject:
        """The object under `key`; its messages name the key as well."""
        return JsonObject(self._get(key, dict, "an object"), f"{self.place}, in {key!r}")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.items(key)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{key!r}[{i}] must be a string, not {_brief(value)}")
        return tuple(values)

    def probabilities(self, key: str) -> np.ndarray:
        """float64 values of a list of probabilities."""
        values = self.items(key)
        for i, value in enumerate(values):
            if not is_probability(value):
                self.fail(f"{key!r}[{i}] must be in [0, 1], not {_brief(value)}")
        return np.asarray(values, dtype=np.float64)

    def pass_at_k(self, key: str) -> dict[int, float]:
        """An object of pass@k by k, in increasing order of k."""
        found: dict[int, float] = {}
        for text, value in self._get(key, dict, "an object").items():
            if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
                self.fail(f"{key!r} has the key {text!r}, which is not a k of 1 or more")
            if not is_probability(value):
                self.fail(f"{key!r}[{text!r}] must be in [0, 1], not {_brief(value)}")
            found[int(text)] = float(value)
        if not found:
            self.fail(f"{key!r} is empty")
        return dict(sorted(found.items()))


def is_probability(value: object) -> bool:
    """Whether `value` is a number in [0, 1], up to rounding."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -PROBABILITY_SLACK <= value <= 1.0 + PROBABILITY_SLACK


def read_json(path: Path) -> JsonObject:
    """As `pkpo.report.jsonio.read_json`."""
    return JsonObject(jsonio.read_json(path), str(path))


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
