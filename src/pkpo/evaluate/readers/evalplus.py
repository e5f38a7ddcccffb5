"""evalplus: eval_results.json, each sample's status on the base tests and on the extra ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.files import matched
from pkpo.evaluate.readers.tally import ONE, RUN, Reading, Sample, folder_of, one_by_one
from pkpo.evaluate.readers.values import BadValueError

_PASS, _STATUSES = "pass", ("pass", "fail", "timeout")
_NAME = re.compile(r"(?P<model>.+)_temp_(?P<temperature>\d+(\.\d+)?)")


def read(log: Log, reading: Reading) -> pl.DataFrame:
    """The reward "plus" is passing the base and the extra tests, "base" the base tests."""
    tasks = log.document["eval"]
    if not isinstance(tasks, dict):
        raise LogError(f"{log.path}: eval should be an object, not {type(tasks).__name__}")
    samples = [(task, pair) for task, results in tasks.items() for pair in _statuses(results)]
    with_plus = any(plus is not None for _, (_, plus) in samples)
    reward = reading.wanted.reward or ("plus" if with_plus else "base")
    if reward not in ("base", "plus"):
        raise LogError(f"{log.path} has the rewards base and plus, not {reward!r}")
    if reward == "plus" and not with_plus:
        raise LogError(f"{log.path} has no extra tests, only base ones: reward 'base'")
    if reading.wanted.reward is None and with_plus:
        reading.note(
            "A sample is correct if it passes the base and the extra tests; reward='base' "
            "asks for the base tests alone."
        )

    def samples_of(place: int, sample: Any) -> Iterator[Sample]:
        task, statuses = sample
        needed = statuses if reward == "plus" else statuses[:1]
        bad = [status for status in needed if status not in _STATUSES]
        if bad:
            raise BadValueError(f"(of {task}) the {reward} status is {bad[0]!r}")
        yield task, all(status == _PASS for status in needed), {}

    of_file = _of_name(log.path) | {f"{ONE}metric": reward, f"{ONE}hash": log.document["hash"]}
    return one_by_one(log, reading, enumerate(samples, 1), samples_of, of_file, "sample")


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
