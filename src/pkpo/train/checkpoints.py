"""The checkpoints of an arm: the last one and the one before, checked when read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.report.jsonio import differences, told
from pkpo.train.config import ArmSettings, TrainConfig

_SETTINGS = "settings"
UNDECIDING = {
    "evaluation",
    "arms",
    "seeds",
    "device",
    "checkpoint_every",
    "completions_every",
    "keep_models",
}


def deciding_settings(config: TrainConfig, arm: ArmSettings, seed: int) -> dict[str, Any]:
    """The settings that decide an arm's weights at each step, as JSON values."""
    return config.model_dump(mode="json", exclude=UNDECIDING) | {
        "arm": arm.model_dump(mode="json"),
        "seed": seed,
    }


class Checkpoints:
    """state.pt and, from the second checkpoint on, state.previous.pt.

    A new checkpoint is complete and on the disk before it takes the place of the last one,
    which becomes the previous one.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "state.pt"
        self.previous = folder / "state.previous.pt"

    def save(self, state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Write tensors and plain values; `load` wants the same settings.

        Raises:
            OSError: the file can't be written. The checkpoints before it are kept.
        """
        content = io.BytesIO()
        torch.save({**state, _SETTINGS: dict(settings)}, content)
        write_atomically(self.last, content.getvalue(), keep_as=self.previous)

    def remove(self) -> None:
        """Of an arm that has ended."""
        self.previous.unlink(missing_ok=True)
        self.last.unlink(missing_ok=True)

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """The last checkpoint on the CPU, the previous one where state.pt is missing, or None.

        A damaged state.pt is not passed over in silence: whoever removes it decides for the
        previous one.

        Raises:
            RunDirectoryError: the file is damaged, or isn't of an arm with these settings.
        """
        path = self._newest
        if not path.exists():
            return None
        with self.restoring():
            state = _read(path)
        stored = state.pop(_SETTINGS)
        if different := list(differences(stored, settings)):
            raise RunDirectoryError(
                f"the checkpoint {path} was made with other settings: {told(different)}"
            )
        return state

    @staticmethod
    def check(state: Mapping[str, Any], like: Mapping[str, Any]) -> None:
        """Raise ValueError where an entry of `like`, a state of the same arm at some other step,
        is missing or of another type."""
        for name, value in like.items():
            if name not in state:
                raise ValueError(f"{name!r} is missing")
            if type(state[name]) is not type(value):
                kinds = type(state[name]).__name__, type(value).__name__
                raise ValueError(f"{name!r} is of type {kinds[0]}, not {kinds[1]}")

    @property
    def _newest(self) -> Path:
        return self.last if self.last.exists() else self.previous

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Whatever is raised inside is the fault of the checkpoint that was loaded: in its place
        comes a RunDirectoryError, which names the file and the way out."""
        try:
            yield
        except Exception as error:
            path = self._newest
            what = repr(error) if isinstance(error, KeyError) else str(error)
            out = "Without it this arm starts anew: remove it if that is all right"
            if path == self.last and self.previous.exists():
                out = f"Remove it to continue from the checkpoint before, {self.previous.name}"
            raise RunDirectoryError(
                f"can't read the checkpoint {path}: {' '.join(what.split())}. {out}"
            ) from error


def _read(path: Path) -> dict[str, Any]:
    # torch.load reads damaged numbers without complaint; the archive has their checksums.
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} is wrong")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not isinstance(state.get(_SETTINGS), dict):
        raise ValueError("it holds something else")
    return state
