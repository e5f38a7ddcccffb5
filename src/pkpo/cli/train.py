"""`pkpo train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.flags import optional, refused_as
from pkpo.cli.trl import Engine, EngineFlags, engine_of, run_trl
from pkpo.errors import InvalidInputError
from pkpo.terminal import console, say
from pkpo.train.config import TrainConfig, read_config


@dataclass(frozen=True)
class Train(EngineFlags):
    """Train a small language model for several objectives, side by side.

    Without flags: warm-starts a 0.1-million-parameter transformer on grid programs, trains
    it for k = 1, 2, 8 and 8→1, measures pass@k exactly on held-out problems, and writes a
    report. Under 5 minutes on two cores.
    """

    out: Annotated[
        Path | None, tyro.conf.arg(help_behavior_hint="(default: runs/TASK-DATE-TIME)")
    ] = None
    """Run directory to make. Never overwritten."""

    config: Annotated[Path | None, optional] = None
    """Take all settings from this config.json (of another run, say)."""

    resume: Annotated[Path | None, optional] = None
    """Continue this run directory; all settings are its own."""

    def __call__(self, command: str) -> int:
        shown = console()
        with refused_as(UsageError):
            self.check()
            engine = self._engine()
            self.check_engine(engine)
        if engine == "trl":
            run_trl(self, command, shown, out=self.out, config=self.config, resume=self.resume)
            return 0
        from pkpo.train.job import Job, check_buildable
        from pkpo.train.run_directory import RunDirectory, new_folder

        if self.resume is not None:
            run = RunDirectory.open(self.resume)
        else:
            with refused_as(UsageError if self.config is None else InvalidInputError):
                config = self.settings() if self.config is None else _read(self.config)
                check_buildable(config)
            run = RunDirectory.create(self.out or new_folder(config.task.name), config, command)
        say(shown, f"Run directory: {run.path}")
        Job(run, workers=self.workers, console=shown).run()
        return 0

    def _engine(self) -> Engine:
        """The one that is asked for, or whose settings are to be used."""
        if self.resume is not None:
            self.refuse_with("--resume", allowed=("resume", "workers"))
            return engine_of(self.resume / "config.json")
        if self.config is not None:
            self.refuse_with("--config", allowed=("config", "workers", "out"))
            return engine_of(self.config)
        return self.engine


def _read(path: Path) -> TrainConfig:
    try:
        return read_config(path)
    except OSError as error:
        raise InvalidInputError(f"can't read --config {path}: {error.strerror}") from error
