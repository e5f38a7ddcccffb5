"""The pool: order, dependencies, failures, stopping; and its processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.execution.pool import Ended, Executor, Failure, Item, Pool, State
from pkpo.execution.processes import LocalProcesses, worker_number

from . import pieces


class Scripted:
    """An executor that runs nothing: what was started ends, in order, as it was told to."""

    def __init__(self, slots: int, outcomes: dict[str, str] | None = None) -> None:
        self.slots, self.outcomes = slots, outcomes or {}
        self.running: list[str] = []
        self.log: list[str] = []
        self.most = 0
        self.asked_to_stop = False

    def start(self, item: Item) -> None:
        self.running.append(item.name)
        self.log.append(f"+{item.name}")
        self.most = max(self.most, len(self.running))

    def ended(self, timeout: float) -> list[Ended]:
        name = self.running.pop(0)
        self.log.append(f"-{name}")
        outcome = self.outcomes.get(name, "stopped" if self.asked_to_stop else "done")
        failure = Failure("broken") if outcome == "failed" else None
        return [Ended(name, outcome == "done", failure)]

    def stop(self) -> None:
        self.asked_to_stop = True

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def item(name: str, **given: Any) -> Item:
    return Item(name, pieces.note, **given)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# The order of things


def test_items_run_in_order_as_slots_come_free():
    executor = Scripted(2)
    pool = Pool([item(name) for name in "abcd"])
    pool.run(executor)
    assert executor.log == ["+a", "+b", "-a", "+c", "-b", "+d", "-c", "-d"]
    assert set(pool.states.values()) == {State.DONE}
    assert executor.most == 2


def test_an_item_waits_for_what_it_needs_while_later_ones_go_ahead():
    executor = Scripted(2)
    pool = Pool([item("warm"), item("arm", needs=("warm",)), item("other")])
    pool.run(executor)
    assert executor.log == ["+warm", "+other", "-warm", "+arm", "-other", "-arm"]


def test_a_failure_takes_along_what_needs_it_and_nothing_else():
    items = [
        item("warm"),
        item("arm", needs=("warm",)),
        item("after the arm", needs=("arm",)),
        item("later", after=("warm",)),
        item("other"),
    ]
    pool = Pool(items)
    pool.run(Scripted(1, {"warm": "failed"}))
    assert pool.states == {
        "warm": State.FAILED,
        "arm": State.FAILED,
        "after the arm": State.FAILED,
        "later": State.DONE,
        "other": State.DONE,
    }
    assert pool.failures["arm"].reason == "warm failed: broken"
    assert pool.failures["after the arm"].reason == "arm failed: warm failed: broken"


def test_after_an_interrupt_nothing_more_is_started():
    executor = Scripted(2)
    pool = Pool([item(name) for name in "abc"] + [item("d", after=("a",))])
    pool.run(executor, interrupted=lambda: bool(executor.running))
    assert executor.log == ["+a", "+b", "-a", "-b"]
    assert list(pool.states.values()) == ["done", "stopped", "waiting", "waiting"]


def test_an_interrupt_before_the_start_starts_nothing():
    executor = Scripted(2)
    Pool([item("a")]).run(executor, interrupted=lambda: True)
    assert executor.log == []


def test_the_watcher_sees_the_last_state():
    pool, seen = Pool([item("a")]), []
    pool.run(Scripted(1), watch=lambda: seen.append(pool.states["a"]))
    assert seen == [State.RUNNING, State.DONE]


def test_no_items_are_done_at_once():
    Pool([]).run(Scripted(1))


def test_reasons_are_kept_in_files_until_the_item_is_done(tmp_path: Path):
    path = tmp_path / "folder" / "failure.txt"
    items = [item("a", failure_file=path)]
    Pool(items).run(Scripted(1, {"a": "failed"}))
    assert path.read_text().splitlines()[0] == "broken"
    Pool(items).run(Scripted(1, {"a": "stopped"}))
    assert path.exists()
    Pool(items).run(Scripted(1))
    assert not path.exists()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([item("a"), item("a")], "two items are named 'a'"),
        ([item("a", needs=("b",)), item("b")], "'a' waits for 'b'"),
        ([item("a", after=("a",))], "'a' waits for 'a'"),
    ],
)
def test_impossible_orders_are_refused(items: list[Item], message: str):
    with pytest.raises(InvalidInputError, match=message):
        Pool(items)


# Processes


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the processes are started with is put back afterwards."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def run(items: list[Item], executor: Executor, **given: Any) -> Pool:
    pool = Pool(items)
    with executor:
        pool.run(executor, **given)
    return pool


def test_failures_of_all_kinds_while_the_rest_goes_on(tmp_path: Path):
    log = tmp_path / "log"
    pool = run(
        [
            Item("killed", pieces.die, failure_file=tmp_path / "killed.txt"),
            Item("failing", pieces.fail, failure_file=tmp_path / "failing.txt"),
            Item("leaving", pieces.leave, (3,)),
            Item("good", pieces.note, (log, "good")),
            Item("needs it", pieces.note, (log, "never"), needs=("killed",)),
        ],
        LocalProcesses(2),
    )
    assert pool.states["good"] is State.DONE
    assert log.read_text() == "good\n"
    assert "killed (SIGKILL" in pool.failures["killed"].reason
    assert "killed (SIGKILL" in (tmp_path / "killed.txt").read_text()
    assert pool.failures["failing"].reason == "ValueError: no"
    details = (tmp_path / "failing.txt").read_text()
    assert "second line" in details
    assert "pieces.py" in details
    assert "exit code 3" in pool.failures["leaving"].reason
    assert "killed failed: its worker" in pool.failures["needs it"].reason


def test_processes_are_numbered(tmp_path: Path):
    assert worker_number() == 0
    run([Item(name, pieces.meet, (tmp_path,)) for name in "ab"], LocalProcesses(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_process_is_used_again(tmp_path: Path):
    items = [Item(str(i), pieces.note_process, (tmp_path / "log",)) for i in range(3)]
    run(items, LocalProcesses(1))
    pids = (tmp_path / "log").read_text().split()
    assert len(pids) == 3
    assert len(set(pids)) == 1
    assert int(pids[0]) != os.getpid()


def test_what_runs_is_asked_to_stop(tmp_path: Path):
    flag = tmp_path / "runs"
    items = [Item("long", pieces.until_stopped, (flag,)), Item("next", pieces.fail)]
    pool = run(items, LocalProcesses(1), interrupted=flag.exists)
    assert pool.states == {"long": State.STOPPED, "next": State.WAITING}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_signals_to_their_parent(tmp_path: Path, number: signal.Signals):
    flag = tmp_path / "runs"
    sent = []

    def watch() -> None:
        if flag.exists() and flag.read_text() and not sent:
            os.kill(int(flag.read_text()), number)
            sent.append(time.monotonic())

    pool = run(
        [Item("long", pieces.until_stopped, (flag,))],
        LocalProcesses(1),
        watch=watch,
        interrupted=lambda: bool(sent) and time.monotonic() > sent[0] + 0.5,
    )
    assert pool.states == {"long": State.STOPPED}


def test_leaving_the_context_ends_what_runs(tmp_path: Path):
    flag = tmp_path / "runs"

    def watch() -> None:
        if flag.exists() and flag.read_text():
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([Item("deaf", pieces.deaf, (flag,))], LocalProcesses(1), watch=watch)
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(flag.read_text()), 0)


def test_a_worker_that_died_idle_is_replaced(tmp_path: Path):
    log = tmp_path / "log"
    with LocalProcesses(1) as executor:
        Pool([Item("a", pieces.note_process, (log,))]).run(executor)
        pid = int(log.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not _alive(pid))
        pool = Pool([Item("b", pieces.note_process, (log,))])
        pool.run(executor)
    assert pool.states == {"b": State.DONE}
    assert len(set(log.read_text().split())) == 2


def test_a_worker_that_dies_before_it_takes_up_its_next_item_is_replaced(tmp_path: Path):
    """The item was sent already: the worker hangs in between, and is killed there."""
    log = tmp_path / "log"
    with LocalProcesses(1) as executor:
        Pool([Item("a", pieces.note_process, (log,))]).run(executor)
        pid = int(log.read_text())
        os.kill(pid, signal.SIGSTOP)
        killed = []

        def watch() -> None:
            if not killed and pool.states["b"] is State.RUNNING:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        pool = Pool([Item("b", pieces.note_process, (log,))])
        pool.run(executor, watch=watch)
    assert killed == [pid]
    assert pool.states == {"b": State.DONE}
    assert len(set(log.read_text().split())) == 2


def test_no_slots_are_refused():
    with pytest.raises(InvalidInputError, match="slots must be >= 1, got 0"):
        LocalProcesses(0)


def test_it_works_outside_of_the_main_thread(tmp_path: Path):
    items = [Item("a", pieces.note, (tmp_path / "log", "a"))]
    thread = threading.Thread(target=run, args=(items, LocalProcesses(1)))
    thread.start()
    thread.join()
    assert (tmp_path / "log").read_text() == "a\n"


def _alive(pid: int) -> bool:
    """Whether it has not ended; a parent that has not asked keeps its number in use."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
