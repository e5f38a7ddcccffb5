"""The files of a training job: written whole or not at all, never overwritten.

RUN/config.json, versions.json, command.txt
RUN/warm_start/seed_S/{evaluation.json, model/}
RUN/arms/ARM/seed_S/{arm.json, metrics.jsonl, evaluations.jsonl, evaluation.json,
                     completions.parquet, state.pt, state.previous.pt, model/}

docs/runs.md says which of them survive what.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch

import pkpo
from pkpo.errors import RunDirectoryError
from pkpo.execution.locks import only_writer
from pkpo.files import naming, write_atomically, write_fully
from pkpo.train.checkpoints import Checkpoints
from pkpo.train.config import ArmSettings, TrainConfig, read_config

_WRITTEN_BEFORE_CONFIG = {"versions.json", "command.txt"}
_SECONDS_FOR_WORKERS_TO_END = 10.0
# Polars panics over some damaged files, with an exception that isn't an Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    write_atomically(
        path, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable=durable
    )


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable=durable)


class JsonLines:
    """An append-only JSONL file that can be cut back to an earlier step.

    Args:
        path: made if missing. Lines from `before_step` on are dropped, as is a last line
            that a killed run left incomplete.
        every_step: there must be one line for each step before `before_step`, in order.

    Raises:
        RunDirectoryError: a line before the last isn't JSON with a step, or is missing.
        OSError: the file can't be written.
    """

    def __init__(self, path: Path, *, before_step: int, every_step: bool = False) -> None:
        lines = [(line, step) for line, step in _complete_lines(path) if step < before_step]
        if every_step:
            _check_steps(path, [step for _, step in lines], before_step)
        content = b"".join(line for line, _ in lines)
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
        self.path = path
        self._file = path.open("ab", buffering=0)

    def append(self, row: dict[str, Any]) -> None:
        """
        Raises:
            OSError: the disk is full, ...; names the file.
            RunDirectoryError: the file was removed.
        """
        line = json.dumps(row, allow_nan=False) + "\n"
        with naming(self.path):
            write_fully(self._file, line.encode())
            links = os.fstat(self._file.fileno()).st_nlink
        if not links:
            raise RunDirectoryError(f"{self.path} was removed while it was being written")

    def sync(self) -> None:
        """Return once everything appended so far is on the disk."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _complete_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each line that ends, with the step it tells of."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            yield line, int(json.loads(line)["step"])
        except (ValueError, TypeError, KeyError) as error:
            raise RunDirectoryError(
                f"{path}, line {number}: no JSON object with a step: {error!r}"
            ) from error


def _check_steps(path: Path, steps: list[int], before_step: int) -> None:
    for number in range(max(before_step, len(steps))):
        found = steps[number] if number < len(steps) else "nothing"
        if found != number:
            raise RunDirectoryError(
                f"{path}, line {number + 1}: there should be step {number}, since the checkpoint "
                f"is of step {before_step}; found {found}"
            )


class ArmDirectory:
    """The folder of one arm and seed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.evaluation = path / "evaluation.json"
        self.completions = path / "completions.parquet"
        self.checkpoints = Checkpoints(path)
        self.model = path / "model"
        self.failure = path / "failure.txt"

    @property
    def finished(self) -> bool:
        return self.evaluation.exists()

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
            try:
                earlier = pl.read_parquet(self.completions).filter(pl.col("step") < step)
                rows = pl.concat([earlier, rows])
            except _UNREADABLE as error:
                raise RunDirectoryError(
                    f"can't add to {self.completions}: {error}. Remove it to go on without the "
                    f"completions in it"
                ) from error
        content = io.BytesIO()
        rows.write_parquet(content)
        write_atomically(
            self.completions, lambda temporary: temporary.write_bytes(content.getbuffer())
        )


class RunDirectory:
    """A job's folder. Use `create` for a new one and `open` to continue one."""

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path: Path, config: TrainConfig, command: str) -> RunDirectory:
        """
        Raises:
            RunDirectoryError: `path` exists and isn't an empty folder, or can't be written.
        """
        if path.exists() and not _is_free(path):
            raise RunDirectoryError(
                f"{path} exists already and is never overwritten; choose another --out, or "
                f"continue that run with --resume {path}"
            )
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / "versions.json", _versions())
            write_text(path / "command.txt", command + "\n")
            write_json(path / "config.json", config.model_dump(mode="json"))
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """
        Raises:
            RunDirectoryError: `path` holds no readable config.json.
        """
        try:
            return cls(path, read_config(path / "config.json"))
        except FileNotFoundError:
            raise RunDirectoryError(f"{path} is no run directory: it has no config.json") from None
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"can't read {path / 'config.json'}: {error}") from error

    def locked(self) -> AbstractContextManager[None]:
        """Be the only job in this run directory.

        Raises:
            RunDirectoryError: another job is at work in it, or it can't be written.
        """
        return only_writer(self.path)

    def warm_start(self, seed: int) -> Path:
        return self.path / "warm_start" / f"seed_{seed}"

    def warm_start_locked(self, seed: int) -> AbstractContextManager[None]:
        """As `ArmDirectory.locked`, of a warm start's folder."""
        return only_writer(self.warm_start(seed), wait=_SECONDS_FOR_WORKERS_TO_END)

    def has_warm_start(self, seed: int) -> bool:
        folder = self.warm_start(seed)
        return (folder / "evaluation.json").exists() and (folder / "model").exists()

    def arm(self, arm: ArmSettings, seed: int) -> ArmDirectory:
        return ArmDirectory(self.path / "arms" / arm.slug / f"seed_{seed}")


def _is_free(path: Path) -> bool:
    """Whether a run may be made there: an empty folder, or one whose making was cut short."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir() if not entry.match(".*.part")}
    return names <= _WRITTEN_BEFORE_CONFIG


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"can't write the run directory {path}: {error}") from error


def _versions() -> dict[str, str]:
    return {
        "pkpo": pkpo.__version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }
