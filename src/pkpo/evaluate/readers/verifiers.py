"""verifiers: results.jsonl, one sample a row, and since 0.2 traces.jsonl, one line an episode."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.evaluate.readers.contents import Log, rows
from pkpo.evaluate.readers.files import json_at
from pkpo.evaluate.readers.tables import table_form
from pkpo.evaluate.readers.tally import (
    ONE,
    RUN,
    SET,
    Collector,
    Form,
    Reading,
    fields,
    folder_of,
)
from pkpo.evaluate.readers.values import object_of


def _metadata(path: Path) -> dict[str, Any]:
    """What metadata.json beside a results.jsonl says; else the folder."""
    known = json_at(path.parent / "metadata.json")
    if "model" not in known:
        return folder_of(r"results\.jsonl")(path)
    sampling = dict(object_of(known.get("sampling_args")))
    for name in ("n", "seed"):
        sampling.pop(name, None)
    return {
        f"{RUN}model": known["model"],
        f"{RUN}env_args": known.get("env_args"),
        f"{SET}env_id": known.get("env_id"),
        **fields(RUN, sampling),
    }


def _read_traces(log: Log, reading: Reading) -> pl.DataFrame:
    """The reward is the weighted sum, as verifiers has it, or one score by name."""
    collector = Collector(reading, log, _of_run(log.path))
    for place, row in rows(log):
        reward = row if isinstance(row, str) else _reward(row, reading.wanted.reward)
        if isinstance(row, str) or isinstance(reward, str):
            collector.bad(place, str(reward))
            continue
        identity = row.get("id") or f"{log.number}/{place}"
        collector.add(place, _problem(row), reward, {"sample": identity, **_of_row(row)})
    return collector.tally()


def _of_run(path: Path) -> dict[str, Any]:
    """What config.toml beside the traces says; else the folder."""
    try:
        config = tomllib.loads((path.parent / "config.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return folder_of(r"traces\.jsonl")(path)
    sampling = {k: v for k, v in object_of(config.get("sampling")).items() if k != "seed"}
    return {f"{RUN}model": config.get("model"), **fields(RUN, sampling)}


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an episode says of the agent, where it has settings of its own, and of the task."""
    traces = row.get("traces")
    trace = object_of(traces[0] if isinstance(traces, list) and traces else None)
    agent = object_of(object_of(trace.get("agent")).get("config"))
    return {
        f"{SET}env": object_of(row.get("env")).get("id"),
        f"{RUN}agent.model": agent.get("model"),
        f"{RUN}agent.sampling": agent.get("sampling"),
        f"{RUN}agent.harness": agent.get("harness"),
        f"{ONE}prompt": object_of(object_of(row.get("task")).get("data")).get("prompt"),
    }


def _problem(row: Mapping[str, Any]) -> Any:
    """The task's own id, else its index, else what tells its content from others'."""
    task = object_of(row.get("task"))
    data = object_of(task.get("data"))
    found = (data.get("id"), data.get("idx"), task.get("key"), task.get("hash"), data or None)
    return next((value for value in found if value is not None), None)


def _reward(row: Mapping[str, Any], name: str | None) -> float | str | None:
    """An episode's reward, or why it has none."""
    traces = row.get("traces")
    traces = [object_of(trace) for trace in traces] if isinstance(traces, list) else []
    if len(traces) > 1:
        agents = ", ".join(str(object_of(trace.get("agent")).get("name")) for trace in traces)
        return f"the traces of several agents ({agents}), not of one"
    trace = traces[0] if traces else {}
    rewards = object_of(trace.get("rewards"))
    if name is not None:
        scores = {key: object_of(reward).get("score") for key, reward in rewards.items()}
        scores = dict(object_of(trace.get("metrics"))) | scores
        if name not in scores:
            return f"no reward or metric {name!r}; it has {', '.join(scores) or 'none'}"
        return scores[name]
    given = [object_of(reward) for reward in rewards.values() if reward is not None]
    if not given:
        return "the episode wasn't scored" + ("" if row.get("ok") else ": it failed")
    try:
        return float(sum(reward["score"] * reward.get("weight", 1.0) for reward in given))
    except (KeyError, TypeError):
        return "a reward without a score that is a number"


VERIFIERS = table_form(
    name="verifiers",
    looks_like="JSONL with example_id and reward (results.jsonl)",
    matches=lambda log: log.kind == "jsonl" and log.has("example_id", "reward"),
    problem="example_id",
    reward="reward",
    of_file=_metadata,
)
TRACES = Form(
    name="verifiers-traces",
    looks_like="JSONL with task and traces (traces.jsonl)",
    matches=lambda log: log.kind == "jsonl" and log.has("task", "traces"),
    read=_read_traces,
)
