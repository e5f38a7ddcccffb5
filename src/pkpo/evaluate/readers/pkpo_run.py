"""pkpo's own evaluation.json, and the policies of a run directory, which have one each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.tally import Reading, Sample, folder_of, one_by_one
from pkpo.evaluate.readers.values import rewards_of
from pkpo.evaluate.samples import SolveProbabilities
from pkpo.files import folder_name

EVALUATION = "evaluation.json"
_PLACES = ("warm_start/seed_*", "arms/*/seed_*")


def read(log: Log, reading: Reading) -> pl.DataFrame | SolveProbabilities:
    """An evaluation.json."""
    known = log.document
    if known.get("max_at_k") is not None:
        reading.note("A sample is correct if its reward is 1; the rewards took other values.")
    problems, rates = known["problem_ids"], known["solve_probability"]
    if not isinstance(problems, list) or not isinstance(rates, list):
        raise LogError(f"{log.path}: problem_ids and solve_probability should be lists")
    if len(problems) != len(rates):
        raise LogError(
            f"{log.path} has {len(problems)} problem_ids but {len(rates)} solve_probability"
        )
    if known["exact"]:
        try:
            ks = tuple(map(int, known.get("pass_at_k") or {})) or SolveProbabilities.ks
            return SolveProbabilities(tuple(problems), np.array(rates), ks, str(log.path))
        except (TypeError, ValueError) as error:
            raise LogError(f"{log.path}: {error}") from error
    number = known["num_samples"]
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise LogError(f"{log.path}: num_samples is {number!r}, not an integer >= 1")

    def samples_of(place: int, pair: Any) -> Iterator[Sample]:
        problem, rate = pair
        for reward in rewards_of(rate, number, "solve_probability"):
            yield problem, reward, {}

    records, folder = enumerate(zip(problems, rates), 1), folder_of(r"evaluation\.json")(log.path)
    return one_by_one(log, reading, records, samples_of, folder, "problem")


@dataclass(frozen=True)
class _Policy:
    """One of a run directory: its evaluation, and the name that no other has."""

    path: Path
    seed: int = 0
    warm: bool = False
    name: str = ""


def policies(folder: Path) -> dict[str, Path]:
    """The evaluation.json of each policy in a run directory, its warm starts first, then its
    arms in the order of its settings; or the one of the folder of an arm and seed. Raises
    LogError where there is none, with what there is."""
    return {policy.name: policy.path for policy in _policies(folder)}


def warm_starts(folder: Path) -> dict[str, str]:
    """For each trained policy of a run directory the warm start that it was trained from, where
    there is one; else the first policy. All by their names in `policies`."""
    first, *others = found = _policies(folder)
    of_seed = {policy.seed: policy.name for policy in found if policy.warm}
    trained = [policy for policy in (found if of_seed else others) if not policy.warm]
    return {policy.name: of_seed.get(policy.seed, first.name) for policy in trained}


def unfinished(folder: Path) -> list[Path]:
    """The folders of warm starts, arms and seeds in a run directory that have no evaluation yet,
    or aren't even there."""
    plan = _json(folder / "config.json")
    arms = [folder / "arms" / folder_name(str(arm.get("name"))) for arm in plan.get("arms", [])]
    planned = [arm / f"seed_{seed}" for arm in arms for seed in plan.get("seeds", [])]
    begun = [path for place in _PLACES for path in sorted(folder.glob(place))]
    return [p for p in dict.fromkeys([*planned, *begun]) if not (p / EVALUATION).exists()]


def _policies(folder: Path) -> list[_Policy]:
    places = [folder, *(path for place in ("seed_*", *_PLACES) for path in folder.glob(place))]
    found = [path / EVALUATION for path in places if (path / EVALUATION).exists()]
    if not found:
        inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise LogError(
            f"{folder} is a folder, but no run of pkpo with an {EVALUATION}; give files, or a "
            f"pattern such as '{folder}/*.jsonl'. In it: {inside}"
        )
    if len(found) == 1:
        return [_Policy(found[0])]
    order = [arm.get("name") for arm in _json(folder / "config.json").get("arms", [])]
    arms = list(map(_arm_and_seed, found))
    arms.sort(key=lambda one: (order.index(one.name) if one.name in order else -1, one.seed))
    several = len({one.seed for one in arms}) > 1
    return [replace(one, name=f"{one.name} seed {one.seed}") for one in arms] if several else arms


def _arm_and_seed(path: Path) -> _Policy:
    """By the name of its arm, or "base" for a warm start."""
    folder = path.parent
    warm = folder.parent.name == "warm_start"
    name = "base" if warm else _json(folder / "arm.json").get("name", folder.parent.name)
    digits = folder.name.removeprefix("seed_")
    return _Policy(path, int(digits) if digits.isdecimal() else 0, warm, str(name))


def file_in(folder: Path) -> Path:
    """The evaluation.json of a folder that holds one policy; raises LogError for any other."""
    found = policies(folder)
    if len(found) > 1:
        listed = ", ".join(str(path.parent) for path in found.values())
        raise LogError(f"{folder} holds several policies; choose the folder of one: {listed}")
    return next(iter(found.values()))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError as error:
        raise LogError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise LogError(f"{path} is damaged: it holds no JSON object")
    return found
