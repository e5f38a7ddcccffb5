"""pkpo_choices.jsonl: what a plan chose in a TRL run, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pkpo.files import write_atomically
from pkpo.plans.plan import ByStep, Choice, Plan, Plateau


class ChoiceFile:
    """Appends a plan's choices to a file. Used by the main process alone.

    A schedule leaves no file. A plateau plan leaves a line at the first step of each stage,
    any other plan a line for each generation batch, with an objective and a reason by prompt.
    The first line that is written drops those of its own and later steps, which an earlier
    run of the same folder has left.

    Args:
        path: of the file.
        plan: whose choices are kept.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self._silent = isinstance(plan, ByStep)
        self._changes_only = isinstance(plan, Plateau)
        self._last: dict[str, Any] | None = None
        self._begun = False

    def append(self, step: int, prompts: tuple[int, ...], choice: Choice) -> None:
        if self._silent:
            return
        if not self._begun:
            self._begin(step)
        row = choice.record(step, None if self._changes_only else prompts)
        if not self._changes_only or self._last is None or self._last["reason"] != row["reason"]:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
        self._last = row

    def _begin(self, step: int) -> None:
        self._begun = True
        kept = [(line, row) for line, row in self._lines() if row["step"] < step]
        text = "".join(f"{line}\n" for line, _ in kept)
        write_atomically(self.path, lambda path: path.write_text(text, encoding="utf-8"))
        self._last = kept[-1][1] if kept else None

    def _lines(self) -> list[tuple[str, dict[str, Any]]]:
        """Those that are whole: a killed run may have left half a line at the end."""
        found = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    found.append((line, json.loads(line)))
                except ValueError:
                    break
        return found
