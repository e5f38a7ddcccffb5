"""The forms that are tables with one sample a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.names import known_columns, of_file, other_columns
from pkpo.evaluate.readers.scan import read_table
from pkpo.evaluate.readers.tally import Reading, with_file

_SAMPLE_IDS = ("sample_id", "completion_id", "epoch")
_TRL_OWN = {"step", "prompt", "completion", "advantage", "image", "images"}
_OTHER_KINDS = {"zip": "a zip archive", "json": "one JSON document"}


def table(
    problem: str,
    reward: str | Callable[[Log], str],
    step: str | None = None,
    of_path: Callable[[Path], Mapping[str, Any]] = lambda path: {},
) -> Callable[[Log, Reading], pl.DataFrame]:
    """What reads tables with these columns, where the caller names no others.

    Args:
        problem: the column of problem ids.
        reward: the column of rewards, or what picks it.
        step: a column of training steps, if it is there.
        of_path: what the file's path and what lies beside it say of its samples.
    """

    def read(log: Log, reading: Reading) -> pl.DataFrame:
        wanted = reading.wanted
        if not log.is_table:
            kind = _OTHER_KINDS.get(log.kind, log.kind)
            raise LogError(f"{log.path} is no table of samples: it is {kind}")
        own = {
            "problem": wanted.problem or problem,
            "reward": wanted.reward or (reward if isinstance(reward, str) else reward(log)),
            "cluster": wanted.cluster,
            "step": step if step and log.has(step) else None,
            "sample": wanted.sample or next((name for name in _SAMPLE_IDS if log.has(name)), None),
        }
        columns = {name: column for name, column in own.items() if column is not None}
        for name, column in columns.items():
            if not log.has(column):
                raise LogError(
                    f"{log.path} has no column {column!r} to take the {name} from; its columns "
                    f"are {log.shown()}"
                )
        taken = {column for name, column in columns.items() if name != "cluster"}
        columns |= known_columns(log, taken, wanted)
        said = dict(of_path(log.path))
        if own["step"] is None:  # others write what their rewards are made of
            taken |= {*columns.values()}
            columns |= other_columns(log, taken, wanted)
            said |= of_file(log, taken, wanted)
        return with_file(read_table(log, columns, reading), said)

    return read


def trl_reward(log: Log) -> str:
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
