"""Reads the results of a sweep's cells, finished or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkpo.errors import RunDirectoryError
from pkpo.report.jsonio import read_bytes, read_json
from pkpo.report.load import read_run
from pkpo.report.load_arms import first_line
from pkpo.report.records import ArmRun, Run
from pkpo.report.statistics import Estimate, estimate

CELLS = "cells.json"


@dataclass(frozen=True)
class SeedResult:
    """One arm with one seed in one cell.

    Args:
        seed: of the run.
        pass_at_k: by split, then k; without entries while unfinished.
        status: "done", "failed", "unfinished" or "not started".
        reason: of a failure, in one line.
    """

    seed: int
    pass_at_k: Mapping[str, Mapping[int, float]]
    status: str
    reason: str = ""


@dataclass(frozen=True)
class ArmResult:
    """One arm in one cell, over its seeds.

    Args:
        cell: the cell's folder name.
        settings: the varied settings by path.
        label: the cell in words.
        arm: name of the arm.
        seeds: one result for each planned seed.
        score: what validation ranks by: the mean over seeds of pass@select_k, or of the
            mean over all k; None before any seed has finished.
        rank: among the cells of the same arm, 1 the best; None without a score.
    """

    cell: str
    settings: Mapping[str, Any]
    label: str
    arm: str
    seeds: tuple[SeedResult, ...]
    score: Estimate | None
    rank: int | None

    @property
    def finished(self) -> tuple[SeedResult, ...]:
        return tuple(seed for seed in self.seeds if seed.status == "done")

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
        return estimate(seed.pass_at_k[split].get(k) for seed in self.finished)


@dataclass(frozen=True)
class SweepResults:
    """Everything in the tables.

    Args:
        title: the sweep's folder name.
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

    def ranked(self) -> list[ArmResult]:
        """Arm by arm, the best of each first and what has no score last."""
        arms = list(dict.fromkeys(row.arm for row in self.rows))
        return sorted(
            self.rows, key=lambda row: (arms.index(row.arm), row.rank is None, row.rank or 0)
        )


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
        folder = root / "cells" / cell["cell"]
        if (folder / "config.json").exists():
            run = read_run(folder)
            rows += _cell_rows(folder, run, cell)
            damage += run.damage
    ks = sorted({k for row in rows for s in row.finished for k in s.pass_at_k["validation"]})
    select_k = _select_k(root)
    common = [set(s.pass_at_k["validation"]) for row in rows for s in row.finished]
    used = [select_k] if select_k else sorted(set.intersection(*common)) if common else []
    return SweepResults(
        title=root.resolve().name,
        paths=tuple(cells[0]["settings"]) if cells else (),
        ks=tuple(ks),
        score_name=f"pass@{select_k}" if select_k else "pass@k, mean over k",
        rows=tuple(_with_ranks(rows, used)),
        damage=tuple(damage),
    )


def short_names(paths: Sequence[str]) -> list[str]:
    """Last parts where they tell the settings apart."""
    last = [path.rpartition(".")[2] for path in paths]
    return [leaf if last.count(leaf) == 1 else path for path, leaf in zip(paths, last)]


def setting_texts(results: SweepResults, row: ArmResult) -> list[str]:
    """The values of the varied settings, in the order of `results.paths`."""
    values = [row.settings[path] for path in results.paths]
    return [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]


def _cells(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise RunDirectoryError(f"{path.parent} is no sweep: it has no {CELLS}")
    try:
        cells = json.loads(read_bytes(path))
        for cell in cells:
            kinds = {"cell": str, "name": str, "settings": dict, "arms": dict}
            if not all(isinstance(cell[key], kind) for key, kind in kinds.items()):
                raise TypeError(cell)
    except (ValueError, TypeError, KeyError) as error:
        raise RunDirectoryError(f"{path} holds no list of cells: {error!r}") from error
    return cells


def _select_k(root: Path) -> int | None:
    """The k that the settings rank by, where all cells agree."""
    found = set()
    for path in sorted(root.glob("cells/*/config.json")):
        evaluation = read_json(path).values.get("evaluation")
        k = evaluation.get("select_k") if isinstance(evaluation, dict) else None
        found.add(k if isinstance(k, int) else None)
    return found.pop() if len(found) == 1 else None


def _cell_rows(folder: Path, run: Run, cell: Mapping[str, Any]) -> list[ArmResult]:
    rows = []
    for arm in cell["arms"]:
        runs = {r.seed: r for found in run.arms if found.name == arm for r in found.runs}
        seeds = tuple(_seed_result(folder, seed, runs.get(seed)) for seed in run.seeds)
        rows.append(ArmResult(cell["cell"], cell["settings"], cell["name"], arm, seeds, None, None))
    return rows


def _seed_result(folder: Path, seed: int, found: ArmRun | None) -> SeedResult:
    if found is not None and found.evaluation is not None:
        values = {
            "validation": found.checkpoints[-1].pass_at_k,
            "test": found.evaluation.pass_at_k,
        }
        return SeedResult(seed, values, "done")
    warm = first_line(folder / "warm_start" / f"seed_{seed}" / "failure.txt")
    own = "" if found is None else found.failure
    if own or warm:
        return SeedResult(seed, {}, "failed", own or f"warm start: {warm}")
    return SeedResult(seed, {}, "not started" if found is None else "unfinished")


def _with_ranks(rows: Sequence[ArmResult], ks: Sequence[int]) -> list[ArmResult]:
    scored = [replace(row, score=_score(row, ks)) for row in rows]
    ranked = []
    for row in scored:
        own = row.score
        rivals = [other.score for other in scored if other.arm == row.arm and other.score]
        rank = 1 + sum(other.mean > own.mean for other in rivals) if own else None
        ranked.append(replace(row, rank=rank))
    return ranked


def _score(row: ArmResult, ks: Sequence[int]) -> Estimate | None:
    values = [seed.pass_at_k["validation"] for seed in row.finished]
    return estimate(sum(value[k] for k in ks) / len(ks) for value in values) if ks else None
