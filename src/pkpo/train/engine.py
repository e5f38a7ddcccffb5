"""What an engine gives to a job.

An engine is a module with the names of `Engine`, listed in `MODULES`, and a class of settings in
`pkpo.train.config.CONFIGS`. The job gives it run directories and asks it to train one arm after
the other; what it tells an `ArmLog` of each step and measurement is what the report reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

from rich.console import Console

from pkpo.errors import needing
from pkpo.train.config import ArmSettings, JobSettings, engine_name
from pkpo.train.run_directory import RunDirectory

MODULES = {"embedded": "pkpo.train.embedded.engine", "trl": "pkpo.train.trl.engine"}

Stop = Callable[[], bool]
"""Whether to end early, after a step and a checkpoint; asked after each step."""

T = TypeVar("T")


class Launch:
    """The processes that do a job together, of which the main one writes: here just one."""

    is_main = True
    alone = True

    def on_main(self, work: Callable[[], T]) -> T:
        """What `work` returns in the main process, in all of them; so too for a PkpoError."""
        return work()

    def any(self, flag: bool) -> bool:
        """Whether `flag` holds in some process."""
        return flag


class Engine(Protocol):
    """A module that trains."""

    PACKAGES: Sequence[ModuleType]
    """Whose versions are kept in versions.json, besides the usual ones."""

    IN_THIS_PROCESS: bool
    """Whether arms are trained in the job's own process, or in several, one thread each."""

    @property
    def make_warm_start(self) -> Callable[..., bool] | None:
        """(run, seed, cache, *, stop) -> done: makes, measures and stores what all arms of a
        seed start from. None where that needs no making."""
        ...

    def launched(
        self, config: JobSettings, console: Console, *, new: bool, workers: int
    ) -> AbstractContextManager[Launch]:
        """Join the processes that this one was launched with, if any, and leave them at the end.

        Args:
            config: of the job, refused if it can't be done.
            console: made quiet in all processes but the main one.
            new: the run directory has yet to be made, so that nothing must be refused later
                that can be refused now.
            workers: processes at a time, of engines that use such.

        Raises:
            InvalidInputError: settings that don't fit each other, the machine or the launch.
        """
        ...

    def train_arm(self, run: RunDirectory[Any], arm: ArmSettings, seed: int, *, stop: Stop) -> bool:
        """Train one arm with one seed in the run directory, or continue it; then measure it on
        the test split and store the model.

        Returns:
            False if `stop()` ended it early, after a step and a checkpoint.
        """
        ...


def engine_of(config: JobSettings) -> Engine:
    """
    Raises:
        MissingExtraError: the engine's packages aren't installed.
    """
    name = engine_name(config)
    with needing(f"--engine {name}", "train" if name == "embedded" else name):
        return cast(Engine, import_module(MODULES[name]))


def resuming(path: Path) -> str:
    """The command that goes on."""
    return f"pkpo train --resume {path}"
