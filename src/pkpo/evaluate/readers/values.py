"""Rewards, counts, ids and settings as they stand in a log, turned into numbers and text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_WORDS = {"true": 1.0, "false": 0.0}
_KINDS = {dict: "an object", list: "a list"}
_TOLERANCE = 1e-6


class BadValueError(ValueError):
    """A record that can't be taken; the message says why."""


def reward_of(value: Any) -> float:
    """A finite number from a bool, a number, or text that is one.

    >>> [reward_of(value) for value in (True, 2, "-0.5", "False")]
    [1.0, 2.0, -0.5, 0.0]
    """
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if not _NUMBER.fullmatch(text):
            shown = value if len(value) <= 40 else value[:37] + "..."
            raise BadValueError(f"the reward is {shown!r}, not a number")
        value = text
    elif value is None:
        raise BadValueError("the reward is missing (null)")
    elif not isinstance(value, bool | int | float | Decimal):
        kind = _KINDS.get(type(value), f"of type {type(value).__name__}")
        raise BadValueError(f"the reward is {kind}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadValueError(f"the reward is {number}, not a finite number")
    return number


def rewards_of(rate: Any, number: int, name: str) -> list[float]:
    """The 0/1 rewards that a solve rate of so many samples stands for.

    >>> rewards_of(0.75, 4, "pass@1")
    [1.0, 1.0, 1.0, 0.0]
    """
    solved = round(rate * number) if isinstance(rate, int | float) and math.isfinite(rate) else -1
    if not 0 <= solved <= number or abs(rate * number - solved) > _TOLERANCE * number:
        raise BadValueError(f"{name} is {rate!r}, which no count of {number} samples gives")
    return [1.0] * solved + [0.0] * (number - solved)


def problem_of(value: Any) -> str:
    """The text of a problem id: a string as it is, all else as JSON, equal numbers alike.

    >>> problem_of("a"), problem_of(7.0), problem_of([{"role": "user", "content": "2 + 2"}])
    ('a', '7', '[{"content": "2 + 2", "role": "user"}]')
    """
    if value is None:
        raise BadValueError("the problem id is missing (null)")
    if value == "":
        raise BadValueError("the problem id is empty")
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise BadValueError(f"the problem id is {value}, not a finite number")
    return text_of(value)


def setting_of(value: Any) -> str | None:
    """The text of a setting, such as a model's name or a temperature; None where there is none.

    >>> setting_of("a"), setting_of(1.0), setting_of(0.7), setting_of(True), setting_of("")
    ('a', '1', '0.7', 'true', None)
    """
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if missing else text_of(value)


def text_of(value: Any) -> str:
    """A string as it is, all else as JSON, with half a pair of surrogates replaced."""
    if not isinstance(value, str):
        value = json.dumps(_alike(value), sort_keys=True, ensure_ascii=False, default=str)
    return value.encode(errors="replace").decode()


def _alike(value: Any) -> Any:
    """Whole numbers as integers, however they were written, all the way down."""
    if isinstance(value, float | Decimal):
        number = float(value)
        return int(value) if number.is_integer() else number
    if isinstance(value, dict):
        return {str(key): _alike(part) for key, part in value.items()}
    return [_alike(part) for part in value] if isinstance(value, list) else value


def step_of(value: Any) -> int:
    """An integer from a number, or text that is one."""
    try:
        number = float(value)
        if number == int(number) and not isinstance(value, bool):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadValueError(f"the step is {value!r}, not an integer")


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def within(record: Any, *keys: str) -> Mapping[str, Any]:
    """The JSON object at the end of these keys, each in the object of the one before; empty where
    there is none."""
    for key in keys:
        record = object_of(record).get(key)
    return object_of(record)
