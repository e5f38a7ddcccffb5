"""The whole job: warm starts, every arm with every seed, then the side-by-side report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from pkpo.errors import PkpoError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Executor, Failure, ThisProcess
from pkpo.execution.processes import LocalProcesses
from pkpo.files import default_cache
from pkpo.report.load import read_run
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_rich
from pkpo.report.write import report_on
from pkpo.terminal import say
from pkpo.train.config import JobSettings
from pkpo.train.display import Display, JobDisplay
from pkpo.train.engine import Launch, engine_of, resuming
from pkpo.train.parts import Part, damaged, parts_of
from pkpo.train.run_directory import RunDirectory, new_folder


class JobError(PkpoError, RuntimeError):
    """A warm start or some arms of a job failed."""


class Job:
    """Runs what is left to do in a run directory, whichever engine trains.

    An arm that can't be read fails before anything is done, and one that ends in an exception
    fails then; the others go on either way.

    Args:
        run: new or continued.
        workers: processes at a time; each uses one thread.
        cache: where warm starts are kept between jobs.
        executor: what runs the work in place of `workers` local processes.
        report: whether to write the report and show its table.
        launch: the processes that do the job together.
    """

    def __init__(
        self,
        run: RunDirectory[Any],
        *,
        workers: int,
        console: Console,
        cache: Path | None = None,
        executor: Executor | None = None,
        report: bool = True,
        launch: Launch | None = None,
    ) -> None:
        self.run_directory, self.console, self.report = run, console, report
        self.cache = default_cache() if cache is None else cache
        self.workers, self.executor = workers, executor
        self.launch = Launch() if launch is None else launch

    def run(self) -> Path:
        """Do the work and write the report.

        Returns:
            The path of report.html, or of the run directory where there is no report.

        Raises:
            Interrupted: SIGINT or SIGTERM came. What ran ended after a step, with a
                checkpoint, and the report was written.
            JobError: some warm starts or arms failed; the rest went on and the report was
                written. Or the report couldn't be, or lacks something that is damaged.
        """
        began, path, launch = time.perf_counter(), self.run_directory.path, self.launch
        again = resuming(path) if launch.alone else f"... -m {resuming(path)}"
        with (
            self.run_directory.locked() if launch.is_main else nullcontext(),
            Interruption(self.console, again, agree=launch.any, patient=not launch.alone) as asked,
        ):
            parts = launch.on_main(lambda: parts_of(self.run_directory, self.cache))
            display = JobDisplay(self.console, parts, self.run_directory.config)
            do_parts(parts, self._executor(asked), asked, display, launch)
            written, damage = path, ()
            if self.report:
                written, damage = launch.on_main(lambda: self._write_report(display))
                seconds = time.perf_counter() - began
                say(self.console, f"Report: {written}  ({seconds:.0f} s)")
            asked.check()
        failures = display.pool.failures
        starts = [name for name in failures if name in display.warm_starts]
        complaints = [f"the {name} failed: {failures[name].reason}" for name in starts]
        if arms := [name for name in failures if name not in starts]:
            complaints.append(f"{len(arms)} arms failed: {', '.join(arms)}")
        told = {failure.reason for failure in failures.values()}
        complaints += [text for text in damage if text not in told]
        if complaints:
            raise JobError(f"{'; '.join(complaints)}. --resume {path} tries again what failed")
        return written

    def _executor(self, asked: Interruption) -> Executor:
        if self.executor is not None:
            return self.executor
        if engine_of(self.run_directory.config).IN_THIS_PROCESS:
            return ThisProcess(asked.requested, recording=self.launch.alone)
        return LocalProcesses(self.workers)

    def _write_report(self, display: Display) -> tuple[Path, tuple[str, ...]]:
        """The page's path, and what is damaged."""
        run = read_run(self.run_directory.path)
        try:
            written, damage = report_on(run)
        except OSError as error:
            again = resuming(self.run_directory.path)
            raise JobError(
                f"can't write the report: {error}. `{again}` goes on where this ended"
            ) from error
        display.print(to_rich(summarise(run), display.console))
        return written, damage


def start_job(
    config: JobSettings,
    out: Path | None,
    command: str,
    console: Console,
    *,
    workers: int = 2,
    refused: AbstractContextManager[None] | None = None,
) -> None:
    """Make a run directory and do the job in it, as each process of a launch.

    Args:
        out: the run directory; by default runs/TASK-DATE-TIME.
        command: written to command.txt.
        workers: processes at a time, of engines that use such.
        refused: context in which unfit settings are refused.

    Raises:
        InvalidInputError: settings that don't fit each other, the machine or the launch.
        RunDirectoryError: `out` is taken or can't be written.
        Others: as `Job.run`.
    """
    engine = engine_of(config)
    with ExitStack() as stack:
        with refused or nullcontext():
            launch = stack.enter_context(
                engine.launched(config, console, new=True, workers=workers)
            )
        run = launch.on_main(
            lambda: RunDirectory.create(
                out or new_folder(config.task.name), config, command, packages=engine.PACKAGES
            )
        )
        _run(run, console, workers, launch)


def resume_job(run: RunDirectory[Any], console: Console, *, workers: int = 2) -> None:
    """Do what is left of a job; see `start_job`."""
    engine = engine_of(run.config)
    with engine.launched(run.config, console, new=False, workers=workers) as launch:
        _run(run, console, workers, launch)


def _run(run: RunDirectory[Any], console: Console, workers: int, launch: Launch) -> None:
    say(console, f"Run directory: {run.path}")
    Job(run, workers=workers, console=console, launch=launch).run()


def do_parts(
    parts: Sequence[Part],
    executor: Executor,
    interruption: Interruption,
    display: Display,
    launch: Launch,
) -> None:
    """Do what is left of run directories that are locked, and show how it goes."""
    for name, failure in launch.on_main(lambda: _before(parts)).items():
        display.pool.fail(name, failure)
    with executor, display:
        display.pool.run(executor, interrupted=interruption.requested, watch=display.look)


def _before(parts: Sequence[Part]) -> dict[str, Failure]:
    for run in {part.run.path: part.run for part in parts}.values():
        run.complete_config()
    return damaged(parts)
