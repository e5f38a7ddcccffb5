"""Making topics: the training they need, their results, and the page of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from pkpo.errors import InvalidInputError, PkpoError, RunDirectoryError
from pkpo.execution.interrupt import Interrupted
from pkpo.execution.locks import only_writer
from pkpo.train.job import JobError
from reproduction.page import write_page
from reproduction.results import read_result, source_digest, topic_folder, write_result
from reproduction.studies.condense import condense
from reproduction.studies.data import data_path
from reproduction.studies.run import run_study
from reproduction.studies.settings import STUDIES, Study
from reproduction.topics import TOPICS, Context, Topic, find_topics


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

    A study whose data `out` holds isn't trained.

    Args:
        names: of topics, or "all"; "ledger" makes nothing but judges all claims again.
        out: folder, made if it is missing.
        quick: smaller settings; a folder holds either quick or full results.
        workers: processes at a time, for training.
        console: where progress is shown.
        command: as it was typed; the same command goes on with what is left.
        runs: folder of the training runs; OUT/runs by default.
        again: make the topics anew even if they are there.

    Returns:
        The path of index.html.

    Raises:
        InvalidInputError: no such topic, or `out` holds the other kind of results.
        Interrupted: SIGINT or SIGTERM came while training; what was done is kept.
        JobError: some topics or trainings failed; the rest went on.
    """
    topics = find_topics([name for name in names if name != "ledger"])
    out.mkdir(parents=True, exist_ok=True)
    context = Context(quick=quick, studies=out / "studies")
    failures: dict[str, str] = {}

    def attempt(name: str, work: Callable[[], str]) -> None:
        try:
            said = work()
        except Interrupted:
            raise
        except (PkpoError, OSError) as error:
            failures[name] = str(error)
            said = f"failed: {error}"
        console.print(f"{name}: {said}", markup=False, highlight=False)

    def train(study: Study) -> str:
        console.print(f"{study.name}: training", markup=False, highlight=False)
        folder = (runs or out / "runs").resolve() / study.name
        run_study(study, folder, workers=workers, console=console, command=command)
        condense(study, folder, context.studies, command)
        return "trained"

    with only_writer(out):
        _check_kind(out, quick)
        try:
            for name in dict.fromkeys(name for topic in topics for name in topic.studies):
                if not data_path(context.studies, name).exists():
                    study = STUDIES[name].quick() if quick else STUDIES[name]
                    attempt(name, partial(train, study))
            for topic in topics:
                untrained = [name for name in topic.studies if name in failures]
                if untrained:
                    failures[topic.name] = f"needs {', '.join(untrained)}"
                else:
                    attempt(topic.name, partial(make_topic, topic, out, context, again=again))
        except Interrupted as error:
            message = f"interrupted; what was done is kept, and `{command}` goes on"
            raise Interrupted(message, error.number) from error
        finally:
            page = write_page(out)
    if failures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise JobError(f"{len(failures)} failed: {reasons}")
    return page


def condense_studies(names: Sequence[str], out: Path, runs: Path) -> list[Path]:
    """Store the data of studies that have run elsewhere; the paths of what was written.

    Args:
        names: of the studies.
        out: the folder of the reproduction.
        runs: with a folder of run directories for each study.

    Raises:
        InvalidInputError: no such study.
        RunDirectoryError: some of the training is missing or damaged.
    """
    for name in names:
        if name not in STUDIES:
            raise InvalidInputError(f"no study {name!r}; studies: {', '.join(STUDIES)}")
    return [condense(STUDIES[name], runs / name, out / "studies", "") for name in names]


def make_topic(topic: Topic, out: Path, context: Context, *, again: bool = False) -> str:
    """Make one topic and store it; what was done, in words."""
    folder = topic_folder(out, topic.name)
    source = source_digest(data_path(context.studies, name) for name in topic.studies)
    if not again and _is_there(folder, source):
        return "made before"
    start = time.perf_counter()
    result = topic.make(context)
    seconds = time.perf_counter() - start
    write_result(
        folder,
        topic.name,
        result,
        quick=context.quick,
        command=f"python -m reproduction {topic.name}{' --quick' if context.quick else ''}",
        seconds=seconds,
        source=source,
    )
    return f"made in {seconds:.1f} s"


def _is_there(folder: Path, source: str) -> bool:
    try:
        stored = read_result(folder)
    except RunDirectoryError:
        return False
    return stored is not None and stored.source == source


def _check_kind(out: Path, quick: bool) -> None:
    for topic in TOPICS:
        try:
            stored = read_result(topic_folder(out, topic.name))
        except RunDirectoryError:
            continue
        if stored is not None and stored.quick != quick:
            kind = "quick" if stored.quick else "full"
            raise InvalidInputError(f"{out} holds {kind} results; give another --out")
