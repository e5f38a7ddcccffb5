"""The files of a sweep.

SWEEP/sweep.json, cells.json, command.txt
SWEEP/cells/CELL/  (each a run directory)
SWEEP/results.csv, summary.csv, summary.md, sweep.png
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.execution.locks import only_writer
from pkpo.report.sweep_load import CELLS
from pkpo.train.config import TrainConfig
from pkpo.train.json_lines import write_json, write_text
from pkpo.train.run_directory import RunDirectory, claimed, settings_of
from pkpo.train.sweep.grid import Cell, SweepSettings

_SETTINGS = "sweep.json"


class SweepDirectory:
    """A sweep's folder. Use `create` for a new one and `open` to continue one.

    Attributes:
        path: the folder.
        settings: the grid.
        runs: each cell with its run directory, in order.
    """

    def __init__(self, path: Path, settings: SweepSettings, command: str) -> None:
        self.path, self.settings = path, settings
        if not (path / CELLS).exists():
            _write_cells(path / CELLS, settings)
        self.runs: tuple[tuple[Cell, RunDirectory[TrainConfig]], ...] = tuple(
            (cell, _open_or_create(path / "cells" / cell.slug, cell, command))
            for cell in settings.cells()
        )

    @classmethod
    def create(cls, path: Path, settings: SweepSettings, command: str) -> SweepDirectory:
        """
        Raises:
            RunDirectoryError: `path` exists and isn't an empty folder, or can't be written.
        """
        with claimed(path, "sweep", ()):
            # The grid comes first: with it alone the sweep can be continued.
            write_json(path / _SETTINGS, settings.model_dump(mode="json"))
            write_text(path / "command.txt", command + "\n")
            return cls(path, settings, command)

    @classmethod
    def open(cls, path: Path) -> SweepDirectory:
        """
        Raises:
            RunDirectoryError: `path` holds no readable sweep.json, or a cell has other
                settings than the grid says.
        """
        with settings_of(path / _SETTINGS, "sweep") as file:
            settings = SweepSettings.model_validate_json(file.read_text(encoding="utf-8"))
        return cls(path, settings, f"pkpo sweep --resume {path}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only job in this sweep and in each of its cells."""
        with ExitStack() as stack:
            stack.enter_context(only_writer(self.path))
            for _, run in self.runs:
                stack.enter_context(run.locked())
            yield


def _write_cells(path: Path, settings: SweepSettings) -> None:
    """The cells for readers that know no settings: folders, names and what is varied."""
    cells = [
        {
            "cell": cell.slug,
            "name": cell.name,
            "settings": dict(cell.settings),
            "arms": {arm.name: arm.slug for arm in cell.config.arms},
        }
        for cell in settings.cells()
    ]
    write_json(path, cells)


def _open_or_create(path: Path, cell: Cell, command: str) -> RunDirectory[TrainConfig]:
    if not (path / "config.json").exists():
        return RunDirectory.create(path, cell.config, command)
    run = RunDirectory.open(path)
    if run.config != cell.config:
        raise RunDirectoryError(f"{path} holds a run with other settings than the sweep's")
    return run
