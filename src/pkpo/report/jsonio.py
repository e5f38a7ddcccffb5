"""JSON files with errors that name the file, the line and the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pkpo.errors import RunDirectoryError

PROBABILITY_SLACK = 1e-6
"""How far rounding may take a probability outside [0, 1] before it counts as corrupt."""


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
        return self._get(key, int, "a whole number")

    def number(self, key: str) -> float:
        return float(self._get(key, (int, float), "a number"))

    def flag(self, key: str) -> bool:
        return self._get(key, bool, "true or false")

    def number_or_none(self, key: str) -> float | None:
        value = self._get(key, (int, float, type(None)), "a number or null")
        return None if value is None else float(value)

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
            if not text.isdecimal() or int(text) < 1:
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
    """The object in a JSON file.

    Raises:
        RunDirectoryError: the file is missing, empty, not UTF-8, not JSON or no object.
    """
    content = read_bytes(path)
    if not content.strip():
        raise RunDirectoryError(f"{path}: the file is empty")
    try:
        return _parse_object(content, str(path))
    except json.JSONDecodeError as error:
        raise RunDirectoryError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg})"
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RunDirectoryError(f"{path}, line {line}: not valid UTF-8") from None


def read_json_lines(path: Path) -> tuple[list[JsonObject], bool]:
    """The objects in a file of one JSON object a line.

    Returns:
        The objects, and whether a last line was dropped because it was cut short, as
        a killed writer leaves it (without its line end).

    Raises:
        RunDirectoryError: the file is missing, or another line is not a JSON object.
    """
    lines = read_bytes(path).split(b"\n")
    unterminated = lines.pop()
    objects = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}, line {number}"
        try:
            objects.append(_parse_object(line, place))
        except json.JSONDecodeError as error:
            raise RunDirectoryError(f"{place}: not valid JSON ({error.msg})") from None
        except UnicodeDecodeError:
            raise RunDirectoryError(f"{place}: not valid UTF-8") from None
    if not unterminated.strip():
        return objects, False
    try:
        objects.append(_parse_object(unterminated, f"{path}, line {len(lines) + 1}"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return objects, True
    return objects, False


def read_bytes(path: Path) -> bytes:
    """The content of a file; a missing or unreadable one raises RunDirectoryError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunDirectoryError(f"{path}: the file is missing") from None
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror})") from error


def _parse_object(content: bytes, place: str) -> JsonObject:
    value = json.loads(content.decode("utf-8"))
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{place}: must be a JSON object, not {_brief(value)}")
    return JsonObject(value, place)


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
