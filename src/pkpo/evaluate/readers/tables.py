"""The forms that are tables with one sample a row: human-eval, verl, TRL, pkpo, any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.names import known_columns, other_columns
from pkpo.evaluate.readers.scan import read_table
from pkpo.evaluate.readers.tally import Form, Reading, Wanted, folder_of, with_file

_SAMPLE_IDS = ("sample_id", "completion_id", "epoch")
_TRL_OWN = {"step", "prompt", "completion", "advantage", "image", "images"}
_OTHER_KINDS = {"zip": "a zip archive", "json": "one JSON document"}


def table_form(
    name: str,
    looks_like: str,
    matches: Callable[[Log], bool],
    problem: str,
    reward: str | Callable[[Log], str],
    step: str | None = None,
    of_file: Callable[[Path], Mapping[str, Any]] = lambda path: {},
) -> Form:
    """A form of tables.

    Args:
        name, looks_like, matches: see `Form`.
        problem: the column of problem ids, where the caller names no other.
        reward: the column of rewards, or what picks it, where the caller names no other.
        step: a column of training steps, if it is there.
        of_file: what the file's path and what lies beside it say of its samples.
    """

    def read(log: Log, reading: Reading) -> pl.DataFrame:
        wanted = reading.wanted
        if not log.is_table:
            kind = _OTHER_KINDS.get(log.kind, log.kind)
            raise LogError(f"{log.path} is no table of samples: it is {kind}")
        rewards = wanted.reward or (reward if isinstance(reward, str) else reward(log))
        own = {"problem": wanted.problem or problem, "reward": rewards}
        return with_file(
            read_table(log, _columns(log, own, step, wanted), reading), of_file(log.path)
        )

    return Form(name, looks_like, matches, read)


def _columns(log: Log, own: dict[str, str], step: str | None, wanted: Wanted) -> dict[str, str]:
    """Column by what it holds, by its name in a tally."""
    sample = wanted.sample or next((name for name in _SAMPLE_IDS if log.has(name)), None)
    step = step if step and log.has(step) else None
    others = {"cluster": wanted.cluster, "step": step, "sample": sample}
    columns = own | {name: column for name, column in others.items() if column is not None}
    for name, column in columns.items():
        if not log.has(column):
            raise LogError(
                f"{log.path} has no column {column!r} to take the {name} from; its columns "
                f"are {log.shown()}"
            )
    taken = {column for name, column in columns.items() if name != "cluster"}
    columns |= known_columns(log, taken, wanted)
    if step is None:  # others write what their rewards are made of
        columns |= other_columns(log, {*taken, *columns.values()}, wanted)
    return columns


def _trl_reward(log: Log) -> str:
    """The one column of numbers that isn't TRL's own."""
    kinds = log.schema
    found = [
        name
        for name in log.columns
        if name not in _TRL_OWN and (kinds[name].is_numeric() or kinds[name] == pl.Boolean)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise LogError(f"{log.path}: no column of rewards; its columns are {log.shown()}")
    raise LogError(
        f"{log.path}: several columns of rewards ({', '.join(found)}): choose one with reward= "
        f"(--reward)"
    )


def _is_pkpo(log: Log) -> bool:
    return log.kind == "parquet" and log.has("step", "problem", "completion", "reward")


def _is_trl(log: Log) -> bool:
    needed = ("step", "prompt", "completion", "advantage")
    return log.kind == "parquet" and log.has(*needed) and not _is_pkpo(log)


HUMAN_EVAL = table_form(
    name="human-eval",
    looks_like="JSONL with task_id and passed (the _results.jsonl file)",
    matches=lambda log: log.kind == "jsonl" and log.has("task_id", "passed"),
    problem="task_id",
    reward="passed",
)
VERL = table_form(
    name="verl",
    looks_like="JSONL with input, output, score and step (rollout and validation dumps)",
    matches=lambda log: log.kind == "jsonl" and log.has("input", "output", "score", "step"),
    problem="input",
    reward="score",
    step="step",
    of_file=folder_of(r"\d+\.jsonl"),
)
TRL = table_form(
    name="trl",
    looks_like="Parquet with step, prompt, completion and advantage (log_completions=True)",
    matches=_is_trl,
    problem="prompt",
    reward=_trl_reward,
    step="step",
    of_file=folder_of(r"completions_\d+\.parquet"),
)
PKPO = table_form(
    name="pkpo",
    looks_like="Parquet with step, problem, completion and reward (completions.parquet)",
    matches=_is_pkpo,
    problem="problem",
    reward="reward",
    step="step",
    of_file=folder_of(r"completions\.parquet"),
)
PLAIN = table_form(
    name="plain",
    looks_like="CSV, JSONL, JSON array or Parquet with problem and reward, or the columns named",
    matches=lambda log: log.is_table and log.has("problem", "reward"),
    problem="problem",
    reward="reward",
)
