"""Agreement among the processes of a launch by torchrun or accelerate. Needs TRL's packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.train.engine import Launch

T = TypeVar("T")


def start_processes(device: str) -> PartialState:
    """Join the launch's processes; alone without a launcher.

    Raises:
        InvalidInputError: the process has another kind of device.
    """
    state = PartialState(cpu=True) if device == "cpu" else PartialState()
    if getattr(state.device, "type", "cpu") != device.partition(":")[0]:
        raise InvalidInputError(f"device {device!r} can't be used: this process has {state.device}")
    return state


class Ranks(Launch):
    """The processes of the launch."""

    def __init__(self, state: PartialState) -> None:
        self.is_main: bool = state.is_main_process
        self.alone: bool = state.num_processes == 1

    def on_main(self, work: Callable[[], T]) -> T:
        return on_main(work)

    def any(self, flag: bool) -> bool:
        return any(gather_object([flag]))


def on_main(work: Callable[[], T]) -> T:
    """What `work` returns in the main process, in all of them; so too for a PkpoError."""
    outcome: list[Any] = [None, None]
    if PartialState().is_main_process:
        try:
            outcome[0] = work()
        except PkpoError as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def gathered(values: list[T]) -> list[T]:
    """The lists of all processes, one after the other."""
    return gather_object(values)
