"""Tasks by name, for configs and flags."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pkpo.errors import BrokenPackageError, InvalidInputError
from pkpo.tasks.base import Task, TokenTask

TASKS: Mapping[str, str] = {
    "grid-programs": "pkpo.tasks.grid_programs:GridProgramTask",
    "math": "pkpo.tasks.mathematics:MathTask",
    "reasoning-gym": "pkpo.tasks.reasoning:ReasoningGymTask",
}
"""Module and class of pkpo's own tasks. None is imported before it is asked for."""

GROUP = "pkpo.tasks"
"""Entry points of other packages, each a class of `pkpo.tasks.base.Task` by the task's name."""


def task_names() -> tuple[str, ...]:
    """The tasks that can be built, pkpo's own first."""
    others = {point.name for point in entry_points(group=GROUP)} - TASKS.keys()
    return (*TASKS, *sorted(others))


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task `name`, made with its `options`.

    Raises:
        InvalidInputError: unknown task or option, or an option out of range.
        BrokenPackageError: another package's task can't be imported, or isn't one.
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


def build_token_task(name: str, options: Mapping[str, Any]) -> TokenTask:
    """As `build_task`, for engines whose models speak the task's own tokens.

    Raises:
        InvalidInputError: besides, a task in plain language alone.
    """
    task = build_task(name, options)
    if not isinstance(task, TokenTask):
        raise InvalidInputError(
            f"task {name!r} is in plain language alone; it takes a language model (--engine trl)"
        )
    return task


def describe_options(name: str) -> str:
    """What the options of the task `name` mean.

    Raises:
        InvalidInputError: unknown task.
    """
    text = inspect.getdoc(_builder(name)) or ""
    found = re.search(r"^Args:\n(.*?)(?=\n+^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return inspect.cleandoc(found[1]) if found else ""


def _builder(name: str) -> type[Task]:
    if name in TASKS:
        module, _, attribute = TASKS[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP, name=name):
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise BrokenPackageError(f"task {name!r} ({point.value}): {error}") from error
        if isinstance(found, type) and issubclass(found, Task):
            return found
        raise BrokenPackageError(f"task {name!r}: {point.value} is no class of a pkpo Task")
    raise InvalidInputError(f"no task {name!r}; tasks: {', '.join(task_names())}")
