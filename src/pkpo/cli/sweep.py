"""`pkpo sweep`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.flags import JobFlags, optional, reading_config, refused_as
from pkpo.errors import InvalidInputError
from pkpo.terminal import console, say

if TYPE_CHECKING:
    from pkpo.execution.pool import Executor
    from pkpo.train.sweep import SweepSettings


@dataclass(frozen=True)
class Sweep(JobFlags):
    """Train every combination of some settings, each with all objectives and seeds.

    All other flags are those of `pkpo train`. Each combination is a run directory under
    OUT/cells. Settings are ranked on validation problems; results.csv holds every number.
    """

    vary: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE,VALUE,... ..."), optional
    ] = ()
    """Settings and their values. Names are those of flags, such
    as num_generations, or paths in config.json, such as evaluation.num_samples, with
    arms.learning_rate for every arm and task.options.NAME for options of the task."""

    ray: Annotated[str | None, optional] = None
    """Run on Ray: "local" starts it here with --workers CPUs, "auto" or an address joins a
    cluster that shares this file system and uses all of it."""

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/sweep-TASK-DATE-TIME)")
    ] = None
    """Folder to make. Never overwritten."""

    config: Annotated[Path | None, optional] = None
    """Take everything from this JSON file: a job's settings under "base", and under "vary"
    values by name. A sweep.json of another sweep is one."""

    resume: Annotated[Path | None, optional] = None
    """Continue this sweep, and try again what failed."""

    def __call__(self, command: str) -> int:
        from pkpo.train.run_directory import new_folder
        from pkpo.train.sweep import Sweep as SweepRun
        from pkpo.train.sweep import SweepDirectory, check_cells

        shown = console()
        with refused_as(UsageError):
            self.check()
            if self.resume is not None:
                self.refuse_with("--resume", allowed=("resume", "workers", "ray"))
            elif self.config is not None:
                self.refuse_with("--config", allowed=("config", "workers", "ray", "out"))
        if self.resume is not None:
            sweep = SweepDirectory.open(self.resume)
            executor = self._executor(sweep.settings)
        else:
            with refused_as(UsageError if self.config is None else InvalidInputError):
                settings = self._grid()
                check_cells(settings)
            executor = self._executor(settings)
            out = self.out or new_folder(f"sweep-{settings.base.task.name}")
            sweep = SweepDirectory.create(out, settings, command)
        base, cells = sweep.settings.base, len(sweep.runs)
        arms, seeds = len(base.arms), len(base.seeds)
        say(shown, f"Sweep: {sweep.path}")
        say(shown, f"{cells} cells × {arms} arms × {seeds} seeds = {cells * arms * seeds} runs")
        start = time.perf_counter()
        summary = SweepRun(sweep, executor=executor, console=shown).run()
        say(shown, f"Summary: {summary}  ({time.perf_counter() - start:.0f} s)")
        return 0

    def _grid(self) -> SweepSettings:
        from pkpo.train.sweep import SweepSettings, parse_vary

        if self.config is None:
            return SweepSettings(base=self.settings(), vary=parse_vary(self.vary))
        with reading_config(self.config):
            text = self.config.read_text(encoding="utf-8")
        return SweepSettings.model_validate_json(text)

    def _executor(self, settings: SweepSettings) -> Executor:
        if self.ray is None:
            from pkpo.execution.processes import LocalProcesses

            return LocalProcesses(self.workers)
        from pkpo.execution.ray_tasks import RayTasks

        devices = {cell.config.device.partition(":")[0] for cell in settings.cells()}
        return RayTasks(
            self.ray,
            slots=self.workers if self.ray == "local" else None,
            num_gpus=0.0 if devices == {"cpu"} else 1.0,
        )
