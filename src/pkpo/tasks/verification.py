"""Judging many completions in worker processes, each of which may hang or crash."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, Self

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.execution.locks import end_with_parent
from pkpo.tasks.base import Split, Task, Verdict

_GRACE_SECONDS = 5.0


class VerificationError(PkpoError, RuntimeError):
    """A task's verifier itself failed, so that a completion's worth is unknown."""


@dataclass
class _Worker:
    """`place`: of the pair that it judges; None while it starts and between pairs."""

    process: BaseProcess
    connection: Connection
    ready: bool = False
    place: int | None = None
    deadline: float = float("inf")


class Verifier:
    """Worker processes that judge completions of one task; they stay for the next call.

    A completion whose judgement takes more than `timeout`, or takes its process down, gets 0
    with that reason; its worker is killed and replaced, and the others are judged all the same.
    Close it, or use it in a `with` statement; else they end with it or with this process.

    Args:
        task: is pickled to the workers; what it holds open is opened once a worker.
        workers: processes at a time; as many as there are processors by default.
        timeout: seconds for one completion.

    Raises:
        InvalidInputError: `workers` or `timeout` isn't positive.
    """

    def __init__(self, task: Task, *, workers: int | None = None, timeout: float = 60.0) -> None:
        self._task, self._timeout = task, timeout
        self._most = os.cpu_count() or 1 if workers is None else workers
        if self._most < 1 or not timeout > 0:
            raise InvalidInputError(f"{workers=} and {timeout=} must be positive")
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        # At its end an interpreter waits for processes that are no daemons.
        Finalize(self, _kill_all, (self._workers,), exitpriority=0)

    def judge(
        self,
        split: Split,
        pairs: Iterable[tuple[int, str]],
        on_done: Callable[[int, Verdict], object] = lambda place, verdict: None,
    ) -> list[Verdict]:
        """What completions are worth, in their order.

        Args:
            split: of the problems.
            pairs: place of the problem in the split, and completion.
            on_done: called here with each pair's place and verdict, in the order of their ends.

        Raises:
            VerificationError: the task can't be opened by a worker, or its `judge` raised or
                returned what is no verdict.
            PkpoError: `judge` raised it, such as where there is no sandbox.
        """
        todo = list(pairs)
        left = deque(range(len(todo)))
        verdicts: dict[int, Verdict] = {}

        def done(worker: _Worker, verdict: Verdict) -> None:
            place, worker.place, worker.deadline = worker.place, None, float("inf")
            assert place is not None
            verdicts[place] = verdict
            on_done(place, verdict)

        try:
            while len(verdicts) < len(todo):
                for worker in [w for w in self._workers if w.ready and w.place is None]:
                    if left and self._sent(worker, (split, *todo[left[0]])):
                        worker.place = left.popleft()
                        worker.deadline = time.monotonic() + self._timeout
                for _ in range(min(self._most, len(left)) - len(self._workers)):
                    self._workers.append(self._hire())
                for worker in self._heard():
                    if worker.deadline <= time.monotonic():
                        self._dismiss(worker, kill=True)
                        done(worker, Verdict(0.0, f"judging took more than {self._timeout:g} s"))
                        continue
                    try:
                        said = worker.connection.recv()
                    except (EOFError, ConnectionResetError):
                        end = self._dismiss(worker)
                        if worker.place is None:
                            raise VerificationError(
                                f"task {self._task.name}: a worker {end} before it was ready"
                            ) from None
                        done(worker, Verdict(0.0, f"judging it {end}"))
                        continue
                    if said is None:
                        worker.ready = True
                    elif isinstance(said, Verdict):
                        done(worker, said)
                    else:
                        raise said
        except BaseException:
            self.close()
            raise
        return [verdicts[place] for place in range(len(todo))]

    def _sent(self, worker: _Worker, message: tuple[Split, int, str]) -> bool:
        """Whether a worker was still there to take a message."""
        try:
            worker.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._dismiss(worker)
            return False
        return True

    def _heard(self) -> list[_Worker]:
        """Workers that said something, hung up or are out of time; waits for one."""
        busy = [worker for worker in self._workers if worker.place is not None or not worker.ready]
        deadline = min(worker.deadline for worker in busy)
        left = None if deadline == float("inf") else max(deadline - time.monotonic(), 0)
        ready: Sequence[Any] = wait([worker.connection for worker in busy], left)
        return [w for w in busy if w.connection in ready or w.deadline <= time.monotonic()]

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._task), daemon=False)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _dismiss(self, worker: _Worker, *, kill: bool = False) -> str:
        """Let go of a worker that hung up or is to be killed; returns how it ended."""
        self._workers.remove(worker)
        worker.connection.close()
        if not kill:
            worker.process.join(_GRACE_SECONDS)
        worker.process.kill()
        worker.process.join()
        code = worker.process.exitcode or 0
        return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"exited ({code})"

    def close(self) -> None:
        """Kill the workers."""
        _kill_all(self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _kill_all(workers: list[_Worker]) -> None:
    while workers:
        worker = workers.pop()
        worker.connection.close()
        worker.process.kill()
        worker.process.join()


def verify(
    task: Task,
    split: Split,
    pairs: Iterable[tuple[int, str]],
    *,
    workers: int | None = None,
    timeout: float = 60.0,
    on_done: Callable[[int, Verdict], object] = lambda place, verdict: None,
) -> list[Verdict]:
    """What completions are worth, in their order; see `Verifier` for the arguments."""
    with Verifier(task, workers=workers, timeout=timeout) as verifier:
        return verifier.judge(split, pairs, on_done)


def _serve(connection: Connection, task: Task) -> None:
    """In a worker: judge what comes, until left alone. A terminal's interrupt is for the
    process that started it."""
    signal.signal(signal.SIGINT, lambda *_: None)
    end_with_parent()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(None)
        while True:
            split, problem, text = connection.recv()
            connection.send(_judged(task, split, problem, text))


def _judged(task: Task, split: Split, problem: int, text: str) -> Verdict | PkpoError:
    try:
        verdict = task.judge(split, problem, text)
        if isinstance(verdict, Verdict) and 0 <= verdict.reward <= 1:
            return verdict
        found = f"it returned {verdict!r:.80}, not a Verdict with a reward in [0, 1]"
    except PkpoError as error:
        return error
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return VerificationError(f"task {task.name}: the verifier failed on {problem=}: {found}")
