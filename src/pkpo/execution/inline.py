"""Runs items in this very process, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from pkpo.execution.pool import Ended, Failure, Item


class ThisProcess:
    """An executor for work that can't be sent elsewhere; an item runs while `ended` is called.

    Args:
        stop: what the items ask whether to end early.
        recording: whether an exception ends its item alone; else it is raised, as it must be
            where other processes wait for this one.
    """

    slots = 1

    def __init__(self, stop: Callable[[], bool], *, recording: bool = True) -> None:
        self._stop, self._recording = stop, recording
        self._item: Item | None = None

    def start(self, item: Item) -> None:
        self._item = item

    def ended(self, timeout: float) -> list[Ended]:
        item, self._item = self._item, None
        if item is None:
            return []
        try:
            return [Ended(item.name, item.work(*item.arguments, stop=self._stop))]
        except Exception as error:
            if not self._recording:
                raise
            return [Ended(item.name, finished=False, failure=Failure.of(error))]

    def stop(self) -> None:
        """Nothing: items ask for themselves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass
