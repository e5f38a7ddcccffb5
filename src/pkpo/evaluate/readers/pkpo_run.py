"""pkpo's own evaluation.json, and the folders of a run directory that hold one."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Collector, Reading
from pkpo.evaluate.readers.counts import solved_of
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile

_EVALUATION, _COMPLETIONS = "evaluation.json", "completions.parquet"


class PkpoEvaluation:
    """See `Form`."""

    name = "pkpo-evaluation"
    looks_like = "JSON with problem_ids, solve_probability and num_samples (evaluation.json)"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        needed = ("problem_ids", "solve_probability", "num_samples", "exact")
        return head.kind == "json" and isinstance(head.document, dict) and head.has(*needed)

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        known = head.document
        if known["exact"]:
            raise LogError(
                f"{file.path} holds each problem's exact probability, not samples: its pass_at_k "
                f"has no sampling error within problems. The sampled completions of training are "
                f"in {_COMPLETIONS} beside it"
            )
        if known.get("max_at_k") is not None:
            reading.note("A sample is correct if its reward is 1; the rewards took other values.")
        problems, rates = known["problem_ids"], known["solve_probability"]
        if not isinstance(problems, list) or not isinstance(rates, list):
            raise LogError(f"{file.path}: problem_ids and solve_probability should be lists")
        if len(problems) != len(rates):
            raise LogError(
                f"{file.path} has {len(problems)} problem_ids but {len(rates)} solve_probability"
            )
        number = known["num_samples"]
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise LogError(f"{file.path}: num_samples is {number!r}, not an integer >= 1")
        collector = Collector(reading, file.path, "problem")
        for place, (problem, rate) in enumerate(zip(problems, rates), start=1):
            solved = solved_of(rate, number) if isinstance(rate, int | float) else None
            if solved is None:
                collector.bad(place, f"solve_probability {rate!r} is no count of {number}")
                continue
            collector.add(place, problem, 1.0, count=solved)
            collector.add(place, problem, 0.0, count=number - solved)
        return collector.tally()


def file_in(folder: Path) -> Path:
    """The evaluation.json of a folder of one arm and seed, of an arm, or of a run.

    Raises:
        LogError: there is none, or more than one; lists what there is.
    """
    found = sorted(folder.glob(_EVALUATION)) or sorted(
        {*folder.glob(f"seed_*/{_EVALUATION}"), *folder.glob(f"arms/*/seed_*/{_EVALUATION}")}
    )
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path.parent) for path in found)
        raise LogError(
            f"{folder} holds several trained policies; choose the folder of one: {listed}"
        )
    inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise LogError(
        f"{folder} is a folder, but no run of pkpo with an {_EVALUATION}; give files, or a "
        f"pattern such as '{folder}/*.jsonl'. In it: {inside}"
    )
