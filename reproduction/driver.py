"""Making topics: those that are asked for and not there yet, and the page of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pkpo.errors import InvalidInputError, PkpoError, RunDirectoryError
from pkpo.execution.interrupt import Interrupted, Interruption
from pkpo.execution.locks import only_writer
from pkpo.execution.pool import Item, Pool, State
from pkpo.execution.processes import LocalProcesses
from pkpo.train.job import JobError
from reproduction.made_by import source_digest
from reproduction.page import write_page
from reproduction.stored import is_current, read_result, topic_folder, write_result
from reproduction.studies.runs import is_done, run_study
from reproduction.topics import TOPICS, Context, Topic, find_topics, study_of


@dataclass(frozen=True)
class _How:
    """How topics are made; see `reproduce`."""

    out: Path
    context: Context
    workers: int
    again: bool
    console: Console
    command: str

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def reproduce(
    names: Sequence[str],
    out: Path,
    *,
    quick: bool,
    workers: int,
    console: Console,
    command: str,
    runs: Path | None = None,
    again: bool = False,
) -> Path:
    """Make the topics of these names, as far as they aren't there, and the page.

    Args:
        names: of topics, or "all".
        out: folder, made if it is missing.
        quick: smaller settings; a folder holds either quick or full results.
        workers: processes at a time.
        console: where progress is shown.
        command: as it was typed; the same command goes on with what is left.
        runs: folder of the training runs; OUT/runs by default.
        again: make the topics anew even if they are there. Training that is done is kept.

    Returns:
        The path of index.html.

    Raises:
        InvalidInputError: no such topic, or `out` holds the other kind of results.
        Interrupted: SIGINT or SIGTERM came; what was done is kept.
        JobError: some topics or trainings failed; the rest went on.
    """
    topics = find_topics(names)
    out.mkdir(parents=True, exist_ok=True)
    context = Context(quick=quick, runs=(runs or out / "runs").resolve())
    how = _How(out, context, workers, again, console, command)
    with only_writer(out):
        _check_kind(out, quick)
        try:
            failures = _make([topic for topic in topics if not topic.studies], how)
            untrained = _train([name for topic in topics for name in topic.studies], how)
            trained = [topic for topic in topics if topic.studies]
            failures |= _make([t for t in trained if not untrained.keys() & {*t.studies}], how)
        except Interrupted as error:
            message = f"interrupted; what was done is kept, and `{command}` goes on"
            raise Interrupted(message, error.number) from error
        finally:
            page = write_page(out)
    failures |= {
        topic.name: f"needs {name}: {reason}"
        for topic in topics
        for name, reason in untrained.items()
        if name in topic.studies
    }
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise JobError(f"{len(failures)} topics failed: {reasons}")
    return page


def _check_kind(out: Path, quick: bool) -> None:
    for topic in TOPICS:
        try:
            stored = read_result(topic_folder(out, topic.name))
        except RunDirectoryError:
            continue
        if stored is not None and stored.quick != quick:
            kind = "quick" if stored.quick else "full"
            raise InvalidInputError(f"{out} holds {kind} results; give another --out")


def _train(names: Sequence[str], how: _How) -> dict[str, str]:
    """Run what is left of the studies of these names; the reasons of failures by name."""
    failures: dict[str, str] = {}
    for name in dict.fromkeys(names):
        study, folder = study_of(name, quick=how.context.quick), how.context.runs / name
        if is_done(study, folder):
            how.say(f"{name}: trained before")
            continue
        how.say(f"{name}: training")
        start = time.perf_counter()
        try:
            run_study(study, folder, workers=how.workers, console=how.console, command=how.command)
        except Interrupted:
            raise
        except (PkpoError, OSError) as error:
            failures[name] = str(error)
            how.say(f"{name}: failed: {error}")
        else:
            how.say(f"{name}: trained in {time.perf_counter() - start:.0f} s")
    return failures


def _inputs(topic: Topic, quick: bool) -> str:
    """What a topic is made from besides code: the settings of its studies."""
    studies = [study_of(name, quick=quick) for name in topic.studies]
    return "\n".join(study.tuning().model_dump_json() for study in studies)


def _make(topics: Sequence[Topic], how: _How) -> dict[str, str]:
    """Make what isn't there of topics whose studies have run; the reasons of failures by name."""
    source = source_digest()
    left = [topic for topic in topics if how.again or not _is_there(topic, how, source)]
    for topic in topics:
        if topic not in left:
            how.say(f"{topic.name}: made before")
    if not left:
        return {}
    pool = Pool(
        [Item(t.name, make_topic, (t, how.out.resolve(), how.context, source)) for t in left]
    )
    shown: set[str] = set()

    def show() -> None:
        for name, state in pool.states.items():
            if state in (State.DONE, State.FAILED) and name not in shown:
                shown.add(name)
                reason = f": {pool.failures[name].reason}" if name in pool.failures else ""
                how.say(f"{name}: {state}{reason} ({len(shown)}/{len(left)})")

    with Interruption(how.console, how.command) as interruption:
        with LocalProcesses(how.workers) as executor:
            pool.run(executor, interrupted=interruption.requested, watch=show)
        interruption.check()
    return {name: failure.reason for name, failure in pool.failures.items()}


def _is_there(topic: Topic, how: _How, source: str) -> bool:
    quick = how.context.quick
    folder, inputs = topic_folder(how.out, topic.name), _inputs(topic, quick)
    return is_current(folder, quick=quick, source=source, inputs=inputs)


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
        command=f"python -m reproduction {topic.name}{' --quick' if context.quick else ''}",
        seconds=time.perf_counter() - start,
        source=source,
        inputs=_inputs(topic, context.quick),
    )
    return True
