"""lm-evaluation-harness: samples_TASK_DATE.jsonl, one line for each document and filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log, rows
from pkpo.evaluate.readers.files import json_at, matched
from pkpo.evaluate.readers.tally import ONE, RUN, Reading, Sample, chosen, one_by_one
from pkpo.evaluate.readers.values import BadValueError, object_of, rewards_of

_OWN = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
    "doc_hash", "prompt_hash", "target_hash",
}  # fmt: skip
_PROMPTING = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
_SOLVE_RATE = "pass@1"


def read(log: Log, reading: Reading) -> pl.DataFrame:
    """A problem is a document; its hash tells those of different tasks apart."""
    wanted = reading.wanted
    filters, metrics = _choices(log)
    metric = chosen(log, "metric", metrics, wanted.reward)
    if metric is None:
        raise LogError(f"{log.path} has no metric: no scores beside the responses")
    if wanted.filter is None and not {"filter", "all"} & {*wanted.pool}:
        chosen(log, "filter", filters, None, "filter= (--filter)")

    def samples_of(place: int, row: Mapping[str, Any]) -> Iterator[Sample]:
        if wanted.filter in filters and row.get("filter") != wanted.filter:
            return  # where no line is of the filter, another file's may be
        if metric not in row:
            raise BadValueError(f"no {metric!r}")
        problem, hashed = row.get("doc_id"), row.get("doc_hash")
        if problem is not None and isinstance(hashed, str):
            problem = f"{problem}-{hashed[:8]}"
        known = {f"{RUN}filter": row.get("filter"), f"{ONE}prompt": row.get("prompt_hash")}
        score, number = row[metric], _number_of(row.get("filtered_resps"))
        if metric == _SOLVE_RATE and number > 1 and isinstance(score, int | float):
            for response, reward in enumerate(rewards_of(score, number, metric)):
                yield problem, reward, known | {"sample": f"{log.number}.{response}"}
            return
        yield problem, score, known | {"sample": f"{log.number}"}
        if _number_of(row.get("resps")) > 1:
            reading.note(
                f"The log holds one {metric} for several responses to a document: a sample is "
                f"what the filter made of them, not a response."
            )

    of_file = _of_run(log.path) | {f"{ONE}metric": metric}
    return one_by_one(log, reading, rows(log), samples_of, of_file)


def _of_run(path: Path) -> dict[str, Any]:
    """Task and model, from MODEL/samples_TASK_DATE.jsonl, and its settings, from the
    results_DATE.json beside it. Documents of several tasks are told apart by their hashes."""
    found = matched(r"samples_(?P<task>.+)_(?P<date>[^_]+)\.jsonl", path)
    if not found:
        return {}
    results = json_at(path.parent / f"results_{found['date']}.json")
    config = object_of(results.get("config"))
    return {
        f"{ONE}task": found["task"],
        f"{RUN}model": results.get("model_name") or path.absolute().parent.name,
        **{RUN + name: config[name] for name in ("model_args", "gen_kwargs") if name in config},
        **{RUN + name: results[name] for name in _PROMPTING if name in results},
    }


def _choices(log: Log) -> tuple[list[str], list[str]]:
    """The filters and metrics in a file, in order of appearance."""
    filters: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for _, row in rows(log):
        if isinstance(row, str):
            continue
        if isinstance(row.get("filter"), str):
            filters.setdefault(row["filter"])
        named = row.get("metrics")
        numbers = (key for key, value in row.items() if isinstance(value, bool | int | float))
        numeric = [key for key in numbers if key not in _OWN]
        metrics |= dict.fromkeys(map(str, named if isinstance(named, list) else numeric))
    return list(filters), list(metrics)


def _number_of(responses: Any) -> int:
    """How many responses to its first request a document has."""
    first = responses[0] if isinstance(responses, list) and responses else None
    return len(first) if isinstance(first, list) else 1
