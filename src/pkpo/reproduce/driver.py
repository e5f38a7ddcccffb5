"""Making topics: those that are asked for and not there yet, and the page of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.execution.interrupt import Interrupted, Interruption
from pkpo.execution.locks import only_writer
from pkpo.execution.pool import Item, Pool, State
from pkpo.execution.processes import LocalProcesses
from pkpo.reproduce.made_by import source_digest
from pkpo.reproduce.page import write_page
from pkpo.reproduce.stored import is_current, topic_folder, write_result
from pkpo.reproduce.studies import Study
from pkpo.reproduce.study_runs import is_done, run_study
from pkpo.reproduce.topics import Context, Topic, find_topics, study_of
from pkpo.train.job import JobError

RUNS = "runs"
"""The folder of an output folder that holds the studies' run directories."""

_MODE = "mode.txt"


def reproduce(
    names: Sequence[str],
    out: Path,
    *,
    quick: bool,
    workers: int,
    again: bool,
    console: Console,
    command: str,
) -> Path:
    """Make the topics of these names, as far as they aren't there, and the page.

    Args:
        names: of topics, or "all".
        out: folder, made if it is missing.
        quick: smaller settings; a folder holds either quick or full results.
        workers: processes at a time.
        again: make the topics anew even if they are there. Training that is done is kept.
        console: where progress is shown.
        command: as it was typed; the same command goes on with what is left.

    Returns:
        The path of index.html.

    Raises:
        InvalidInputError: no such topic, or `out` holds the other kind of results.
        Interrupted: SIGINT or SIGTERM came; what was done is kept.
        JobError: some topics or trainings failed; the rest went on.
    """
    topics = find_topics(names)
    out.mkdir(parents=True, exist_ok=True)
    with only_writer(out):
        _check_mode(out, quick)
        context = Context(quick=quick, runs=out / RUNS)
        failures: dict[str, str] = {}
        try:
            free = [topic for topic in topics if not topic.studies]
            failures |= _make(free, out, context, workers, again, console, command)
            for name in dict.fromkeys(name for topic in topics for name in topic.studies):
                _train(study_of(name, quick=quick), context, workers, console, command)
            trained = [topic for topic in topics if topic.studies]
            failures |= _make(trained, out, context, workers, again, console, command)
        except Interrupted as error:
            message = f"interrupted; what was done is kept, and `{command}` goes on"
            raise Interrupted(message, error.number) from error
        finally:
            page = write_page(out)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise JobError(f"{len(failures)} topics failed: {reasons}")
    return page


def _check_mode(out: Path, quick: bool) -> None:
    path, mode = out / _MODE, "quick" if quick else "full"
    if path.exists():
        found = path.read_text(encoding="utf-8").strip()
        if found != mode:
            raise InvalidInputError(f"{out} holds {found} results; give another --out")
    else:
        path.write_text(mode + "\n", encoding="utf-8")


def _train(study: Study, context: Context, workers: int, console: Console, command: str) -> None:
    folder = context.runs / study.name
    if is_done(study, folder):
        console.print(f"{study.title}: trained before", markup=False)
        return
    console.print(f"{study.title}: training", markup=False)
    start = time.perf_counter()
    run_study(study, folder, workers=workers, console=console, command=command)
    console.print(f"{study.title}: trained in {time.perf_counter() - start:.0f} s", markup=False)


def _inputs(topic: Topic, quick: bool) -> str:
    """What a topic is made from besides code: the settings of its studies."""
    return "\n".join(
        study_of(name, quick=quick).tuning().model_dump_json() for name in topic.studies
    )


def _make(
    topics: Sequence[Topic],
    out: Path,
    context: Context,
    workers: int,
    again: bool,
    console: Console,
    command: str,
) -> dict[str, str]:
    """Make what isn't there of topics whose studies have run; the reasons of failures by name."""
    source = source_digest()
    left = [
        topic
        for topic in topics
        if again
        or not is_current(
            topic_folder(out, topic.name),
            quick=context.quick,
            source=source,
            inputs=_inputs(topic, context.quick),
        )
    ]
    for topic in topics:
        if topic not in left:
            console.print(f"{topic.name}: made before", markup=False)
    if not left:
        return {}
    pool = Pool(
        [Item(topic.name, make_topic, (topic, out.resolve(), context, source)) for topic in left]
    )
    shown: set[str] = set()

    def show() -> None:
        for name, state in pool.states.items():
            if state in (State.DONE, State.FAILED) and name not in shown:
                shown.add(name)
                reason = f": {pool.failures[name].reason}" if name in pool.failures else ""
                console.print(f"{name}: {state}{reason} ({len(shown)}/{len(left)})", markup=False)

    with Interruption(console, command) as interruption, LocalProcesses(workers) as executor:
        pool.run(executor, interrupted=interruption.requested, watch=show)
        interruption.check()
    return {name: failure.reason for name, failure in pool.failures.items()}


def make_topic(
    topic: Topic, out: Path, context: Context, source: str, *, stop: Callable[[], bool]
) -> bool:
    """Make one topic and store it.

    Returns:
        False if `stop()` was true before it began.
    """
    if stop():
        return False
    start = time.perf_counter()
    result = topic.make(context)
    write_result(
        topic_folder(out, topic.name),
        topic,
        result,
        quick=context.quick,
        command=f"pkpo reproduce {topic.name}{' --quick' if context.quick else ''}",
        seconds=time.perf_counter() - start,
        source=source,
        inputs=_inputs(topic, context.quick),
    )
    return True
