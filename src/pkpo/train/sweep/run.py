"""Running a sweep: the work of all cells in one pool."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Executor, Pool
from pkpo.report.sweep import report_on_sweep, to_rich
from pkpo.report.sweep_load import load_sweep
from pkpo.train.config import TrainConfig
from pkpo.train.job import JobError, check_buildable
from pkpo.train.sweep.directory import SweepDirectory
from pkpo.train.sweep.grid import SweepSettings
from pkpo.train.sweep.live import CellWork, SweepProgress
from pkpo.train.warm_start import default_cache
from pkpo.train.work import work_of


class Sweep:
    """Runs what is left to do in a sweep.

    Cells that agree in all that a warm start depends on share it: the first makes it, the
    others take it from the cache.

    Args:
        sweep: new or continued.
        executor: what runs the work.
        console: where progress is shown.
        cache: where warm starts are kept between jobs.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        *,
        executor: Executor,
        console: Console,
        cache: Path | None = None,
    ) -> None:
        self.sweep, self.executor, self.console = sweep, executor, console
        self.cache = default_cache() if cache is None else cache

    def run(self) -> Path:
        """Do the work and write the tables.

        Returns:
            The path of summary.md.

        Raises:
            Interrupted: SIGINT or SIGTERM came. What ran ended after a step, with a
                checkpoint, and the tables were written.
            JobError: some items failed; the rest went on and the tables were written.
        """
        path, console = self.sweep.path, self.console
        work = self._work()
        pool = Pool(
            [item for cell in work for item in cell.work.items],
            [name for cell in work for name in cell.work.done],
        )
        resume = f"pkpo sweep --resume {path}"
        with self.sweep.locked(), Interruption(console, resume) as interruption:
            for cell, (_, run) in zip(work, self.sweep.runs, strict=True):
                for name, failure in cell.work.damaged(run.path).items():
                    pool.fail(name, failure)
            with self.executor as executor, SweepProgress(console, work, pool) as progress:
                pool.run(executor, interrupted=interruption.requested, watch=progress.look)
            results = load_sweep(path)
            summary = report_on_sweep(path, results)
            progress.print(to_rich(results))
            interruption.check()
        if pool.failures:
            cells = [
                c.cell.name for c in work if any(i.name in pool.failures for i in c.work.items)
            ]
            raise JobError(
                f"{len(pool.failures)} items failed, in {len(cells)} of {len(work)} cells: "
                f"{'; '.join(cells)}. {summary} says why, and --resume {path} tries again what "
                "failed"
            )
        if results.damage:
            raise JobError(f"{'; '.join(results.damage)}. The rest is in {summary}")
        return summary

    def _work(self) -> list[CellWork]:
        makers: dict[str, str] = {}
        work = []
        for cell, run in self.sweep.runs:
            keys = {seed: _warm_start_identity(run.config, seed) for seed in run.config.seeds}

            def after(seed: int, keys: dict[int, str] = keys) -> tuple[str, ...]:
                return (makers[keys[seed]],) if keys[seed] in makers else ()

            found = work_of(run, self.cache, prefix=f"{cell.name}: ", after=after)
            for warm in found.warm_starts:
                if not warm.done:
                    makers.setdefault(keys[warm.seed], warm.item.name)
            work.append(CellWork(cell, found))
        return work


def check_cells(settings: SweepSettings) -> None:
    """Find out before a sweep is made whether each cell's task, device and policy exist.

    Raises:
        InvalidInputError: one of them doesn't; names the cell.
    """
    checked = set()
    for cell in settings.cells():
        key = _identity(cell.config)
        if key in checked:
            continue
        checked.add(key)
        try:
            check_buildable(cell.config)
        except InvalidInputError as error:
            raise InvalidInputError(f"cell {cell.name}: {error}") from error


def _identity(config: TrainConfig) -> str:
    parts = config.model_dump(mode="json", include={"task", "policy", "warm_start", "device"})
    return json.dumps(parts, sort_keys=True)


def _warm_start_identity(config: TrainConfig, seed: int) -> str:
    """Equal for jobs that start from the same policy."""
    return f"{_identity(config)} {seed}"
