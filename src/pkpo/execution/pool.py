"""Named pieces of work, some of which wait for others, run until each has ended."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

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
    """How an item that was started ended: finished, stopped early, or with a failure."""

    name: str
    finished: bool
    failure: Failure | None = None


class Executor(Protocol):
    """Runs items elsewhere. Leaving its context ends at once what still runs."""

    @property
    def slots(self) -> int:
        """How many items may run at a time."""
        ...

    def start(self, item: Item) -> None:
        """Start an item; called only while fewer than `slots` run."""
        ...

    def ended(self, timeout: float) -> list[Ended]:
        """The items that ended since the last call, waiting for one at most `timeout` seconds."""
        ...

    def stop(self) -> None:
        """Ask all running items to end early, and return at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


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
        free = executor.slots - sum(state is State.RUNNING for state in self.states.values())
        for name, item in self._items.items():
            if free <= 0:
                return
            if self.states[name] is State.WAITING and self._ready(item):
                executor.start(item)
                self.states[name] = State.RUNNING
                free -= 1

    def _ready(self, item: Item) -> bool:
        return all(self.states[name] is State.DONE for name in item.needs) and all(
            self.states[name] in (State.DONE, State.FAILED) for name in item.after
        )

    def _record(self, end: Ended) -> None:
        item = self._items[end.name]
        if end.failure is not None:
            if item.failure_file is not None:
                text = f"{end.failure.reason}\n\n{end.failure.details}"
                # On a full disk the reason is shown all the same.
                with suppress(OSError):
                    write_atomically(
                        item.failure_file, lambda path: path.write_text(text, encoding="utf-8")
                    )
            self.fail(end.name, end.failure)
        elif end.finished:
            self.states[end.name] = State.DONE
            if item.failure_file is not None:
                with suppress(OSError):
                    item.failure_file.unlink(missing_ok=True)
        else:
            self.states[end.name] = State.STOPPED

    def fail(self, name: str, failure: Failure) -> None:
        """Count an item as failed, and with it those that need it and aren't done."""
        self.states[name], self.failures[name] = State.FAILED, failure
        for other in self._items.values():
            if name in other.needs and self.states[other.name] is State.WAITING:
                self.fail(other.name, Failure(f"{name} failed: {failure.reason}"))
