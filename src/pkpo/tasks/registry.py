"""Tasks by name, for configs and flags."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, get_args, get_type_hints

from pkpo.errors import BrokenPackageError, InvalidInputError, PkpoError
from pkpo.tasks.base import Split, Task, TokenTask

TASKS: Mapping[str, str] = {
    "grid-programs": "pkpo.tasks.grid_programs:GridProgramTask",
    "reasoning-gym": "pkpo.tasks.reasoning:ReasoningGymTask",
    "human-eval": "pkpo.tasks.code.task:HumanEvalTask",
    "code": "pkpo.tasks.code.task:CodeFileTask",
    "functions": "pkpo.tasks.code.functions:FunctionsTask",
    "math": "pkpo.tasks.mathematics:MathTask",
    "arc": "pkpo.tasks.arc.grids:ArcTask",
    "arc-programs": "pkpo.tasks.arc.programs:ArcProgramTask",
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
            f"task {name!r} is in plain language alone; it takes a language model (--model, such "
            "as smollm2, or --engine trl)"
        )
    return task


@dataclass(frozen=True)
class Outline:
    """A task as a list shows it.

    Args:
        summary: what it is.
        rewards: those that it can give, the default first.
        sizes: problems of each split by default; none where that can't be said.
        note: why it can't.
    """

    summary: str
    rewards: tuple[str, ...]
    sizes: Mapping[str, int]
    note: str = ""


def outline(name: str) -> Outline:
    """What the task `name` is with its default options. It is built unless its options say how
    many problems it makes (`num_train` and so on).

    Raises:
        InvalidInputError: unknown task.
    """
    try:
        build = _builder(name)
    except BrokenPackageError as error:
        return Outline("", (), {}, str(error))
    summary = (inspect.getdoc(build) or "").split("\n\n")[0].replace("\n", " ")
    options = inspect.signature(build).parameters
    rewards = get_args(get_type_hints(build.__init__).get("reward", str)) or (
        getattr(build, "reward_type", ""),
    )
    sizes = {
        split: option.default
        for split in get_args(Split)
        if (option := options.get(f"num_{split}")) is not None
    }
    note = ""
    try:
        if not sizes:
            task = build()
            sizes = {split: len(task.ids(split)) for split in task.splits}
    except (PkpoError, TypeError) as error:
        note = str(error)
    return Outline(summary, tuple(filter(None, rewards)), sizes, note)


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
