"""`pkpo verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.arguments import read_options
from pkpo.cli.errors import UsageError
from pkpo.cli.show import counting, show, warn
from pkpo.files import same_files
from pkpo.tables import Table
from pkpo.tasks.base import Split, Task, Verdict
from pkpo.tasks.completions import Completion, OnBadLine, read_completions, references, score
from pkpo.tasks.registry import build_task

optional: Any = tyro.conf.arg(help_behavior_hint="(optional)")
_REASONS = 5


@dataclass(frozen=True)
class Verify:
    """Score any sampler's completions of a task into a log that `pkpo eval` reads.

    pkpo verify human-eval samples.jsonl

    pkpo verify code samples.jsonl --option path=mbpp.jsonl --reward tests

    pkpo verify human-eval --references

    A row is a JSON object with a problem's id in task_id, problem, problem_id or id, and what was
    written in completion, response, generation, output or text; its other fields are kept. Work
    that was stopped goes on when the same command is given again.

    Exit codes: 0 done, 1 bad input, or one of the task's own answers isn't right; 2 wrong usage.
    """

    task: tyro.conf.Positional[str]
    """Task, one of those that `pkpo tasks` lists."""

    completions: Annotated[
        tyro.conf.Positional[Path | None],
        tyro.conf.arg(metavar="FILE", help_behavior_hint="(optional)"),
    ] = None
    """JSON Lines, gzipped or not."""

    references: tyro.conf.FlagCreatePairsOff[bool] = False
    """Score the task's own answers instead of a file, which checks the task."""

    out: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: FILE.TASK.jsonl)")] = (
        None
    )
    """The log."""

    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """Options of the task."""

    reward: Annotated[str | None, tyro.conf.arg(metavar="NAME"), optional] = None
    """Short for --option reward=NAME."""

    split: Annotated[Split | None, optional] = None
    """Split that the problems must be of; by default any."""

    on_bad_line: OnBadLine = "error"
    """Lines that are damaged or of unknown problems: stop, or leave them out and say so."""

    workers: Annotated[
        int | None, tyro.conf.arg(help_behavior_hint="(default: as many as processors)")
    ] = None
    """Processes at a time."""

    timeout: float = 60.0
    """Seconds for one completion, beyond which it scores 0."""

    def __call__(self, command: str) -> int:
        if self.references == (self.completions is not None):
            raise UsageError("give a file of completions, or --references")
        options = read_options(self.option)
        given = self.reward or options.get("reward")
        if given is not None and options.setdefault("reward", given) != given:
            raise UsageError("--reward and --option reward= differ")
        task = build_task(self.task, options)
        out, completions = self._completions(task)
        settings = {"task": self.task, "options": options, "timeout": self.timeout}
        with counting(len(completions)) as on_done:
            verdicts = score(
                task, completions, out, settings,
                workers=self.workers, timeout=self.timeout, on_done=on_done,
            )  # fmt: skip
        show(*_summary(task, completions, verdicts))
        if out is not None:
            show(f"Log: {out}")
        return int(self.references and any(verdict.reward < 1 for verdict in verdicts))

    def _completions(self, task: Task) -> tuple[Path | None, list[Completion]]:
        """Where the log goes, and what is to be scored."""
        if self.completions is None:
            return self.out, references(task, self.split)
        out = self.out or self.completions.with_name(f"{self.completions.name}.{self.task}.jsonl")
        if any(same_files([out], [self.completions])):
            raise UsageError(f"{out} would be written over the completions")
        data, name = self.completions.read_bytes(), str(self.completions)
        completions, bad = read_completions(data, name, task, self.split, self.on_bad_line)
        for line in bad:
            warn(f"{line}; left out")
        return out, completions


def _summary(
    task: Task, completions: Sequence[Completion], verdicts: Sequence[Verdict]
) -> Iterator[str | Table]:
    right = sum(verdict.reward == 1 for verdict in verdicts)
    problems = len({completion.name for completion in completions})
    yield f"{task.name}: {right}/{len(verdicts)} right, of {problems} problems"
    if task.reward_type == "continuous":
        yield f"mean reward {sum(verdict.reward for verdict in verdicts) / len(verdicts):.4f}"
    wrong = [(c.name, v) for c, v in zip(completions, verdicts) if v.reward < 1]
    if wrong:
        rows = [(name, f"{verdict.reward:g}", verdict.reason) for name, verdict in wrong]
        notes = (f"and {len(rows) - _REASONS} more",) if len(rows) > _REASONS else ()
        headers = ("problem", "reward", "why")
        words = frozenset({0, 2})
        yield ""
        yield Table(headers, tuple(rows[:_REASONS]), notes, words=words)
