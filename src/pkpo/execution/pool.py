"""Named pieces of work, some of which wait for others, run until each has ended."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.files import write_atomically

REFRESH_SECONDS = 0.5


class State(StrEnum):
    """Where an item stands. Stopped: it ended early because it was asked to."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Item:
    """A piece of work.

    Args:
        name: unique in its pool.
        work: a module's function, called as `work(*arguments, stop=stop)` in some process;
            returns whether it finished, as opposed to ending early because `stop()` was true.
        arguments: values that can be pickled.
        needs: names of items that must be done before; when one fails, so does this one.
        after: names of items that must have ended before, in whatever way.
        failure_file: where the reason of a failure is kept until the item is done.
    """

    name: str
    work: Callable[..., bool]
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    failure_file: Path | None = None


@dataclass(frozen=True)
class Failure:
    """Why an item failed: in one line, and in full."""

    reason: str
    details: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception stands for, with its traceback."""
        lines = [line.strip() for line in (str(error).strip() or repr(error)).splitlines()]
        own = isinstance(error, PkpoError)
        reason = " ".join(filter(None, lines)) if own else f"{type(error).__name__}: {lines[0]}"
        return cls(reason, "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Ended:
    """How an item ended: finished, stopped early, or with a failure."""

    name: str
    finished: bool
    failure: Failure | None = None


def outcome(
    work: Callable[..., bool], arguments: tuple[Any, ...], stop: Callable[[], bool]
) -> tuple[bool, Failure | None]:
    """Do an item: whether it finished, and why it failed if it did."""
    try:
        return work(*arguments, stop=stop), None
    except Exception as error:
        return False, Failure.of(error)


class Executor(AbstractContextManager["Executor"], ABC):
    """Runs items, `slots` at a time. Leaving its context ends at once what still runs.

    Attributes:
        watch: called now and then while items run in this very process, where the pool has no
            turn to do so.
    """

    watch: Callable[[], object] = staticmethod(lambda: None)
    slots: int = 1

    @abstractmethod
    def start(self, item: Item) -> None:
        """Start an item; called only while fewer than `slots` run."""

    @abstractmethod
    def ended(self, timeout: float) -> list[Ended]:
        """The items that ended since the last call, waiting for one at most `timeout` seconds."""

    def stop(self) -> None:
        """Ask all running items to end early, and return at once."""

    def close(self) -> None:
        """End at once what still runs."""

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class ThisProcess(Executor):
    """For work that can't be sent elsewhere; an item runs while `ended` is called, and asks
    itself whether to end early.

    Args:
        stop: what it asks.
        recording: whether an exception ends its item alone; else it is raised, as it must be
            where other processes wait for this one.
    """

    def __init__(self, stop: Callable[[], bool], *, recording: bool = True) -> None:
        self._stop, self._recording = stop, recording
        self._item: Item | None = None

    def start(self, item: Item) -> None:
        self._item = item

    def ended(self, timeout: float) -> list[Ended]:
        item, self._item = self._item, None
        if item is None:
            return []
        if not self._recording:
            return [Ended(item.name, item.work(*item.arguments, stop=self._asked))]
        return [Ended(item.name, *outcome(item.work, item.arguments, self._asked))]

    def _asked(self) -> bool:
        self.watch()
        return self._stop()


class Pool:
    """Runs items in their order, as far as what they wait for allows.

    A failure is recorded and the rest goes on.

    Args:
        items: each waits for earlier ones only.
        done: names of those that have nothing left to do.

    Attributes:
        states: of each item, by name.
        failures: of the failed items, by name.

    Raises:
        InvalidInputError: two items with one name, or one that waits for an item which
            isn't earlier in the list.
    """

    def __init__(self, items: Sequence[Item], done: Collection[str] = ()) -> None:
        self._items: dict[str, Item] = {}
        for item in items:
            if item.name in self._items:
                raise InvalidInputError(f"two items are named {item.name!r}")
            for other in (*item.needs, *item.after):
                if other not in self._items:
                    raise InvalidInputError(
                        f"{item.name!r} waits for {other!r}, which is no earlier item"
                    )
            self._items[item.name] = item
        self.states = {name: State.DONE if name in done else State.WAITING for name in self._items}
        self.failures: dict[str, Failure] = {}

    def run(
        self,
        executor: Executor,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        watch: Callable[[], object] = lambda: None,
    ) -> None:
        """Run everything that can be run.

        Args:
            executor: an entered executor.
            interrupted: asked about twice a second; once it is true nothing more is started
                and what runs is asked to stop.
            watch: called about twice a second and after the last change.
        """
        executor.watch = watch
        asked = False
        while True:
            if not asked and interrupted():
                executor.stop()
                asked = True
            if not asked:
                self._start(executor)
            watch()
            if State.RUNNING not in self.states.values():
                return
            for end in executor.ended(REFRESH_SECONDS):
                self._record(end)

    def _start(self, executor: Executor) -> None:
        running = sum(state is State.RUNNING for state in self.states.values())
        ready = [item for item in self._items.values() if self._is_ready(item)]
        for item in ready[: max(0, executor.slots - running)]:
            executor.start(item)
            self.states[item.name] = State.RUNNING

    def _is_ready(self, item: Item) -> bool:
        return (
            self.states[item.name] is State.WAITING
            and all(self.states[name] is State.DONE for name in item.needs)
            and all(self.states[name] in (State.DONE, State.FAILED) for name in item.after)
        )

    def _record(self, end: Ended) -> None:
        file, failure = self._items[end.name].failure_file, end.failure
        with suppress(OSError):  # on a full disk the reason is shown all the same
            if file is not None and failure is not None:
                write_atomically(file, f"{failure.reason}\n\n{failure.details}".encode())
            elif file is not None and end.finished:
                file.unlink(missing_ok=True)
        if failure is not None:
            self.fail(end.name, failure)
        else:
            self.states[end.name] = State.DONE if end.finished else State.STOPPED

    def fail(self, name: str, failure: Failure) -> None:
        """Count an item as failed, and with it those that need it and aren't done."""
        self.states[name], self.failures[name] = State.FAILED, failure
        for other in self._items.values():
            if name in other.needs and self.states[other.name] is State.WAITING:
                self.fail(other.name, Failure(f"{name} failed: {failure.reason}"))
