"""evalplus: eval_results.json, each sample's status on the base tests and on the extra ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.beside import folder_of, matched
from pkpo.evaluate.readers.collect import ONE, RUN, Collector, Reading
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile

_PASS, _STATUSES = "pass", ("pass", "fail", "timeout")
_NAME = re.compile(r"(?P<model>.+)_temp_(?P<temperature>\d+(\.\d+)?)")


class EvalPlus:
    """See `Form`. reward "plus" is passing the base and the extra tests, "base" the base tests."""

    name = "evalplus"
    looks_like = "JSON with eval, the statuses of each task (eval_results.json)"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        return head.kind == "json" and head.has("eval", "hash") and not head.has("samples")

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        tasks = head.document["eval"]
        if not isinstance(tasks, dict):
            raise LogError(f"{file.path}: eval should be an object, not {type(tasks).__name__}")
        samples = [(task, pair) for task, results in tasks.items() for pair in _statuses(results)]
        with_plus = any(plus is not None for _, (_, plus) in samples)
        reward = reading.wanted.reward or ("plus" if with_plus else "base")
        if reward not in ("base", "plus"):
            raise LogError(f"{file.path} has the rewards base and plus, not {reward!r}")
        if reward == "plus" and not with_plus:
            raise LogError(f"{file.path} has no extra tests, only base ones: reward 'base'")
        if reading.wanted.reward is None and with_plus:
            reading.note(
                "A sample is correct if it passes the base and the extra tests; reward='base' "
                "asks for the base tests alone."
            )
        of_file = _of_name(file.path) | {
            f"{ONE}metric": reward,
            f"{ONE}hash": head.document["hash"],
        }
        collector = Collector(reading, file.path, "sample", of_file)
        for place, (task, statuses) in enumerate(samples, start=1):
            needed = statuses if reward == "plus" else statuses[:1]
            bad = [status for status in needed if status not in _STATUSES]
            if bad:
                collector.bad(place, f"(of {task}) the {reward} status is {bad[0]!r}")
            else:
                collector.add(place, task, all(status == _PASS for status in needed))
        return collector.tally()


def _of_name(path: Path) -> dict[str, Any]:
    """Model and temperature, which evalplus writes into the name of the file or folder."""
    folder = matched(r"eval_results\.json", path)
    found = _NAME.match(path.parent.name if folder else path.name)
    if found:
        return {f"{RUN}model": found["model"], f"{RUN}temperature": float(found["temperature"])}
    return folder_of(r"eval_results\.json")(path)


def _statuses(results: Any) -> Iterator[tuple[Any, Any]]:
    """(base, plus) of each sample of a task."""
    if isinstance(results, dict):  # before 0.2: lists of [status, details]
        base, plus = results.get("base", []), results.get("plus") or []
        for number, (status, *_) in enumerate(base):
            yield status, plus[number][0] if number < len(plus) else None
        return
    for sample in results if isinstance(results, list) else [None]:
        if isinstance(sample, dict):
            yield sample.get("base_status"), sample.get("plus_status")
        else:
            yield None, None
