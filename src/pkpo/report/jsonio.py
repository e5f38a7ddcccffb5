"""JSON files, checked by pydantic; errors name the file, the line and the key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    WrapValidator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pkpo.errors import RunDirectoryError

PROBABILITY_SLACK = 1e-6
"""How far rounding may take a probability outside [0, 1] before it counts as corrupt."""

_MOST_DIGITS = 9
_MOST_SHOWN = 5
_CONTAINERS = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
}


class Record(BaseModel):
    """A JSON object; keys that aren't declared are ignored."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


M = TypeVar("M", bound=Record)


def wanted(what: str) -> WrapValidator:
    """An annotation: errors say what a value must be."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except (ValidationError, OverflowError) as error:
            raise PydanticCustomError("wanted", "{what}", {"what": what}) from error

    return WrapValidator(check)


def _by_k(found: dict[str, float]) -> dict[int, float]:
    if not found:
        raise PydanticCustomError("said", "is empty")
    for text in found:
        if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
            said = "has the key {key}, which is not a k of 1 or more"
            raise PydanticCustomError("said", said, {"key": repr(text)})
    return {k: found[text] for k, text in sorted((int(text), text) for text in found)}


Text = Annotated[StrictStr, wanted("a string")]
Flag = Annotated[StrictBool, wanted("true or false")]
Number = Annotated[StrictFloat, wanted("a number")]
NumberOrNull = Annotated[StrictFloat | None, wanted("a number or null")]
Whole = Annotated[
    StrictInt, wanted("a whole number"), Field(gt=-(2**53), lt=2**53)
]  # JSON's numbers are exact so far
Probability = Annotated[
    StrictFloat,
    Field(ge=-PROBABILITY_SLACK, le=1.0 + PROBABILITY_SLACK),
    wanted("in [0, 1]"),
]
PassAtK = Annotated[dict[str, Probability], AfterValidator(_by_k)]
"""pass@k by k, in increasing order."""


class _Step(Record):
    step: Whole


def read_record(path: Path, model: type[M]) -> M:
    """What a JSON file holds; errors as of `read_json` and `checked`."""
    return checked(model, read_json(path), str(path))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        RunDirectoryError: the file is missing, empty, not UTF-8, not JSON or no object.
    """
    content = read_bytes(path)
    if not content.strip():
        raise RunDirectoryError(f"{path}: the file is empty")
    return parse_object(content, str(path), lines=True)


def read_json_lines(path: Path, model: type[M]) -> tuple[list[M], bool]:
    """The objects in a file of one JSON object a line, and whether a last line was dropped because
    it was cut short, as a killed writer leaves it (without its line end).

    Raises:
        RunDirectoryError: the file is missing, another line is not a JSON object, or a key is
            missing or of another type.
    """
    *lines, rest = read_bytes(path).split(b"\n")
    places = [f"{path}, line {number}" for number in range(1, len(lines) + 2)]
    objects = [checked(model, parse_object(*one), one[1]) for one in zip(lines, places)]
    if not rest.strip():
        return objects, False
    try:
        values = parse_object(rest, places[-1])
    except RunDirectoryError:
        return objects, True
    return [*objects, checked(model, values, places[-1])], False


def read_bytes(path: Path) -> bytes:
    """The content of a file; a missing or unreadable one raises RunDirectoryError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunDirectoryError(f"{path}: the file is missing") from None
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror})") from error


def parse_object(content: bytes, place: str, *, lines: bool = False) -> dict[str, Any]:
    """The JSON object that `content` holds; messages name its place and, of several `lines`, one.

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
    return value


def checked(model: type[M], values: Mapping[str, Any], place: str) -> M:
    """The values as a record.

    Raises:
        RunDirectoryError: a key is missing or of another type; names the place and the first key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RunDirectoryError(f"{place}{_explained(error.errors()[0])}") from None


def _explained(error: ErrorDetails) -> str:
    """Where in an object something is wrong, and what."""
    path, given = error["loc"], _brief(error["input"])
    match error["type"]:
        case "missing":
            return f"{_inside(path[:-1])}: key {path[-1]!r} is missing"
        case "wanted":
            said = f"must be {error['msg']}, not {given}"
        case "less_than" | "greater_than":
            said = f"is too large: {given}"
        case kind:
            said = (
                f"must be {_CONTAINERS[kind]}, not {given}" if kind in _CONTAINERS else error["msg"]
            )
    own = 1 if not path or str(path[-1]).isidentifier() else 2  # the key, or the key and the index
    return f"{_inside(path[:-own])}: {_joined(path[-own:])} {said}" if path else f": {said}"


def _inside(parents: Sequence[int | str]) -> str:
    return f", in {_joined(parents)}" if parents else ""


def _joined(path: Sequence[int | str]) -> str:
    return "".join(f"[{part!r}]" if i else repr(part) for i, part in enumerate(path))


def step_of(line: bytes, place: str) -> int:
    """The step that a line of a JSONL file tells of; see `parse_object` for errors."""
    return checked(_Step, parse_object(line, place), place).step


def setting(config: Any, place: str) -> Any:
    """The value at "section" or "section.name"; None where there is none."""
    for name in place.split(".", 1):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


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


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
