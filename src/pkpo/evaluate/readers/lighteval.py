"""lighteval: details_TASK_DATE.parquet, one row for each document, its samples scored together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log, rows
from pkpo.evaluate.readers.files import json_at, matched
from pkpo.evaluate.readers.tally import ONE, RUN, SET, Reading, Sample, chosen, fields, one_by_one
from pkpo.evaluate.readers.values import BadValueError, rewards_of, within

COLUMNS = ("doc", "metric", "model_response")
_PARAMETERS = re.compile(r"(k|n)=(\d+)")
_OLD_PASS_AT = re.compile(r"pass@(\d+):(\d+)_samples")


def read(log: Log, reading: Reading) -> pl.DataFrame:
    """Metrics over several samples are read where they are solve rates."""
    kind = log.schema["metric"]
    metrics = [field.name for field in kind.fields] if isinstance(kind, pl.Struct) else []
    metric = _metric(log, metrics, reading.wanted.reward)

    def samples_of(place: int, row: Mapping[str, Any]) -> Iterator[Sample]:
        document, score = row["doc"] or {}, (row["metric"] or {}).get(metric)
        problem = document.get("id") or document.get("query")
        known = {f"{SET}task": document.get("task_name"), f"{ONE}query": document.get("query")}
        responses = len((row["model_response"] or {}).get("text") or [None])
        number = _of_samples(metric)
        if number is not None:
            rewards = rewards_of(score, responses if number < 0 else number, metric)
            for sample, reward in enumerate(rewards):
                yield problem, reward, known | {"sample": f"{log.number}.{sample}"}
        elif responses > 1:
            raise BadValueError(f"{metric} is one score for {responses} responses")
        else:
            yield problem, score, known | {"sample": f"{log.number}"}

    of_file = _of_run(log.path) | {f"{ONE}metric": metric}
    return one_by_one(log, reading, rows(log, COLUMNS), samples_of, of_file)


def _of_run(path: Path) -> dict[str, Any]:
    """The model, from OUT/details/MODEL/DATE/details_TASK_DATE.parquet, and its settings, from
    OUT/results/MODEL/results_DATE.json."""
    folders = path.absolute().parent.parts
    if "details" not in folders or not matched(r"details_.+\.parquet", path):
        return {}
    at = len(folders) - 1 - folders[::-1].index("details")
    model = Path(*folders[at + 1 : -1])
    results = json_at(Path(*folders[:at], "results", model, f"results_{folders[-1]}.json"))
    settings = within(results, "config_general", "model_config", "generation_parameters")
    return {f"{RUN}model": str(model), **fields(RUN, settings, but=["seed"])}


def _metric(log: Log, metrics: list[str], wanted: str | None) -> str:
    if wanted is not None:
        chosen(log, "metric", metrics, wanted)
    readable = [name for name in metrics if _of_samples(name) != 0]
    if not readable or (wanted is not None and wanted not in readable):
        raise LogError(
            f"{log.path}: {wanted or ', '.join(metrics) or 'no metric'} says nothing of single "
            f"samples; readable are metrics of one sample, pass@k with k = 1, and avg@n"
        )
    return chosen(log, "metric", readable, wanted) or readable[0]


def _of_samples(metric: str) -> int | None:
    """How many samples a metric is the solve rate of: None for a metric of one sample, -1 if the
    name doesn't say, 0 if it is no solve rate."""
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
