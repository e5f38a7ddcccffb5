"""Runs items as Ray tasks, here or on a cluster whose machines share the file system."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from pkpo.errors import InvalidInputError, needing
from pkpo.execution.pool import Ended, Executor, Failure, Item, outcome
from pkpo.execution.processes import use_one_thread


def _ray() -> Any:
    with needing("running on Ray", "ray"):
        return importlib.import_module("ray")


class RayTasks(Executor):
    """An executor of Ray tasks with one CPU each; needs `pkpo[ray]`.

    Run directories and the cache must have the same paths on all machines.

    Args:
        address: "local" starts Ray on this machine; anything else is what `ray.init`
            takes: "auto" or the address of a cluster.
        slots: CPUs of a local Ray, or the most tasks at a time on a cluster; None stands
            for all there are.
        num_gpus: of each task; parts of one are fine.

    Raises:
        MissingExtraError: Ray isn't installed.
        InvalidInputError: the cluster can't be reached, or has no room for a single task.
    """

    def __init__(
        self, address: str = "local", *, slots: int | None = None, num_gpus: float = 0.0
    ) -> None:
        self._ray = _ray()
        if slots is not None and slots < 1:
            raise InvalidInputError(f"slots must be >= 1, got {slots}")
        self._address, self._most, self._num_gpus = address, slots, num_gpus
        self._running: dict[Any, str] = {}

    @property
    def slots(self) -> int:
        """As many as the cluster has room for now, within the limit."""
        resources = self._ray.cluster_resources()
        room = int(resources.get("CPU", 0))
        if self._num_gpus:
            room = min(room, math.floor(resources.get("GPU", 0) / self._num_gpus))
        return room if self._most is None else min(room, self._most)

    def start(self, item: Item) -> None:
        reference = self._task.remote(self._flag, item.work, item.arguments)
        self._running[reference] = item.name

    def ended(self, timeout: float) -> list[Ended]:
        running = list(self._running)
        if not self._ray.wait(running, timeout=timeout)[0]:
            return []
        done, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
        return [self._outcome(reference) for reference in done]

    def _outcome(self, reference: Any) -> Ended:
        name = self._running.pop(reference)
        try:
            finished, failure = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Ended(name, finished=False, failure=Failure.of(error))
        return Ended(name, finished, failure)

    def stop(self) -> None:
        self._flag.set.remote()

    def __enter__(self) -> Self:
        local = self._address == "local"
        try:
            with _own_signals():
                self._ray.init(
                    address=self._address,
                    num_cpus=self._most if local else None,
                    include_dashboard=False if local else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InvalidInputError(f"can't use Ray at {self._address!r}: {error}") from error
        if self.slots < 1:
            resources = self._ray.cluster_resources()
            self._ray.shutdown()
            raise InvalidInputError(
                f"Ray at {self._address!r} has no room for a task with 1 CPU and "
                f"{self._num_gpus:g} GPUs; it has {resources.get('CPU', 0):g} CPUs and "
                f"{resources.get('GPU', 0):g} GPUs"
            )
        self._flag = self._ray.remote(num_cpus=0)(_Flag).remote()
        self._task = self._ray.remote(num_cpus=1, num_gpus=self._num_gpus, max_retries=0)(_serve)
        return self

    def close(self) -> None:
        for reference in self._running:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        self._running = {}
        self._ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray installs a handler of SIGTERM; put the one before back."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


class _Flag:
    """Up once the tasks are to end early."""

    up = False

    def set(self) -> None:
        self.up = True

    def get(self) -> bool:
        return self.up


def _serve(flag: Any, work: Any, arguments: tuple[Any, ...]) -> tuple[bool, Failure | None]:
    """In a Ray worker: do one item."""
    ray = _ray()
    use_one_thread()
    return outcome(work, arguments, lambda: ray.get(flag.get.remote()))
