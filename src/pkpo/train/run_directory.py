"""The files of a training job: written whole or not at all, never overwritten.

RUN/config.json, versions.json, command.txt
RUN/warm_start/seed_S/{evaluation.json, model/}
RUN/arms/ARM/seed_S/{arm.json, metrics.jsonl, evaluations.jsonl, choices.jsonl, evaluation.json,
                     completions.parquet, state.pt, state.previous.pt, model/}

A pretrained model isn't copied: in place of model/ warm_start/seed_S/ has a model.json, which names
the checkpoint and its digest. The samples that it and its arms were measured by are in
samples.parquet, an arm's adapters in adapter/, and guesser/seed_S/evaluation.json is of answers
drawn from those to the training problems. Where an arm of such a job has ended, its state.pt is
removed.

On TRL transformers' checkpoints stand in checkpoints/ in place of state.pt, and warm_start/ has
the measurement of the untrained model alone.

docs/runs.md says which of them survive what.
"""

from __future__ import annotations

import io
import itertools
import platform
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl
import torch

import pkpo
from pkpo.errors import RunDirectoryError
from pkpo.execution.locks import locked, only_writer
from pkpo.files import write_atomically
from pkpo.report.completions import all_completions
from pkpo.report.jsonio import read_json
from pkpo.report.run_files import ArmFiles, RunFiles
from pkpo.train.checkpoints import UNDECIDING, Checkpoints
from pkpo.train.config import ArmSettings, JobSettings, read_config
from pkpo.train.json_lines import write_json, write_text

_NOT_IN_RESULTS = {"evaluation.select_k", "training.per_device_batch_size"}
WARM_START_PROGRESS = "progress.json"
"""In a warm start's folder while it is made: steps done and the loss in nats."""

_CLAIM = ".claim"
_SECONDS_FOR_WORKERS_TO_END = 10.0


C = TypeVar("C", bound=JobSettings)


class ArmDirectory(ArmFiles):
    """The folder of one arm and seed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.checkpoints = Checkpoints(path)

    @property
    def finished(self) -> bool:
        return self.evaluation.exists()

    def describe(self, config: JobSettings, arm: ArmSettings, seed: int) -> None:
        """Write arm.json: the arm's own settings, and under "settings", by their path in
        config.json, the others that decide its result."""
        content = arm.model_dump(mode="json") | {"seed": seed, "settings": _deciding(config)}
        write_json(self.description, content)

    def locked(self) -> AbstractContextManager[None]:
        """Be the only process that writes here; waits for workers of a killed job to end."""
        return only_writer(self.path, wait=_SECONDS_FOR_WORKERS_TO_END)

    def add_completions(self, rows: pl.DataFrame, *, step: int) -> None:
        """Put the completions of `step` after those of earlier steps, and drop any later ones.

        Raises:
            RunDirectoryError: the file is damaged.
            OSError: it can't be written.
        """
        if self.completions.exists():
            earlier = all_completions(self.completions).filter(pl.col("step") < step)
            rows = pl.concat([earlier, rows])
        content = io.BytesIO()
        rows.write_parquet(content)
        write_atomically(self.completions, content.getvalue())


class RunDirectory(RunFiles, Generic[C]):
    """A job's folder. Use `create` for a new one and `open` to continue one."""

    def __init__(self, path: Path, config: C) -> None:
        super().__init__(path)
        self.config = config

    @staticmethod
    def create(
        path: Path, config: C, command: str, *, packages: Sequence[ModuleType] = ()
    ) -> RunDirectory[C]:
        """
        Args:
            path: of several that make the same folder at the same time, one succeeds.
            packages: modules whose versions are kept beside the usual ones.

        Raises:
            RunDirectoryError: `path` exists and isn't an empty folder, or can't be written.
        """
        versions = _versions() | {package.__name__: package.__version__ for package in packages}
        run = RunDirectory(path, config)
        with claimed(path, "run", {run.versions_file.name, run.command_file.name}):
            write_json(run.versions_file, versions)
            write_text(run.command_file, command + "\n")
            write_json(run.config_file, config.model_dump(mode="json"))
        return run

    @staticmethod
    def open(path: Path) -> RunDirectory[Any]:
        """
        Raises:
            RunDirectoryError: `path` holds no readable config.json.
        """
        with settings_of(RunFiles(path).config_file, "run directory") as file:
            return RunDirectory(path, read_config(file))

    def complete_config(self) -> None:
        """Give config.json the settings that were left out, or that came after it was written."""
        config = self.config.model_dump(mode="json")
        if read_json(self.config_file) != config:
            write_json(self.config_file, config)

    def locked(self) -> AbstractContextManager[None]:
        """Be the only job in this run directory; see `only_writer`."""
        return only_writer(self.path)

    def warm_start_locked(self, seed: int) -> AbstractContextManager[None]:
        """As `ArmDirectory.locked`, of a warm start's folder."""
        return only_writer(self.warm_start(seed), wait=_SECONDS_FOR_WORKERS_TO_END)

    def has_warm_start(self, seed: int) -> bool:
        files = ArmFiles(self.warm_start(seed))
        return files.evaluation.exists() and (files.model.exists() or files.model_source.exists())

    def guesser(self, seed: int) -> Path:
        """The evaluation of `pkpo.train.guesser.Guesser`."""
        return ArmFiles(self.path / "guesser" / f"seed_{seed}").evaluation

    def name_of(self, arm: ArmSettings, seed: int) -> str:
        """What an arm with a seed is called; without the seed where there is one alone."""
        return f"{arm.name}, seed {seed}" if len(self.config.seeds) > 1 else arm.name

    def arm(self, arm: ArmSettings, seed: int) -> ArmDirectory:
        return ArmDirectory(self.arms / arm.slug / f"seed_{seed}")


