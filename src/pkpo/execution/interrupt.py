"""Ending on SIGINT or SIGTERM: softly at the first signal, at once at the second."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from rich.console import Console

from pkpo.errors import PkpoError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(PkpoError, RuntimeError):
    """A signal, of which `number` was the first, ended the work before it was complete."""

    def __init__(self, message: str, number: signal.Signals) -> None:
        super().__init__(message)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells number it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class Interruption:
    """Within this context the first signal is noted, and the second raises `Interrupted`.

    Outside of the main thread, where Python handles no signals, nothing is changed.

    Args:
        console: told of the first signal, when `requested` is next asked.
        resume: the command that goes on.
        agree: makes of whether a signal has come here what all processes of a launch then say.
        patient: take no notice of further signals: launchers pass the terminal's on, so that it
            comes twice.
    """

    def __init__(
        self,
        console: Console,
        resume: str,
        *,
        agree: Callable[[bool], bool] = lambda asked: asked,
        patient: bool = False,
    ) -> None:
        self._console, self._resume = console, resume
        self._agree, self._patient = agree, patient
        self._number: signal.Signals | None = None
        self._told = False
        self._before: dict[signal.Signals, Any] = {}

    def requested(self) -> bool:
        """Whether a signal has come."""
        if self._number is not None and not self._told:
            self._told = True
            with suppress(OSError, ValueError, SystemExit):  # nobody may be reading
                self._console.print(
                    f"{self._number.name}: ending after the current step; once more ends at once.",
                    soft_wrap=True,
                )
        return self._agree(self._number is not None)

    def check(self) -> None:
        """
        Raises:
            Interrupted: a signal has come.
        """
        if self._number is not None:
            raise self._interrupted("interrupted by {}; all steps made are kept", self._number)

    def _interrupted(self, what: str, number: signal.Signals) -> Interrupted:
        return Interrupted(f"{what.format(number.name)}, and `{self._resume}` goes on", number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = signal.Signals(number)
        elif not self._patient:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, KeyboardInterrupt) and self._number is not None:
            ended = "ended at once by a second signal; all checkpoints are kept"
            raise self._interrupted(ended, self._number) from error
