"""Runs items in processes of this machine, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from pkpo.errors import InvalidInputError
from pkpo.execution.locks import end_with_parent
from pkpo.execution.pool import Ended, Executor, Failure, Item, outcome

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE_SECONDS = 5.0
_number = 0


def worker_number() -> int:
    """Which process of its `LocalProcesses` this is, counted from 0 in the order they were
    started; 0 elsewhere."""
    return _number


@dataclass
class _Worker:
    """`begun`: has said that it took up its item; `served`: items that it ended before."""

    process: SpawnProcess
    connection: Connection
    item: Item | None = None
    begun: bool = False
    served: int = 0


class LocalProcesses(Executor):
    """An executor of `slots` processes, each used for one item after the other.

    A terminal sends its interrupts to every process of a group; workers pay no heed to
    them and end early only when `stop` was called here, or when this process is gone. A
    worker that dies takes one item with it, and is replaced when it is needed.

    Args:
        slots: processes at a time, at least 1.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise InvalidInputError(f"slots must be >= 1, got {slots}")
        self.slots = slots
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}
        self._hired = 0
        self._stopping = False

    def start(self, item: Item) -> None:
        while True:
            worker = self._idle.pop() if self._idle else self._hire()
            self._busy[item.name] = worker
            worker.item, worker.begun = item, False
            try:
                worker.connection.send((item.work, item.arguments))
            except BrokenPipeError:
                self._dismiss(self._busy.pop(item.name))
            else:
                return

    def ended(self, timeout: float) -> list[Ended]:
        ready = wait([worker.connection for worker in self._busy.values()], timeout)
        heard = [name for name, worker in self._busy.items() if worker.connection in ready]
        return [end for name in heard if (end := self._hear(name)) is not None]

    def _hear(self, name: str) -> Ended | None:
        """How an item ended, if that is what its worker says."""
        worker = self._busy[name]
        try:
            said = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._bury(name)
        if said is None:
            worker.begun = True
            return None
        del self._busy[name]
        worker.served += 1
        self._idle.append(worker)
        finished, failure = said
        return Ended(name, finished, failure)

    def _bury(self, name: str) -> Ended | None:
        """A worker hung up. One that had died between two items leaves the second to another."""
        worker = self._busy.pop(name)
        reason = self._dismiss(worker)
        if worker.served and not worker.begun and worker.item is not None:
            if self._stopping:
                return Ended(name, finished=False)
            self.start(worker.item)
            return None
        return Ended(name, finished=False, failure=Failure(reason))

    def stop(self) -> None:
        self._stopping = True
        for worker in self._busy.values():
            with suppress(BrokenPipeError):
                worker.connection.send(None)

    def _hire(self) -> _Worker:
        for name in _THREAD_SETTINGS:
            os.environ.setdefault(name, "1")
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._hired))
        self._hired += 1
        # The child inherits the blocked signals, and unblocks them when it is ready for them.
        with _blocked_signals():
            process.start()
            theirs.close()
            return _Worker(process, ours)

    def _dismiss(self, worker: _Worker) -> str:
        """Wait for the end of a worker that hung up; returns how it died."""
        worker.connection.close()
        worker.process.join(_GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        code = worker.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
            return f"its worker process was killed ({name}{hint})"
        return f"its worker process ended with exit code {code}"

    def close(self) -> None:
        for worker in self._busy.values():
            worker.process.kill()
        workers = [*self._busy.values(), *self._idle]
        self._busy, self._idle = {}, []
        for worker in workers:
            worker.connection.close()
        for worker in workers:
            self._dismiss(worker)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def use_one_thread() -> None:
    """Contended threads make small steps several times slower. Work that needs torch has
    imported it, and more work hasn't."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def _serve(connection: Connection, number: int) -> None:
    """In a worker: do what comes, until told to stop or left alone."""
    global _number
    _number = number
    for number in _SIGNALS:
        # Unlike an ignored signal, one with a handler is back to normal in programs started here.
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    end_with_parent()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (task := connection.recv()) is not None:
            connection.send(None)  # begun
            work, arguments = task
            use_one_thread()
            # Anything that comes meanwhile, the end of the connection too, says stop.
            connection.send(outcome(work, arguments, connection.poll))
