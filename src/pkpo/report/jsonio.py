"""JSON files with errors that name the file, the line and the key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pkpo.errors import RunDirectoryError

PROBABILITY_SLACK = 1e-6
"""How far rounding may take a probability outside [0, 1] before it counts as corrupt."""

_MOST_DIGITS = 9
_MOST_SHOWN = 5


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


def differences(stored: Any, now: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, one text a place."""
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        for name in sorted({*stored, *now}, key=str):
            there, here = stored.get(name, "nothing"), now.get(name, "nothing")
            yield from differences(there, here, f"{place}.{name}" if place else str(name))
    elif stored != now:
        yield f"{place} was {stored!r} and is {now!r} now"


def told(found: Sequence[str]) -> str:
    """The first of some differences."""
    more = "" if len(found) <= _MOST_SHOWN else ", ..."
    return f"{', '.join(found[:_MOST_SHOWN])}{more}"


def read_json(path: Path) -> JsonObject:
    """The object in a JSON file.

    Raises:
        RunDirectoryError: the file is missing, empty, not UTF-8, not JSON or no object.
    """
    content = read_bytes(path)
    if not content.strip():
        raise RunDirectoryError(f"{path}: the file is empty")
    return parse_object(content, str(path), lines=True)


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
    objects = [parse_object(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]
    if not unterminated.strip():
        return objects, False
    try:
        objects.append(parse_object(unterminated, f"{path}, line {len(lines) + 1}"))
    except RunDirectoryError:
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


def parse_object(content: bytes, place: str, *, lines: bool = False) -> JsonObject:
    """The JSON object that `content` holds.

    Args:
        place: where it stands, for messages.
        lines: whether to name the line within `content` as well.

    Raises:
        RunDirectoryError: it is not UTF-8, not JSON or no object.
    """

    def fail(problem: str, start: int) -> NoReturn:
        number = content.count(b"\n", 0, start) + 1
        line = f", line {number}" if lines else ""
        raise RunDirectoryError(f"{place}{line}: {problem}") from None

    try:
        text = content.decode("utf-8")
        value = json.loads(text)
    except UnicodeDecodeError as error:
        fail("not valid UTF-8", error.start)
    except json.JSONDecodeError as error:
        fail(f"not valid JSON ({error.msg})", len(error.doc[: error.pos].encode()))
    except (ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise RunDirectoryError(f"{place}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{place}: must be a JSON object, not {_brief(value)}")
    return JsonObject(value, place)


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
