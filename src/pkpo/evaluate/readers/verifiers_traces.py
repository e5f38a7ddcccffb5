"""verifiers since 0.2: traces.jsonl, one line for each episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from pkpo.evaluate.readers.collect import Collector, Reading
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.readers.rows import rows


class VerifiersTraces:
    """See `Form`. The reward is the weighted sum, as verifiers has it, or one score by name."""

    name = "verifiers-traces"
    looks_like = "JSONL with task and traces (traces.jsonl)"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        return head.kind == "jsonl" and head.has("task", "traces")

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        collector = Collector(reading, file.path, "line")
        for place, row in rows(file):
            reward = row if isinstance(row, str) else _reward(row, reading.wanted.reward)
            if isinstance(row, str) or isinstance(reward, str):
                collector.bad(place, str(reward))
                continue
            environment = _mapping(row.get("env")).get("id") or ""
            identity = row.get("id") or f"{file.number}/{place}"
            collector.add(place, _problem(row), reward, task=environment, sample=identity)
        return collector.tally()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _problem(row: Mapping[str, Any]) -> Any:
    """The task's own id, else its index, else what tells its content from others'."""
    task = _mapping(row.get("task"))
    data = _mapping(task.get("data"))
    found = (data.get("id"), data.get("idx"), task.get("key"), task.get("hash"), data or None)
    return next((value for value in found if value is not None), None)


def _reward(row: Mapping[str, Any], name: str | None) -> float | str | None:
    """An episode's reward, or why it has none."""
    traces = row.get("traces")
    traces = [_mapping(trace) for trace in traces] if isinstance(traces, list) else []
    if len(traces) > 1:
        agents = ", ".join(str(_mapping(trace.get("agent")).get("name")) for trace in traces)
        return f"the traces of several agents ({agents}), not of one"
    trace = traces[0] if traces else {}
    rewards = _mapping(trace.get("rewards"))
    if name is not None:
        scores = {key: _mapping(reward).get("score") for key, reward in rewards.items()}
        scores = dict(_mapping(trace.get("metrics"))) | scores
        if name not in scores:
            return f"no reward or metric {name!r}; it has {', '.join(scores) or 'none'}"
        return scores[name]
    given = [_mapping(reward) for reward in rewards.values() if reward is not None]
    if not given:
        return "the episode wasn't scored" + ("" if row.get("ok") else ": it failed")
    try:
        return float(sum(reward["score"] * reward.get("weight", 1.0) for reward in given))
    except (KeyError, TypeError):
        return "a reward without a score that is a number"
