"""Tasks by name, for configs and flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Task
from pkpo.tasks.grid_programs import GridProgramTask


def _reasoning_gym(**options: Any) -> Task:
    from pkpo.tasks.reasoning import ReasoningGymTask

    return ReasoningGymTask(**options)


TASKS: dict[str, Callable[..., Task]] = {
    "grid-programs": GridProgramTask,
    "reasoning-gym": _reasoning_gym,
}


def build_task(name: str, options: Mapping[str, Any]) -> Task:
    """The task `name`, made with its `options`.

    Raises:
        InvalidInputError: unknown task or option, or an option out of range.
    """
    if name not in TASKS:
        raise InvalidInputError(f"no task {name!r}; tasks: {', '.join(TASKS)}")
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    try:
        return TASKS[name](**given)
    except (TypeError, InvalidInputError) as error:
        raise InvalidInputError(f"task {name!r}: {error}") from error
