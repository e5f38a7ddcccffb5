"""The whole job: warm starts, every arm with every seed, then the side-by-side report."""

from __future__ import annotations

import json
import multiprocessing
import os
import traceback
from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path

import torch
from rich.console import Console

from pkpo.engines.embedded.export import load_pretrained
from pkpo.engines.embedded.model import PolicyConfig
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.report import load_run, write_report
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_rich
from pkpo.tasks.registry import build_task
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.evaluation import Evaluator
from pkpo.train.loop import ArmTrainer
from pkpo.train.progress import Progress
from pkpo.train.run_directory import RunDirectory, write_json
from pkpo.train.warm_start import default_cache, save_policy, warm_start

_REFRESH_SECONDS = 0.5
_PROGRESS = "progress.json"
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _prepare_process() -> None:
    """One thread a process: contended threads make small steps several times slower."""
    torch.set_num_threads(1)


def _warm(path: Path, seed: int, cache: Path) -> None:
    """In a worker: make, measure and store the warm start of a seed."""
    run = RunDirectory.open(path)
    config, directory = run.config, run.warm_start(seed)
    task = build_task(config.task.name, config.task.options)
    progress = directory / _PROGRESS

    def report(step: int, loss: float) -> None:
        write_json(progress, {"step": step, "loss": loss})

    policy = warm_start(task, config, seed, cache=cache, progress=report)
    progress.unlink(missing_ok=True)
    save_policy(policy, directory / "model", task)
    evaluator = Evaluator(task, "test", config.evaluation, policy.device)
    write_json(directory / "evaluation.json", evaluator.full(policy, seed=seed, step=0))


def _train(path: Path, arm: ArmSettings, seed: int) -> None:
    """In a worker: train one arm with one seed, or continue it."""
    run = RunDirectory.open(path)
    config, directory = run.config, run.arm(arm, seed)
    try:
        task = build_task(config.task.name, config.task.options)
        policy = load_pretrained(run.warm_start(seed) / "model", device=config.device)
        ArmTrainer(task, config, arm, seed, policy, directory).run()
    except Exception:
        directory.path.mkdir(parents=True, exist_ok=True)
        directory.failure.write_text(traceback.format_exc(), encoding="utf-8")
        raise
    directory.failure.unlink(missing_ok=True)


class Job:
    """Runs what is left to do in a run directory, in `workers` processes.

    Args:
        run: new or continued.
        workers: processes at a time; each uses one thread.
        console: where progress is shown.
        cache: where warm starts are kept between jobs.
    """

    def __init__(
        self, run: RunDirectory, *, workers: int, console: Console, cache: Path | None = None
    ) -> None:
        self.run_directory, self.workers, self.console = run, workers, console
        self.cache = default_cache() if cache is None else cache
        self.failures: list[str] = []

    def run(self) -> Path:
        """Do the work and write the report.

        Returns:
            The path of report.html.

        Raises:
            JobError: a warm start failed; or some arms did, in which case the rest went on
                and the report was written.
        """
        for name in _THREAD_SETTINGS:
            os.environ.setdefault(name, "1")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_prepare_process
        ) as pool:
            try:
                self._warm_starts(pool)
                self._arms(pool)
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
        report = write_report(self.run_directory.path)
        self.console.print(to_rich(summarise(load_run(self.run_directory.path))))
        if self.failures:
            raise JobError(
                f"{len(self.failures)} arms failed: {', '.join(self.failures)}; each one's "
                f"failure.txt says why, and --resume {self.run_directory.path} tries them again"
            )
        return report

    def _warm_starts(self, pool: ProcessPoolExecutor) -> None:
        run = self.run_directory
        missing = [
            seed
            for seed in run.config.seeds
            if not (run.warm_start(seed) / "evaluation.json").exists()
        ]
        if not missing:
            return
        futures = {seed: pool.submit(_warm, run.path, seed, self.cache) for seed in missing}
        steps = run.config.warm_start.steps
        with self.console.status("Warm start: learning from demonstrations") as status:
            while not all(future.done() for future in futures.values()):
                wait(futures.values(), timeout=_REFRESH_SECONDS)
                shown = [
                    f"seed {seed}: step {done['step']}/{steps}, loss {done['loss']:.2f} nats"
                    for seed in missing
                    if (done := _read_progress(run.warm_start(seed) / _PROGRESS))
                ]
                status.update("Warm start: learning from demonstrations  " + "  ".join(shown))
        for seed, future in futures.items():
            if error := future.exception():
                raise JobError(f"the warm start of seed {seed} failed: {error!r}") from error
        self.console.print(f"Warm start ready for seeds {', '.join(map(str, missing))}.")

    def _arms(self, pool: ProcessPoolExecutor) -> None:
        run, config = self.run_directory, self.run_directory.config
        futures: dict[str, Future[None]] = {}
        files = {}
        for seed in config.seeds:
            for arm in config.arms:
                directory = run.arm(arm, seed)
                name = arm.name if len(config.seeds) == 1 else f"{arm.name}, seed {seed}"
                files[name] = directory.metrics
                if not directory.finished:
                    futures[name] = pool.submit(_train, run.path, arm, seed)
        progress = Progress(
            self.console, config.training.steps, files, config.training.num_generations
        )
        with progress:
            while True:
                for name in files:
                    progress.set_status(name, _status(futures.get(name)))
                progress.refresh()
                pending = [future for future in futures.values() if not future.done()]
                if not pending:
                    break
                wait(pending, timeout=_REFRESH_SECONDS)
        for name, future in futures.items():
            if error := future.exception():
                self.failures.append(name)
                self.console.print(f"{name} failed: {error}", style="red", markup=False)


def check_buildable(config: TrainConfig) -> None:
    """Find out before a run directory is made whether the task, device and policy exist.

    Raises:
        InvalidInputError: one of them doesn't.
    """
    task = build_task(config.task.name, config.task.options)
    PolicyConfig(vocab_size=len(task.vocabulary), **config.policy.model_dump())
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"device {config.device!r} can't be used: {error}") from error


class JobError(PkpoError, RuntimeError):
    """A warm start or some arms of a job failed."""


def _status(future: Future[None] | None) -> str:
    if future is None or (future.done() and future.exception() is None):
        return "done"
    if future.done():
        return "failed"
    return "running" if future.running() else "waiting"


def _read_progress(path: Path) -> dict[str, float] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
