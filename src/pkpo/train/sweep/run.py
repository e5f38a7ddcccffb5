"""Running a sweep: the work of all cells in one pool."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Executor
from pkpo.files import default_cache
from pkpo.report.sweep import report_on_sweep, to_rich
from pkpo.report.sweep_load import load_sweep
from pkpo.train.config import TrainConfig
from pkpo.train.display import SweepDisplay
from pkpo.train.embedded.devices import check_buildable
from pkpo.train.engine import Launch
from pkpo.train.job import JobError, do_parts
from pkpo.train.parts import Part, parts_of
from pkpo.train.sweep.directory import SweepDirectory
from pkpo.train.sweep.grid import Cell, SweepSettings


class Sweep:
    """Runs what is left to do in a sweep.

    Cells that agree in all that a warm start depends on share it: the first makes it, the
    others take it from the cache.

    Args:
        sweep: new or continued.
        executor: what runs the work.
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
        cells = self._parts()
        display = SweepDisplay(console, [(cell.labels, parts) for cell, parts in cells])
        failures = display.pool.failures
        with (
            self.sweep.locked(),
            Interruption(console, f"pkpo sweep --resume {path}") as interruption,
        ):
            parts = [part for _, of_cell in cells for part in of_cell]
            do_parts(parts, self.executor, interruption, display, Launch())
            results = load_sweep(path)
            summary = report_on_sweep(path, results)
            display.print(to_rich(results))
            interruption.check()
        if failures:
            failed = [cell.name for cell, parts in cells if any(p.name in failures for p in parts)]
            raise JobError(
                f"{len(failures)} items failed, in {len(failed)} of {len(cells)} cells: "
                f"{'; '.join(failed)}. {summary} says why, and --resume {path} tries again what "
                "failed"
            )
        if results.damage:
            raise JobError(f"{'; '.join(results.damage)}. The rest is in {summary}")
        return summary

    def _parts(self) -> list[tuple[Cell, list[Part]]]:
        """Of each cell; a warm start waits for the first that makes the same one."""
        makers: dict[str, str] = {}
        found = []
        for cell, run in self.sweep.runs:
            keys = {seed: f"{_identity(run.config)} {seed}" for seed in run.config.seeds}
            after = {seed: (makers[key],) for seed, key in keys.items() if key in makers}
            parts = parts_of(
                run, self.cache, prefix=f"{cell.name}: ", after=lambda s, a=after: a.get(s, ())
            )
            for part in parts:
                if part.arm is None and not part.done:
                    makers.setdefault(keys[part.seed], part.name)
            found.append((cell, parts))
        return found


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
    """Equal, for one seed, for jobs that start from the same policy."""
    parts = config.model_dump(
        mode="json", include={"task", "model", "policy", "warm_start", "device"}
    )
    return json.dumps(parts, sort_keys=True)
