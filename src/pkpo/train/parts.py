"""The parts of a job: warm starts, then every arm with every seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkpo.execution.pool import Failure, Item
from pkpo.report.load import read_run
from pkpo.report.run_files import ArmFiles
from pkpo.train.config import ArmSettings
from pkpo.train.engine import engine_of
from pkpo.train.run_directory import RunDirectory


@dataclass(frozen=True)
class Part:
    """The warm start of a seed, or one arm with one seed; `done`: nothing is left to do."""

    run: RunDirectory[Any]
    item: Item
    done: bool
    seed: int
    arm: ArmSettings | None = None

    @property
    def name(self) -> str:
        return self.item.name


def parts_of(
    run: RunDirectory[Any],
    cache: Path,
    *,
    prefix: str = "",
    after: Callable[[int], tuple[str, ...]] = lambda seed: (),
) -> list[Part]:
    """All parts of a run, done or not, in the order in which they are best begun.

    Args:
        run: the directory.
        cache: where warm starts are kept between jobs.
        prefix: put before the parts' names.
        after: by seed, items that its warm start waits for.
    """
    engine = engine_of(run.config)
    # Items may run where another folder is the current one.
    there, cache = RunDirectory(run.path.resolve(), run.config), cache.resolve()
    parts: list[Part] = []
    needs: dict[int, tuple[str, ...]] = {}
    for seed in run.config.seeds:
        if engine.make_warm_start is None:
            continue
        item = Item(
            f"{prefix}warm start of seed {seed}",
            engine.make_warm_start,
            (there, seed, cache),
            after=after(seed),
            failure_file=ArmFiles(run.warm_start(seed)).failure,
        )
        needs[seed] = (item.name,)
        parts.append(Part(run, item, run.has_warm_start(seed), seed))
    for seed in run.config.seeds:
        for arm in run.config.arms:
            directory = run.arm(arm, seed)
            item = Item(
                f"{prefix}{run.name_of(arm, seed)}",
                engine.train_arm,
                (there, arm, seed),
                needs=needs.get(seed, ()),
                failure_file=directory.failure,
            )
            parts.append(Part(run, item, directory.finished, seed, arm))
    return parts


def damaged(parts: Iterable[Part]) -> dict[str, Failure]:
    """By name, the arms that can't be read in their run directories, with the reason."""
    runs = {part.run.path: read_run(part.run.path) for part in parts}
    found = {}
    for part in parts:
        if part.arm is not None:
            run = runs[part.run.path]
            reason = run.failure(part.arm.name, part.seed)
            if reason in run.damage:
                found[part.name] = Failure(reason)
    return found
