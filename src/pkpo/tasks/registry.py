"""Tasks by name, for configs and flags."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Task
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.reasoning import ReasoningGymTask

TASKS: Mapping[str, Callable[..., Task]] = {
    "grid-programs": GridProgramTask,
    "reasoning-gym": ReasoningGymTask,
}


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task `name`, made with its `options`.

    Raises:
        InvalidInputError: unknown task or option, or an option out of range.
    """
    build = _builder(name)
    if unknown := sorted(options.keys() - inspect.signature(build).parameters):
        raise InvalidInputError(
            f"task {name!r} has no option {', '.join(map(repr, unknown))}; its options:\n\n"
            f"{describe_options(name)}"
        )
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    try:
        return build(**given)
    except (TypeError, InvalidInputError) as error:
        raise InvalidInputError(f"task {name!r}: {error}") from error


def describe_options(name: str) -> str:
    """What the options of the task `name` mean.

    Raises:
        InvalidInputError: unknown task.
    """
    text = inspect.getdoc(_builder(name)) or ""
    found = re.search(r"^Args:\n(.*?)(?=\n+^\S)", text, re.MULTILINE | re.DOTALL)
    return inspect.cleandoc(found[1]) if found else ""


def _builder(name: str) -> Callable[..., Task]:
    if name not in TASKS:
        raise InvalidInputError(f"no task {name!r}; tasks: {', '.join(TASKS)}")
    return TASKS[name]
