"""The forms that are tables with one sample a row: human-eval, verl, TRL, verifiers, pkpo, any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Reading, Wanted
from pkpo.evaluate.readers.columns import Columns, read_table
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile

_SAMPLE_IDS = ("sample_id", "completion_id", "epoch")
_TRL_OWN = {"step", "prompt", "completion", "advantage", "image", "images"}


@dataclass(frozen=True)
class TableForm:
    """A table form.

    Args:
        name: see `Form`.
        looks_like: see `Form`.
        matches: see `Form`.
        problem: the column of problem ids; None if the caller must name it.
        reward: picks the column of rewards when the caller doesn't name one.
        task: a column that problem ids belong to, if it is there.
        step: a column of training steps, if it is there.
    """

    name: str
    looks_like: str
    matches: Callable[[Head], bool]
    problem: str | None
    reward: Callable[[Head], str]
    task: str | None = None
    step: str | None = None

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        return read_table(file, self._columns(file, head, reading.wanted), reading)

    def _columns(self, file: LogFile, head: Head, wanted: Wanted) -> Columns:
        if not head.is_table:
            raise LogError(f"{file.path} is no table of samples: it is {_of_kind(head.kind)}")
        problem = wanted.problem or self.problem
        if problem is None:
            raise LogError(
                f"{file.path}: name the column of problem ids with problem= (--problem); its "
                f"columns are {head.shown()}"
            )
        try:
            reward = wanted.reward or self.reward(head)
        except LogError as error:
            raise LogError(f"{file.path}: {error}") from error
        sample = wanted.sample or next((name for name in _SAMPLE_IDS if head.has(name)), None)
        columns = Columns(
            problem=problem,
            reward=reward,
            task=self.task if self.task and head.has(self.task) else None,
            cluster=wanted.cluster,
            step=self.step if self.step and head.has(self.step) else None,
            sample=sample,
        )
        for name, column in columns.named().items():
            if not head.has(column):
                raise LogError(
                    f"{file.path} has no column {column!r} to take the {name} from; its columns "
                    f"are {head.shown()}"
                )
        return columns


def _of_kind(kind: str) -> str:
    return {"zip": "a zip archive", "json": "one JSON document"}.get(kind, kind)


def _fixed(column: str) -> Callable[[Head], str]:
    return lambda head: column


def _trl_reward(head: Head) -> str:
    candidates = _trl_rewards(head)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise LogError(f"no column of rewards; its columns are {head.shown()}")
    raise LogError(
        f"several columns of rewards ({', '.join(candidates)}): choose one with reward= (--reward)"
    )


def _trl_rewards(head: Head) -> list[str]:
    kinds = head.schema
    return [
        name
        for name in head.columns
        if name not in _TRL_OWN and (kinds[name].is_numeric() or kinds[name] == pl.Boolean)
    ]


def _is_pkpo(head: Head) -> bool:
    return head.kind == "parquet" and head.has("step", "problem", "completion", "reward")


def _is_trl(head: Head) -> bool:
    return (
        head.kind == "parquet"
        and head.has("step", "prompt", "completion", "advantage")
        and not _is_pkpo(head)
    )


HUMAN_EVAL = TableForm(
    name="human-eval",
    looks_like="JSONL with task_id and passed (the _results.jsonl file)",
    matches=lambda head: head.kind == "jsonl" and head.has("task_id", "passed"),
    problem="task_id",
    reward=_fixed("passed"),
)
VERL = TableForm(
    name="verl",
    looks_like="JSONL with input, output, score and step (rollout and validation dumps)",
    matches=lambda head: head.kind == "jsonl" and head.has("input", "output", "score", "step"),
    problem="input",
    reward=_fixed("score"),
    step="step",
)
VERIFIERS = TableForm(
    name="verifiers",
    looks_like="JSONL with example_id and reward (results.jsonl)",
    matches=lambda head: head.kind == "jsonl" and head.has("example_id", "reward"),
    problem="example_id",
    reward=_fixed("reward"),
    task="task",
)
TRL = TableForm(
    name="trl",
    looks_like="Parquet with step, prompt, completion and advantage (log_completions=True)",
    matches=_is_trl,
    problem="prompt",
    reward=_trl_reward,
    step="step",
)
PKPO = TableForm(
    name="pkpo",
    looks_like="Parquet with step, problem, completion and reward (completions.parquet)",
    matches=_is_pkpo,
    problem="problem",
    reward=_fixed("reward"),
    step="step",
)
PLAIN = TableForm(
    name="plain",
    looks_like="CSV, JSONL, JSON array or Parquet with problem and reward, or the columns named",
    matches=lambda head: head.is_table and head.has("problem", "reward"),
    problem="problem",
    reward=_fixed("reward"),
)
