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
_TOLERANCE = 1e-6


class BadValueError(ValueError):
    """A value that is no reward or no problem id; the message says why."""


def reward_of(value: Any) -> float:
    """A finite number from a bool, a number, or text that is one.

    Raises:
        BadValueError: anything else, with what it was.

    >>> [reward_of(value) for value in (True, 2, "-0.5", "False")]
    [1.0, 2.0, -0.5, 0.0]
    """
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if not _NUMBER.fullmatch(text):
            raise BadValueError(f"the reward is {_shown(value)}, not a number")
        number = float(text)
    elif isinstance(value, bool | int | float | Decimal):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif value is None:
        raise BadValueError("the reward is missing (null)")
    else:
        raise BadValueError(f"the reward is {_kind(value)}, not a number")
    if not math.isfinite(number):
        raise BadValueError(f"the reward is {number}, not a finite number")
    return number


def problem_of(value: Any) -> str:
    """The text of a problem id: a string as it is, all else as JSON, equal numbers alike.

    Raises:
        BadValueError: nothing, or empty text, or no finite number.

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
    """An integer from a number, or text that is one.

    Raises:
        BadValueError: anything else.
    """
    try:
        number = float(value)
        if number == int(number) and not isinstance(value, bool):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadValueError(f"the step is {value!r}, not an integer")


def solved_of(score: float, num_samples: int) -> int | None:
    """How many of the samples a solve rate stands for, or None if it is no solve rate of them.

    >>> solved_of(0.75, 4), solved_of(0.7, 4)
    (3, None)
    """
    solved = round(score * num_samples)
    whole = abs(score * num_samples - solved) <= _TOLERANCE * num_samples
    return solved if whole and 0 <= solved <= num_samples else None


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list"}
    return names.get(type(value), f"of type {type(value).__name__}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
