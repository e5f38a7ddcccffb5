"""verifiers: results.jsonl, one sample a row, and since 0.2 traces.jsonl, one line an episode."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.evaluate.readers.contents import Log, rows
from pkpo.evaluate.readers.files import json_at
from pkpo.evaluate.readers.tally import (
    ONE,
    RUN,
    SET,
    Reading,
    Sample,
    fields,
    folder_of,
    one_by_one,
)
from pkpo.evaluate.readers.values import BadValueError, object_of, within


def metadata(path: Path) -> dict[str, Any]:
    """What metadata.json beside a results.jsonl says; else the folder."""
    known = json_at(path.parent / "metadata.json")
    if "model" not in known:
        return folder_of(r"results\.jsonl")(path)
    return {
        f"{RUN}model": known["model"],
        f"{RUN}env_args": known.get("env_args"),
        f"{SET}env_id": known.get("env_id"),
        **fields(RUN, known.get("sampling_args"), but=["n", "seed"]),
    }


def read_traces(log: Log, reading: Reading) -> pl.DataFrame:
    """The reward is the weighted sum, as verifiers has it, or one score by name."""

    def samples_of(place: int, row: Mapping[str, Any]) -> Iterator[Sample]:
        identity = row.get("id") or f"{log.number}/{place}"
        reward = _reward(row, reading.wanted.reward)
        yield _problem(row), reward, {"sample": identity, **_of_row(row)}

    return one_by_one(log, reading, rows(log), samples_of, _of_run(log.path))


def _of_run(path: Path) -> dict[str, Any]:
    """What config.toml beside the traces says; else the folder."""
    try:
        config = tomllib.loads((path.parent / "config.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return folder_of(r"traces\.jsonl")(path)
    settings = fields(RUN, config.get("sampling"), but=["seed"])
    return {f"{RUN}model": config.get("model"), **settings}


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an episode says of the agent, where it has settings of its own, and of the task."""
    traces = row.get("traces")
    trace = object_of(traces[0] if isinstance(traces, list) and traces else None)
    agent = within(trace, "agent", "config")
    return {
        f"{SET}env": within(row, "env").get("id"),
        f"{RUN}agent.model": agent.get("model"),
        f"{RUN}agent.sampling": agent.get("sampling"),
        f"{RUN}agent.harness": agent.get("harness"),
        f"{ONE}prompt": within(row, "task", "data").get("prompt"),
    }


def _problem(row: Mapping[str, Any]) -> Any:
    """The task's own id, else its index, else what tells its content from others'."""
    task, data = within(row, "task"), within(row, "task", "data")
    found = (data.get("id"), data.get("idx"), task.get("key"), task.get("hash"), data or None)
    return next((value for value in found if value is not None), None)


def _reward(row: Mapping[str, Any], name: str | None) -> Any:
    """An episode's reward; raises BadValueError where it has none."""
    traces = row.get("traces")
    traces = [object_of(trace) for trace in traces] if isinstance(traces, list) else []
    if len(traces) > 1:
        agents = ", ".join(str(within(trace, "agent").get("name")) for trace in traces)
        raise BadValueError(f"the traces of several agents ({agents}), not of one")
    trace = traces[0] if traces else {}
    rewards = within(trace, "rewards")
    if name is not None:
        scores = {key: object_of(reward).get("score") for key, reward in rewards.items()}
        scores = {**within(trace, "metrics"), **scores}
        if name not in scores:
            there = ", ".join(scores) or "none"
            raise BadValueError(f"no reward or metric {name!r}; it has {there}")
        return scores[name]
    given = [object_of(reward) for reward in rewards.values() if reward is not None]
    if not given:
        raise BadValueError("the episode wasn't scored" + ("" if row.get("ok") else ": it failed"))
    try:
        return float(sum(reward["score"] * reward.get("weight", 1.0) for reward in given))
    except (KeyError, TypeError):
        raise BadValueError("a reward without a score that is a number") from None