def _deciding(config: JobSettings) -> dict[str, Any]:
    given = config.model_dump(mode="json", exclude=UNDECIDING - {"evaluation"})
    found = {}
    for section, value in given.items():
        parts = value.items() if isinstance(value, dict) else ()
        found |= {f"{section}.{name}": part for name, part in parts} or {section: value}
    return {place: value for place, value in found.items() if place not in _NOT_IN_RESULTS}


def new_folder(name: str) -> Path:
    """Makes an empty folder runs/NAME-DATE-TIME that nobody else was given.

    Raises:
        RunDirectoryError: it can't be made.
    """
    base = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with _explained(base):
        base.parent.mkdir(exist_ok=True)
        for suffix in itertools.chain([""], map("-{}".format, itertools.count(2))):
            path = base.with_name(f"{base.name}{suffix}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise AssertionError


@contextmanager
def settings_of(file: Path, what: str) -> Iterator[Path]:
    """The file that makes a folder a `what`, to be read inside.

    Raises:
        RunDirectoryError: it is missing or can't be read.
    """
    try:
        yield file
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is no {what}: it has no {file.name}") from None
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"can't read {file}: {error}") from error


@contextmanager
def claimed(path: Path, what: str, leftovers: Collection[str]) -> Iterator[None]:
    """Fill a folder that nobody else fills at the same time.

    Args:
        path: made if missing.
        what: the folder is to hold, in words.
        leftovers: files that a making that was cut short may have left there.

    Raises:
        RunDirectoryError: `path` exists and holds something, or can't be written.
    """
    known = {_CLAIM, *leftovers}

    def check_free() -> None:
        if path.exists() and not (
            path.is_dir()
            and all(found.name in known or found.match(".*.part") for found in path.iterdir())
        ):
            raise RunDirectoryError(
                f"{path} exists already and is never overwritten; choose another --out, or "
                f"continue that {what} with --resume {path}"
            )

    check_free()
    with locked(path / _CLAIM, wait=_SECONDS_FOR_WORKERS_TO_END), _explained(path):
        check_free()
        yield


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"can't write in {path}: {error}") from error


def _versions() -> dict[str, str]:
    return {
        "pkpo": pkpo.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }
