"""The whole job: warm starts, every arm with every seed, then the side-by-side report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pkpo.engines.embedded.model import PolicyConfig
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Executor, Pool
from pkpo.execution.processes import LocalProcesses
from pkpo.report.load import read_run
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_rich
from pkpo.report.write import report_on
from pkpo.tasks.registry import build_task
from pkpo.terminal import say
from pkpo.train.config import TrainConfig
from pkpo.train.devices import check_problems, check_room
from pkpo.train.progress import Progress
from pkpo.train.run_directory import RunDirectory
from pkpo.train.warm_start import default_cache
from pkpo.train.work import RunWork, work_of


class Job:
    """Runs what is left to do in a run directory.

    An arm that can't be read fails before anything is done, and one that ends in an exception
    fails then; the others go on either way.

    Args:
        run: new or continued.
        workers: processes at a time; each uses one thread.
        console: where progress is shown.
        cache: where warm starts are kept between jobs.
        executor: what runs the work in place of `workers` local processes.
        report: whether to write the report and show its table.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        workers: int,
        console: Console,
        cache: Path | None = None,
        executor: Executor | None = None,
        report: bool = True,
    ) -> None:
        self.run_directory, self.console, self.report = run, console, report
        self.cache = default_cache() if cache is None else cache
        self.executor = LocalProcesses(workers) if executor is None else executor

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
        path = self.run_directory.path
        with self.run_directory.locked(), Interruption(self.console, resuming(path)) as asked:
            return run_work(
                self.run_directory,
                work_of(self.run_directory, self.cache),
                self.executor,
                asked,
                self.console,
                report=self.report,
            )


def run_work(
    run: RunDirectory,
    work: RunWork,
    executor: Executor,
    interruption: Interruption,
    console: Console,
    *,
    report: bool = True,
    once: Callable[[Callable[[], Any]], Any] = lambda read_or_write: read_or_write(),
    watching: Callable[[Progress], object] = lambda progress: None,
) -> Path:
    """Do the work of a run directory that is locked; see `Job.run`.

    Args:
        once: calls its argument in one of several processes, and returns what that returns.
        watching: told of the display before the work begins.
    """
    began = time.perf_counter()
    pool = Pool(work.items, work.done)
    for name, failure in once(lambda: work.damaged(run.path)).items():
        pool.fail(name, failure)
    training = run.config.training
    progress = Progress(
        console, work, pool, steps=training.steps, num_generations=training.num_generations
    )
    watching(progress)
    with executor, progress:
        pool.run(executor, interrupted=interruption.requested, watch=progress.look)
    written, damage = run.path, ()
    if report:
        written, damage = once(lambda: _write_report(run.path, progress))
        say(console, f"Report: {written}  ({time.perf_counter() - began:.0f} s)")
    interruption.check()
    complaints = _complaints(work, pool, damage)
    if complaints:
        raise JobError(f"{'; '.join(complaints)}. --resume {run.path} tries again what failed")
    return written


def resuming(path: Path) -> str:
    """The command that goes on."""
    return f"pkpo train --resume {path}"


def _write_report(path: Path, progress: Progress) -> tuple[Path, tuple[str, ...]]:
    """The page's path, and what is damaged."""
    run = read_run(path)
    try:
        written, damage = report_on(run)
    except OSError as error:
        raise JobError(
            f"can't write the report: {error}. `{resuming(path)}` goes on where this ended"
        ) from error
    progress.print(to_rich(summarise(run), progress.console))
    return written, damage


def _complaints(work: RunWork, pool: Pool, damage: Sequence[str]) -> list[str]:
    """What failed, of which the display has told the reasons, and what else is damaged."""
    names = {part.item.name for part in work.arms}
    starts = [name for name in pool.failures if name not in names]
    arms = [name for name in pool.failures if name in names]
    parts = [f"the {name} failed: {pool.failures[name].reason}" for name in starts]
    if arms:
        parts.append(f"{len(arms)} arms failed: {', '.join(arms)}")
    told = {failure.reason for failure in pool.failures.values()}
    return parts + [text for text in damage if text not in told]


def check_buildable(config: TrainConfig) -> None:
    """Find out before a run directory is made whether the task, device and policy exist, with
    enough problems and memory.

    Raises:
        InvalidInputError: not so.
    """
    task = build_task(config.task.name, config.task.options)
    PolicyConfig(vocab_size=len(task.vocabulary), **config.policy.model_dump())
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"device {config.device!r} can't be used: {error}") from error
    check_problems(config.training.prompts_per_step, task)
    check_room(config, task)


class JobError(PkpoError, RuntimeError):
    """A warm start or some arms of a job failed."""
