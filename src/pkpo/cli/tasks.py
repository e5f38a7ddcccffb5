"""`pkpo tasks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from pkpo.cli.arguments import read_options
from pkpo.cli.errors import UsageError
from pkpo.cli.show import progress, show
from pkpo.tables import Table
from pkpo.tasks.base import Split, check_splits
from pkpo.tasks.registry import build_task, describe_options, outline, task_names

optional: Any = tyro.conf.arg(help_behavior_hint="(optional)")


@dataclass(frozen=True)
class Tasks:
    """The tasks there are, or sample problems of one of them.

    pkpo tasks

    pkpo tasks human-eval

    pkpo tasks reasoning-gym --option dataset=countdown --count 5

    Shown with each problem is what the verifier says of the task's own answer, if it has one, and
    of an empty one. Packages add tasks by the entry point group pkpo.tasks.
    """

    name: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(metavar="TASK", help_behavior_hint="(optional)")
    ] = ""
    """Task whose problems are shown."""

    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """Options of the task."""

    split: Annotated[Split | None, optional] = None
    """Split whose problems are shown; by default the first that there is."""

    count: int = 3
    """Problems that are shown."""

    def __call__(self, command: str) -> int:
        if not self.name:
            if self.option or self.split:
                raise UsageError("--option and --split are of one task: pkpo tasks TASK")
            show(_list(), "\n`pkpo tasks TASK` shows problems and options of a task.")
            return 0
        with progress("Building ..."):
            task = build_task(self.name, read_options(self.option))
            check_splits(task)
        split = self.split or task.splits[0]
        sizes = ", ".join(f"{split} {len(task.ids(split))}" for split in task.splits)
        show(f"{task.name}: {task.reward_type} reward; {sizes}.")
        if len(task.splits) > 1:
            show("No two splits ask the same.")
        show(f"\nOptions:\n\n{describe_options(self.name) or 'none'}")
        for problem, name in list(enumerate(task.ids(split)))[: self.count]:
            show(f"\n--- {name}\n\n{task.question(split, problem)}")
            answers = {"its own answer": task.reference(split, problem), "no answer": ""}
            for what, text in answers.items():
                if text is not None:
                    verdict = task.judge(split, problem, text)
                    shown = f"\n\n{text}\n\n" if text else " "
                    show(f"\n{what}:{shown}reward {verdict.reward:g}: {verdict.reason}")
        return 0


def _list() -> Table:
    rows, notes = [], []
    for name in task_names():
        with progress(f"Looking at {name} ..."):
            found = outline(name)
        sizes = ", ".join(f"{split} {size}" for split, size in found.sizes.items())
        if found.note:
            notes.append(f"{name}: {found.note}")
        rows.append((name, ", ".join(found.rewards), sizes or f"[{len(notes)}]", found.summary))
    headers = ("task", "rewards", "problems", "what")
    return Table(headers, tuple(rows), tuple(notes), words=frozenset(range(4)), numbered=True)
