"""The files of a training job: written whole or not at all, never overwritten.

RUN/config.json, versions.json, command.txt
RUN/warm_start/seed_S/{evaluation.json, model/}
RUN/arms/ARM/seed_S/{arm.json, metrics.jsonl, evaluations.jsonl, evaluation.json,
                     completions.parquet, state.pt, model/}
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

import pkpo
from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.train.config import ArmSettings, TrainConfig, read_config


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


class JsonLines:
    """An append-only JSONL file that can be cut back to an earlier step.

    Args:
        path: made if missing. Lines from `before_step` on are dropped, as is a last line
            that a killed run left incomplete.
    """

    def __init__(self, path: Path, *, before_step: int) -> None:
        kept = [line for line, step in _complete_lines(path) if step < before_step]
        write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(kept)))
        self._file = path.open("a", buffering=1)

    def append(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, allow_nan=False) + "\n")

    def sync(self) -> None:
        """Return once everything appended so far is on the disk."""
        self._file.flush()
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


class ArmDirectory:
    """The folder of one arm and seed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.evaluation = path / "evaluation.json"
        self.completions = path / "completions.parquet"
        self.state = path / "state.pt"
        self.model = path / "model"
        self.failure = path / "failure.txt"

    @property
    def finished(self) -> bool:
        return self.evaluation.exists()

    def save_state(self, state: dict[str, Any]) -> None:
        write_atomically(self.state, lambda temporary: torch.save(state, temporary))

    def load_state(self, device: str) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first.

        Raises:
            RunDirectoryError: the checkpoint can't be read.
        """
        if not self.state.exists():
            return None
        try:
            return torch.load(self.state, map_location=device, weights_only=True)
        except Exception as error:
            raise RunDirectoryError(f"can't read the checkpoint {self.state}: {error}") from error


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
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
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

    def warm_start(self, seed: int) -> Path:
        return self.path / "warm_start" / f"seed_{seed}"

    def arm(self, arm: ArmSettings, seed: int) -> ArmDirectory:
        return ArmDirectory(self.path / "arms" / arm.slug / f"seed_{seed}")


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
