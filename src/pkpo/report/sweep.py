"""The tables of a sweep, finished or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.report.statistics import Estimate
from pkpo.report.style import to_png
from pkpo.report.summary import ABSENT, format_estimate
from pkpo.report.sweep_figure import sweep_figure
from pkpo.report.sweep_load import (
    ArmResult,
    SweepResults,
    load_sweep,
    setting_texts,
    short_names,
)
from pkpo.tables import Table, bullets, rows_to_csv

SPLITS = ("validation", "test")
_HOW_TO_READ = (
    "Ranks are those of validation alone, within each arm. They were found on the seeds of this "
    "sweep, so a setting that is picked here is to be reported with other seeds."
)


def write_sweep_report(path: str | Path) -> Path:
    """Writes results.csv, summary.csv, sweep.png and summary.md into a sweep's folder.

    Works on unfinished sweeps: what is missing is then said.

    Returns:
        The path of summary.md.

    Raises:
        RunDirectoryError: as `load_sweep`, or files of the cells are damaged; the tables of the
            rest are written before that is said.
    """
    results = load_sweep(path)
    summary = report_on_sweep(path, results)
    if results.damage:
        raise RunDirectoryError(f"{'; '.join(results.damage)}. The rest is in {summary}")
    return summary


def report_on_sweep(path: str | Path, results: SweepResults) -> Path:
    """Writes what `write_sweep_report` does, damage or not."""
    root = Path(path)
    _write(root / "results.csv", results_csv(results).encode("utf-8"))
    _write(root / "summary.csv", summary_csv(results).encode("utf-8"))
    _write(root / "sweep.png", to_png(sweep_figure(results)))
    _write(root / "summary.md", to_markdown(results).encode("utf-8"))
    return root / "summary.md"


def results_csv(results: SweepResults) -> str:
    """One row a cell, arm, seed, split and k, for finished seeds; rates as fractions of 1."""
    header = ["cell", *results.paths, "arm", "seed", "split", "k", "pass_at_k"]
    return rows_to_csv(header, _tidy(results))


def _tidy(results: SweepResults) -> Iterator[list[Any]]:
    for row in results.rows:
        start = [row.cell, *setting_texts(results, row), row.arm]
        for seed in row.finished:
            for split in SPLITS:
                for k, value in seed.pass_at_k[split].items():
                    yield [*start, seed.seed, split, k, value]


def summary_csv(results: SweepResults) -> str:
    """One row a cell and arm: means and standard errors over seeds, and what is missing."""
    columns = [(split, k) for split in SPLITS for k in results.ks]
    names = [f"{split}_pass@{k}_{part}" for split, k in columns for part in ("mean", "se")]
    header = ["cell", *results.paths, "arm", "seeds", "planned_seeds", "rank", *names, "missing"]
    rows = []
    for row in results.rows:
        numbers: list[float | None] = []
        for split, k in columns:
            found = row.pass_at_k(split, k)
            numbers += [found.mean, found.standard_error] if found else [None, None]
        start = [row.cell, *setting_texts(results, row), row.arm, len(row.finished)]
        rows.append([*start, len(row.seeds), row.rank, *numbers, row.problem])
    return rows_to_csv(header, rows)


def to_markdown(results: SweepResults) -> str:
    """The ranking by validation, then the test split, with what is missing."""
    names = short_names(results.paths)
    ranked = results.ranked()
    scores = [f"pass@{k} %" for k in results.ks]
    ranking = Table(
        ("arm", "rank", *names, "seeds", f"{results.score_name} %", *scores),
        tuple(
            (
                row.arm,
                ABSENT if row.rank is None else str(row.rank),
                *setting_texts(results, row),
                _seeds(row),
                _percent(row.score),
                *(_percent(row.pass_at_k("validation", k)) for k in results.ks),
            )
            for row in ranked
        ),
        bold=frozenset((i, 1) for i, row in enumerate(ranked) if row.rank == 1),
    )
    test = Table(
        ("arm", *names, "seeds", *scores),
        tuple(
            (
                row.arm,
                *setting_texts(results, row),
                _seeds(row),
                *(_percent(row.pass_at_k("test", k)) for k in results.ks),
            )
            for row in results.rows
        ),
    )
    parts = [f"# Sweep {results.title}", f"{_HOW_TO_READ} Mean ± standard error over seeds."]
    parts += ["## Validation", ranking.to_markdown(), "![pass@k by setting](sweep.png)"]
    parts += ["## Test, in the order of the grid", test.to_markdown()]
    missing = [f"{row.label}, {row.arm}: {row.problem}" for row in results.rows if row.problem]
    if missing:
        parts += ["## Missing", bullets(missing)]
    return "\n\n".join(parts) + "\n"


def to_rich(results: SweepResults) -> RichTable:
    """The ranking by validation, for a terminal."""
    shown = list(dict.fromkeys((*results.ks[:1], *results.ks[-1:])))
    ranked = results.ranked()
    scores = (f"{results.score_name} %", *(f"pass@{k} %" for k in shown))
    table = Table(
        ("arm", *short_names(results.paths), "seeds", *scores),
        tuple(
            (
                row.arm,
                *setting_texts(results, row),
                _seeds(row),
                _percent(row.score),
                *(_percent(row.pass_at_k("validation", k)) for k in shown),
            )
            for row in ranked
        ),
        title="Validation, best setting of each arm first",
    )
    styles = ["bold" if r.rank == 1 else "red" if "failed" in r.problem else "" for r in ranked]
    return table.to_rich(style=lambda i, j: styles[i], caption=_HOW_TO_READ, padding=(0, 1, 0, 0))


def _seeds(row: ArmResult) -> str:
    text = f"{len(row.finished)}/{len(row.seeds)}"
    return f"{text} failed" if any(seed.status == "failed" for seed in row.seeds) else text


def _percent(value: Estimate | None) -> str:
    return format_estimate(value, scale=100).removesuffix(f" ± {ABSENT}")


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
