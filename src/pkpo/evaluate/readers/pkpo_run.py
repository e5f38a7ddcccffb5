"""pkpo's own evaluation.json, and the policies of a run directory, which have one each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.beside import folder_of
from pkpo.evaluate.readers.collect import Collector, Reading
from pkpo.evaluate.readers.counts import solved_of
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.solve_probabilities import SolveProbabilities

_EVALUATION = "evaluation.json"


class PkpoEvaluation:
    """See `Form`."""

    name = "pkpo-evaluation"
    looks_like = "JSON with problem_ids, solve_probability and num_samples (evaluation.json)"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        needed = ("problem_ids", "solve_probability", "num_samples", "exact")
        return head.kind == "json" and isinstance(head.document, dict) and head.has(*needed)

    def read(
        self, file: LogFile, head: Head, reading: Reading
    ) -> pl.DataFrame | SolveProbabilities:
        """See `Form`."""
        known = head.document
        if known.get("max_at_k") is not None:
            reading.note("A sample is correct if its reward is 1; the rewards took other values.")
        problems, rates = known["problem_ids"], known["solve_probability"]
        if not isinstance(problems, list) or not isinstance(rates, list):
            raise LogError(f"{file.path}: problem_ids and solve_probability should be lists")
        if len(problems) != len(rates):
            raise LogError(
                f"{file.path} has {len(problems)} problem_ids but {len(rates)} solve_probability"
            )
        if known["exact"]:
            try:
                ks = tuple(map(int, known.get("pass_at_k") or {})) or SolveProbabilities.ks
                return SolveProbabilities(tuple(problems), np.array(rates), ks, str(file.path))
            except (TypeError, ValueError) as error:
                raise LogError(f"{file.path}: {error}") from error
        number = known["num_samples"]
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise LogError(f"{file.path}: num_samples is {number!r}, not an integer >= 1")
        of_file = folder_of(r"evaluation\.json")(file.path)
        collector = Collector(reading, file.path, "problem", of_file)
        for place, (problem, rate) in enumerate(zip(problems, rates), start=1):
            solved = solved_of(rate, number) if isinstance(rate, int | float) else None
            if solved is None:
                collector.bad(place, f"solve_probability {rate!r} is no count of {number}")
                continue
            collector.add(place, problem, 1.0, count=solved)
            collector.add(place, problem, 0.0, count=number - solved)
        return collector.tally()


def policies(folder: Path) -> dict[str, Path]:
    """The evaluation.json of each policy in a run directory, its warm starts first, then its
    arms in the order of its settings; or the one of the folder of an arm and seed.

    Raises:
        LogError: there is none; lists what there is.
    """
    found = [
        path
        for pattern in ("", "seed_*/", "warm_start/seed_*/", "arms/*/seed_*/")
        for path in folder.glob(pattern + _EVALUATION)
    ]
    if not found:
        inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise LogError(
            f"{folder} is a folder, but no run of pkpo with an {_EVALUATION}; give files, or a "
            f"pattern such as '{folder}/*.jsonl'. In it: {inside}"
        )
    if len(found) == 1:
        return {"": found[0]}
    order = [arm.get("name") for arm in _json(folder / "config.json").get("arms", [])]
    named = [(*_arm_and_seed(path.parent), path) for path in found]
    named.sort(key=lambda it: (order.index(it[0]) if it[0] in order else -1, it[1]))
    several = len({seed for _, seed, _ in named}) > 1
    return {f"{arm} seed {seed}" if several else arm: path for arm, seed, path in named}


def unfinished(folder: Path) -> list[Path]:
    """The folders of arms and seeds in a run directory that have no evaluation yet."""
    return sorted(p for p in folder.glob("arms/*/seed_*") if not (p / _EVALUATION).exists())


def file_in(folder: Path) -> Path:
    """The evaluation.json of a folder that holds one policy.

    Raises:
        LogError: there is none, or more than one; lists what there is.
    """
    found = policies(folder)
    if len(found) > 1:
        listed = ", ".join(str(path.parent) for path in found.values())
        raise LogError(f"{folder} holds several policies; choose the folder of one: {listed}")
    return next(iter(found.values()))


def _arm_and_seed(folder: Path) -> tuple[str, int]:
    warm = folder.parent.name == "warm_start"
    name = "base" if warm else _json(folder / "arm.json").get("name", folder.parent.name)
    digits = folder.name.removeprefix("seed_")
    return str(name), int(digits) if digits.isdecimal() else 0


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError as error:
        raise LogError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise LogError(f"{path} is damaged: it holds no JSON object")
    return found
