"""The results of a sweep, finished or not, ranked by validation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pkpo.errors import RunDirectoryError
from pkpo.report.jsonio import Record, read_bytes, read_json, setting
from pkpo.report.load import first_line, read_run
from pkpo.report.records import ArmRun
from pkpo.report.run_files import ArmFiles, RunFiles
from pkpo.report.statistics import Estimate, estimate

CELLS = "cells.json"
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class SeedResult:
    """One arm with one seed in one cell, "done", "failed", "unfinished" or "not started"; pass@k
    by split and k once it is done."""

    seed: int
    status: str
    pass_at_k: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    reason: str = ""  # of a failure, in one line


@dataclass(frozen=True)
class ArmResult:
    """One arm in one cell, over its planned seeds.

    Args:
        cell, label: the cell's folder name, and the cell in words.
        settings: the varied settings by path.
        score: what validation ranks by: the mean over seeds of pass@select_k, or of the
            mean over all k; None before any seed has finished.
        rank: among the cells of the same arm, 1 the best; None without a score.
    """

    cell: str
    settings: Mapping[str, Any]
    label: str
    arm: str
    seeds: tuple[SeedResult, ...]
    score: Estimate | None = None
    rank: int | None = None

    @property
    def finished(self) -> tuple[SeedResult, ...]:
        return tuple(seed for seed in self.seeds if seed.status == "done")

    @property
    def setting_texts(self) -> list[str]:
        """The values of the varied settings, in their order."""
        return list(map(text_of, self.settings.values()))

    @property
    def problem(self) -> str:
        """What is missing, or nothing."""
        counts: dict[str, list[int]] = {}
        for seed in self.seeds:
            if seed.status != "done":
                text = f"failed: {seed.reason}" if seed.status == "failed" else seed.status
                counts.setdefault(text, []).append(seed.seed)
        several = len(self.seeds) > 1
        return "; ".join(
            f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} {text}" if several else text
            for text, seeds in counts.items()
        )

    def pass_at_k(self, split: str, k: int) -> Estimate | None:
        """Over the finished seeds."""
        return estimate(seed.pass_at_k.get(split, {}).get(k) for seed in self.finished)


@dataclass(frozen=True)
class SweepResults:
    """Everything in the tables.

    Args:
        paths: of the varied settings.
        ks: every k that was measured, in increasing order.
        score_name: what validation ranks by, in words.
        rows: cell by cell, arm by arm.
        damage: what can't be read, one sentence each, with the file.
    """

    title: str
    paths: tuple[str, ...]
    ks: tuple[int, ...]
    score_name: str
    rows: tuple[ArmResult, ...]
    damage: tuple[str, ...] = ()

    @property
    def short_names(self) -> list[str]:
        return short_names(self.paths)

    def ranked(self) -> list[ArmResult]:
        """Arm by arm, the best of each first and what has no score last."""
        arms = list(dict.fromkeys(row.arm for row in self.rows))
        return sorted(
            self.rows, key=lambda row: (arms.index(row.arm), row.rank is None, row.rank or 0)
        )


def short_names(paths: Sequence[str]) -> list[str]:
    """The last parts of the paths where they tell the settings apart."""
    last = [path.rpartition(".")[2] for path in paths]
    return [leaf if last.count(leaf) == 1 else path for path, leaf in zip(paths, last)]


def text_of(value: Any) -> str:
    """A setting's value as people write it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Reading


class _Cell(Record):
    cell: str
    name: str
    settings: dict[str, Any]
    arms: dict[str, Any]


def load_sweep(path: str | Path) -> SweepResults:
    """Reads the results of all cells; arms that can't be read count as failed.

    Raises:
        RunDirectoryError: this is no sweep, or its cells.json or the config.json of a cell
            can't be read; names the file.
    """
    root = Path(path)
    cells = _cells(root / CELLS)
    rows: list[ArmResult] = []
    damage: list[str] = []
    for cell in cells:
        files = RunFiles(root / "cells" / cell.cell)
        if files.config_file.exists():
            run = read_run(files.path)
            damage += run.damage
            for arm in cell.arms:
                runs = {r.seed: r for found in run.arms if found.name == arm for r in found.runs}
                seeds = tuple(_seed_result(files, seed, runs.get(seed)) for seed in run.seeds)
                rows.append(ArmResult(cell.cell, cell.settings, cell.name, arm, seeds))
    measured = [set(seed.pass_at_k["validation"]) for row in rows for seed in row.finished]
    select_k = _select_k(root)
    used = [select_k] if select_k else sorted(set.intersection(*measured)) if measured else []
    return SweepResults(
        title=root.resolve().name,
        paths=tuple(cells[0].settings) if cells else (),
        ks=tuple(sorted(set().union(*measured))),
        score_name=f"pass@{select_k}" if select_k else "pass@k, mean over k",
        rows=tuple(_with_ranks(rows, used)),
        damage=tuple(damage),
    )


def _cells(path: Path) -> list[_Cell]:
    if not path.exists():
        raise RunDirectoryError(f"{path.parent} is no sweep: it has no {CELLS}")
    try:
        cells = TypeAdapter(list[_Cell]).validate_json(read_bytes(path))
    except ValidationError as error:
        raise RunDirectoryError(f"{path} holds no list of cells: {error}") from error
    if len({tuple(cell.settings) for cell in cells}) > 1:
        raise RunDirectoryError(f"{path} holds cells of different settings")
    return cells


def _select_k(root: Path) -> int | None:
    """The k that the settings rank by, where all cells agree."""
    configs = map(read_json, sorted(root.glob("cells/*/config.json")))
    found = {setting(config, "evaluation.select_k") for config in configs}
    return found.pop() if len(found) == 1 else None


def _seed_result(files: RunFiles, seed: int, found: ArmRun | None) -> SeedResult:
    if found is not None and found.evaluation is not None:
        at_end = {found.evaluation.split: found.evaluation.pass_at_k}
        last = found.checkpoints[-1].pass_at_k
        return SeedResult(seed, "done", at_end | {"validation": last})
    warm = first_line(ArmFiles(files.warm_start(seed)).failure)
    own = "" if found is None else found.failure
    if own or warm:
        return SeedResult(seed, "failed", reason=own or f"warm start: {warm}")
    return SeedResult(seed, "not started" if found is None else "unfinished")


def _with_ranks(rows: Sequence[ArmResult], ks: Sequence[int]) -> list[ArmResult]:
    scored = [replace(row, score=_score(row, ks)) for row in rows]
    means: dict[str, list[float]] = {}
    for row in scored:
        means.setdefault(row.arm, []).extend([row.score.mean] if row.score else [])
    ranks = [
        1 + sum(mean > row.score.mean for mean in means[row.arm]) if row.score else None
        for row in scored
    ]
    return [replace(row, rank=rank) for row, rank in zip(scored, ranks)]


def _score(row: ArmResult, ks: Sequence[int]) -> Estimate | None:
    values = [seed.pass_at_k["validation"] for seed in row.finished]
    return estimate(sum(value[k] for k in ks) / len(ks) for value in values) if ks else None
