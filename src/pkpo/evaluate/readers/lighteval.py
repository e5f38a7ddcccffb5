"""lighteval: details_TASK_DATE.parquet, one row for each document, its samples scored together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Collector, Reading
from pkpo.evaluate.readers.counts import solved_of
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.readers.rows import rows

_PARAMETERS = re.compile(r"(k|n)=(\d+)")
_OLD_PASS_AT = re.compile(r"pass@(\d+):(\d+)_samples")


class Lighteval:
    """See `Form`. Metrics over several samples are read where they are solve rates."""

    name = "lighteval"
    looks_like = "Parquet with doc, metric and model_response (details_*.parquet)"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        return head.kind == "parquet" and head.has("doc", "metric", "model_response")

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        kind = head.schema["metric"]
        metrics = [field.name for field in kind.fields] if isinstance(kind, pl.Struct) else []
        metric = _chosen(file, metrics, reading.wanted.reward)
        collector = Collector(reading, file.path, "row")
        for place, row in rows(file, ("doc", "metric", "model_response")):
            if isinstance(row, str):
                collector.bad(place, row)
            else:
                _take(collector, file, place, row, metric)
        return collector.tally()


def _chosen(file: LogFile, metrics: list[str], wanted: str | None) -> str:
    if wanted is not None and wanted not in metrics:
        raise LogError(f"{file.path} has no metric {wanted!r}; it has {', '.join(metrics)}")
    readable = [name for name in metrics if _of_samples(name) != 0]
    if wanted in readable:
        return wanted
    if wanted is not None or not readable:
        raise LogError(
            f"{file.path}: {wanted or ', '.join(metrics) or 'no metric'} says nothing of single "
            f"samples; readable are metrics of one sample, pass@k with k = 1, and avg@n"
        )
    if len(readable) > 1:
        raise LogError(
            f"{file.path} has several metrics ({', '.join(readable)}): choose one with reward= "
            f"(--reward)"
        )
    return readable[0]


def _of_samples(metric: str) -> int | None:
    """How many samples a metric is the solve rate of.

    Returns:
        None for a metric of one sample, -1 if the name doesn't say, 0 if it is no solve rate.
    """
    old = _OLD_PASS_AT.search(metric)
    if old:
        return int(old[2]) if old[1] == "1" else 0
    if "@" not in metric:
        return None
    given = dict(_PARAMETERS.findall(metric))
    solve_rate = "avg@" in metric or ("pass@k" in metric and "g-pass" not in metric)
    if not solve_rate or ("avg@" not in metric and given.get("k") != "1"):
        return 0
    return int(given.get("n", -1))


def _take(
    collector: Collector, file: LogFile, place: int, row: Mapping[str, Any], metric: str
) -> None:
    document, response = row["doc"] or {}, row["model_response"] or {}
    score = (row["metric"] or {}).get(metric)
    task, problem = document.get("task_name") or "", document.get("id") or document.get("query")
    responses = len(response.get("text") or [None])
    number = _of_samples(metric)
    if number is None:
        if responses > 1:
            collector.bad(place, f"{metric} is one score for {responses} responses")
        else:
            collector.add(place, problem, score, task=task, sample=f"{file.number}")
        return
    number = responses if number < 0 else number
    solved = solved_of(score, number) if isinstance(score, int | float) else None
    if solved is None:
        collector.bad(place, f"{metric} is {score}, which no count of {number} samples gives")
        return
    for sample in range(number):
        reward = float(sample < solved)
        collector.add(place, problem, reward, task=task, sample=f"{file.number}.{sample}")
