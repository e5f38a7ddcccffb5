"""Which settings a sweep varies, and the cells of its grid."""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from pkpo.errors import InvalidInputError
from pkpo.report.sweep_load import short_names, text_of
from pkpo.train.config import ArmSettings, Settings, TrainConfig

_OPTIONS = "task.options."
_NOT_VARIED = {"arms", "seeds", "task.options", "arms.name", "arms.schedule", "arms.family"}
_SHORT = {"learning_rate": "arms.learning_rate", "task": "task.name"}
_LONGEST_SLUG = 80


def _paths(model: type[Settings], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        path = prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _paths(field.annotation, path + ".")
        elif path not in _NOT_VARIED:
            yield path


PATHS = (*_paths(TrainConfig), *_paths(ArmSettings, "arms."))
"""The settings that can be varied, besides task.options.NAME. "arms." stands for every arm."""


def resolve_path(name: str) -> str:
    """The path of a setting, from the path itself or a short name of it.

    Short names are those of the flags of `pkpo train`, and last parts of paths that no other
    setting shares; training settings go first.

    >>> resolve_path("num_generations"), resolve_path("learning_rate")
    ('training.num_generations', 'arms.learning_rate')
    >>> resolve_path("warm_start_steps"), resolve_path("option.size")
    ('warm_start.steps', 'task.options.size')

    Raises:
        InvalidInputError: no setting, or several, have that name.
    """
    name = name.strip()
    if name.startswith("option."):
        name = _OPTIONS + name.removeprefix("option.")
    if name in PATHS or (name.startswith(_OPTIONS) and name != _OPTIONS):
        return name
    if name in _SHORT:
        return _SHORT[name]
    if f"training.{name}" in PATHS:
        return f"training.{name}"
    found = [p for p in PATHS if p.replace(".", "_") == name or p.rpartition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInputError(f"{name!r} may mean {' or '.join(found)}; give one of these")
    hint = "; objectives and seeds have flags of their own" if name in _NOT_VARIED else ""
    raise InvalidInputError(
        f"can't vary {name!r}{hint}; settings: {', '.join(PATHS)}, and {_OPTIONS}NAME"
    )


def parse_vary(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """NAME=VALUE,VALUE,... texts as paths and values; JSON where it parses, else text.

    >>> parse_vary(["learning_rate=1e-4,3e-4", "option.reward=binary,cells"])
    {'arms.learning_rate': (0.0001, 0.0003), 'task.options.reward': ('binary', 'cells')}
    >>> parse_vary(["option.lengths=[1,2],[1,2,3]"])
    {'task.options.lengths': ([1, 2], [1, 2, 3])}

    Raises:
        InvalidInputError: no "=", an unknown name, or a name given twice.
    """
    varied: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise InvalidInputError(f"--vary takes NAME=VALUE,VALUE,..., got {text!r}")
        path = resolve_path(name)
        if path in varied:
            raise InvalidInputError(f"--vary {path} is given twice; list all values in one")
        varied[path] = _values(values)
    return varied


def _values(text: str) -> tuple[Any, ...]:
    whole = json_or_text(f"[{text}]")
    return tuple(whole if isinstance(whole, list) else map(json_or_text, text.split(",")))


def json_or_text(text: str) -> Any:
    """The value of a JSON text; any other text without the space around it."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


@dataclass(frozen=True)
class Cell:
    """One combination of the varied settings.

    Args:
        name, slug: the combination in words, such as "learning_rate=0.001, passes=2", and as the
            name of its folder.
        settings: the varied settings by path.
        labels: their values as text, by short name.
        config: the whole job's settings.
    """

    name: str
    slug: str
    settings: Mapping[str, Any]
    labels: Mapping[str, str]
    config: TrainConfig


class SweepSettings(Settings):
    """A grid: a job's settings, and values for some of them.

    Args:
        base: what all cells have in common, objectives and seeds among it.
        vary: values by path or short name; see `resolve_path`. Cells are their
            combinations, the last one varying fastest.

    Raises:
        pydantic.ValidationError: an unknown path, no or equal values, or a cell whose
            settings `TrainConfig` refuses.
    """

    base: TrainConfig
    vary: dict[str, tuple[Any, ...]] = Field(default_factory=dict)

    @field_validator("vary", mode="after")
    @classmethod
    def _known(cls, value: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        resolved = {resolve_path(name): values for name, values in value.items()}
        if len(resolved) < len(value):
            raise ValueError(f"two of {', '.join(value)} are the same setting")
        for path, values in resolved.items():
            if not values:
                raise ValueError(f"{path} has no values")
            if any(_is_infinite(v) for v in values):
                raise ValueError(f"{path}: values must be finite, got {list(values)}")
            if len({_json(v) for v in values}) < len(values):
                raise ValueError(f"{path}: values must be distinct, got {list(values)}")
        return resolved

    @model_validator(mode="after")
    def _cells_are_jobs(self) -> SweepSettings:
        self.cells()
        return self

    def cells(self) -> tuple[Cell, ...]:
        """All combinations, in order."""
        names = short_names(list(self.vary))
        cells: list[Cell] = []
        slugs: set[str] = set()
        for values in itertools.product(*self.vary.values()):
            settings = dict(zip(self.vary, values))
            labels = dict(zip(names, map(text_of, values)))
            texts = [f"{label}={text}" for label, text in labels.items()]
            name = ", ".join(texts) or "all"
            slug = _slug("+".join(texts) or "all")
            if slug.casefold() in slugs:
                slug = f"{slug}-{zlib.crc32(_json(settings).encode()):08x}"
            slugs.add(slug.casefold())
            cells.append(Cell(name, slug, settings, labels, self._config(name, settings)))
        return tuple(cells)

    def _config(self, name: str, settings: Mapping[str, Any]) -> TrainConfig:
        data = self.base.model_dump(mode="json")
        for path, value in settings.items():
            _set(data, path.split("."), value)
        try:
            return TrainConfig.model_validate(data)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            raise ValueError(f"cell {name}: {f'{place}: ' if place else ''}{message}") from error


def _set(data: dict[str, Any], parts: list[str], value: Any) -> None:
    first, *rest = parts
    if first == "arms":
        for arm in data["arms"]:
            arm[rest[0]] = copy.deepcopy(value)
    elif data is not None and rest and first != "options":
        _set(data[first], rest, value)
    elif rest:
        data[first][".".join(rest)] = copy.deepcopy(value)
    else:
        data[first] = copy.deepcopy(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _is_infinite(value: Any) -> bool:
    try:
        return not math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _slug(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9@.+=-]+", "_", text).strip("_.")
    if len(plain) > _LONGEST_SLUG:
        plain = f"{plain[:_LONGEST_SLUG]}-{zlib.crc32(text.encode()):08x}"
    return plain or f"cell-{zlib.crc32(text.encode()):08x}"
