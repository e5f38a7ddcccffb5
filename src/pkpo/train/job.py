"""The whole job: warm starts, every arm with every seed, then the side-by-side report."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from rich.console import Console

from pkpo.engines.embedded.model import PolicyConfig
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Executor, Pool, State
from pkpo.execution.processes import LocalProcesses
from pkpo.report import load_run, write_report
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_rich
from pkpo.tasks.registry import build_task
from pkpo.train.config import TrainConfig
from pkpo.train.devices import check_problems, check_room
from pkpo.train.progress import Progress
from pkpo.train.run_directory import RunDirectory
from pkpo.train.warm_start import default_cache
from pkpo.train.work import PROGRESS, RunWork, WarmStartWork, work_of


class Job:
    """Runs what is left to do in a run directory.

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
                written. Or the report couldn't be.
        """
        path, console = self.run_directory.path, self.console
        work = work_of(self.run_directory, self.cache)
        pool = Pool(work.items)
        resume = f"pkpo train --resume {path}"
        with self.run_directory.locked(), Interruption(console, resume) as interruption:
            with self.executor as executor, self._progress(work) as progress:
                pool.run(
                    executor,
                    interrupted=interruption.requested,
                    watch=_Watch(work, pool, progress).look,
                )
            for name, failure in pool.failures.items():
                console.print(f"{name} failed: {failure.reason}", style="red", markup=False)
            written = self._write_report(resume) if self.report else path
            interruption.check()
        if pool.failures:
            raise JobError(_complaint(work, pool, path))
        return written

    def _write_report(self, resume: str) -> Path:
        path = self.run_directory.path
        try:
            report = write_report(path)
        except OSError as error:
            raise JobError(
                f"can't write the report: {error}. `{resume}` goes on where this ended"
            ) from error
        self.console.print(to_rich(summarise(load_run(path))))
        return report

    def _progress(self, work: RunWork) -> Progress:
        training = self.run_directory.config.training
        files = {part.name: part.directory.metrics for part in work.arms}
        return Progress(self.console, training.steps, files, training.num_generations)


class _Watch:
    """Shows where the items of a job stand."""

    def __init__(self, work: RunWork, pool: Pool, progress: Progress) -> None:
        self._work, self._pool, self._progress = work, pool, progress
        self._ready: set[int] = set()

    def look(self) -> None:
        shown = [text for part in self._work.warm_starts if (text := self._warm_start(part))]
        self._progress.set_note("Warm start: " + "; ".join(shown) if shown else "")
        for part in self._work.arms:
            state = State.DONE if part.item is None else self._pool.states[part.item.name]
            self._progress.set_status(part.name, state)
        self._progress.refresh()

    def _warm_start(self, part: WarmStartWork) -> str:
        if part.item is None:
            return ""
        state = self._pool.states[part.item.name]
        if state is State.DONE and part.seed not in self._ready:
            self._ready.add(part.seed)
            self._progress.console.print(f"Warm start ready for seed {part.seed}.")
        if state is not State.RUNNING:
            return ""
        done = _read(part.folder / PROGRESS)
        at = f"step {done['step']}, loss {done['loss']:.2f} nats" if done else "starting"
        return f"seed {part.seed}, {at}"


def _complaint(work: RunWork, pool: Pool, path: Path) -> str:
    failed = {name: pool.failures[name] for name in pool.failures}
    starts = [p.item.name for p in work.warm_starts if p.item is not None and p.item.name in failed]
    arms = [p.item.name for p in work.arms if p.item is not None and p.item.name in failed]
    parts = [f"the {name} failed: {failed[name].reason}" for name in starts]
    if arms:
        parts.append(f"{len(arms)} arms failed: {', '.join(arms)}")
    return (
        f"{'; '.join(parts)}. A failure.txt says why, and --resume {path} tries again what failed"
    )


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


def _read(path: Path) -> dict[str, float] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
