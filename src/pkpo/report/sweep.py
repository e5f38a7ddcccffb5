"""The tables and the figure of a sweep, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table as RichTable

from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.report.statistics import Estimate
from pkpo.report.style import (
    arm_handle,
    arm_style,
    legend_above,
    literal,
    new_figure,
    percent_axis,
    say_empty,
    style_axes,
    to_png,
)
from pkpo.report.summary import ABSENT, format_estimate, means_and_errors, without_absent_error
from pkpo.report.sweep_load import SPLITS, ArmResult, SweepResults, load_sweep
from pkpo.tables import Table, bullets, rows_to_csv

_HOW_TO_READ = (
    "Ranks are those of validation alone, within each arm. They were found on the seeds of this "
    "sweep, so a setting that is picked here is to be reported with other seeds."
)

_SPREAD = 0.5
_INCHES_PER_LETTER, _NARROWEST, _WIDEST = 0.085, 2.4, 12.0
_WIDE = 4.0
"""Panels wider than this stand below one another."""


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
    files = {
        "results.csv": results_csv(results).encode("utf-8"),
        "summary.csv": summary_csv(results).encode("utf-8"),
        "sweep.png": to_png(sweep_figure(results)),
        "summary.md": to_markdown(results).encode("utf-8"),
    }
    for name, content in files.items():
        write_atomically(Path(path) / name, content)
    return Path(path) / "summary.md"


def results_csv(results: SweepResults) -> str:
    """One row a cell, arm, seed, split and k, for finished seeds; rates as fractions of 1."""
    rows = (
        [row.cell, *row.setting_texts, row.arm, seed.seed, split, k, value]
        for row in results.rows
        for seed in row.finished
        for split in SPLITS
        for k, value in seed.pass_at_k.get(split, {}).items()
    )
    header = ["cell", *results.paths, "arm", "seed", "split", "k", "pass_at_k"]
    return rows_to_csv(header, rows)


def summary_csv(results: SweepResults) -> str:
    """One row a cell and arm: means and standard errors over seeds, and what is missing."""
    columns = [(split, k) for split in SPLITS for k in results.ks]
    names = [f"{split}_pass@{k}_{part}" for split, k in columns for part in ("mean", "se")]
    header = ["cell", *results.paths, "arm", "seeds", "planned_seeds", "rank", *names, "missing"]
    rows = (
        [
            *(row.cell, *row.setting_texts, row.arm, len(row.finished), len(row.seeds), row.rank),
            *means_and_errors(row.pass_at_k(split, k) for split, k in columns),
            row.problem,
        ]
        for row in results.rows
    )
    return rows_to_csv(header, rows)


def _table(
    results: SweepResults, rows: Sequence[ArmResult], split: str, ks: Sequence[int]
) -> Table:
    """Of these rows; on validation with the score that they are ranked by."""
    ranked = split == "validation"
    score = [f"{results.score_name} %"] if ranked else []
    return Table(
        ("arm", *results.short_names, "seeds", *score, *(f"pass@{k} %" for k in ks)),
        tuple(
            (
                *(row.arm, *row.setting_texts, _seeds(row)),
                *([_percent(row.score)] if ranked else []),
                *(_percent(row.pass_at_k(split, k)) for k in ks),
            )
            for row in rows
        ),
    )


def to_markdown(results: SweepResults) -> str:
    """The ranking by validation, then the test split, with what is missing."""
    ranked = results.ranked()
    ranking = _table(results, ranked, "validation", results.ks)
    ranking = replace(
        ranking,
        headers=("arm", "rank", *ranking.headers[1:]),
        rows=tuple(
            (arm, ABSENT if row.rank is None else str(row.rank), *rest)
            for row, (arm, *rest) in zip(ranked, ranking.rows)
        ),
        bold=frozenset((i, 1) for i, row in enumerate(ranked) if row.rank == 1),
    )
    parts = [f"# Sweep {results.title}", f"{_HOW_TO_READ} Mean ± standard error over seeds."]
    parts += ["## Validation", ranking.to_markdown(), "![pass@k by setting](sweep.png)"]
    finished = [seed for row in results.rows for seed in row.finished]
    if not finished or any("test" in seed.pass_at_k for seed in finished):
        test = _table(results, results.rows, "test", results.ks)
        parts += ["## Test, in the order of the grid", test.to_markdown()]
    missing = [f"{row.label}, {row.arm}: {row.problem}" for row in results.rows if row.problem]
    if missing:
        parts += ["## Missing", bullets(missing)]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_rich(results: SweepResults) -> RichTable:
    """The ranking by validation, for a terminal."""
    ks, ranked = list(dict.fromkeys((*results.ks[:1], *results.ks[-1:]))), results.ranked()
    styles = [
        "bold" if row.rank == 1 else "red" if "failed" in row.problem else "" for row in ranked
    ]
    return _table(results, ranked, "validation", ks).to_rich(
        style=lambda i, j: styles[i],
        title="Validation, best setting of each arm first",
        caption=_HOW_TO_READ,
        padding=(0, 1, 0, 0),
    )


def _seeds(row: ArmResult) -> str:
    text = f"{len(row.finished)}/{len(row.seeds)}"
    return f"{text} failed" if any(seed.status == "failed" for seed in row.seeds) else text


def _percent(value: Estimate | None) -> str:
    return without_absent_error(format_estimate(value, percent=True))


def sweep_figure(results: SweepResults) -> Figure:
    """Validation pass@k at the least, a middle and the largest k, one panel each.

    Cells stand side by side in the order of the grid, arms beside one another in each; bars
    are one standard error over seeds.
    """
    labels = list(dict.fromkeys(row.label for row in results.rows))
    ticks = {row.label: row.setting_texts for row in results.rows}
    ks = sorted({results.ks[i] for i in (0, len(results.ks) // 2, -1)} if results.ks else ())
    letters = sum(2 + max((len(text) for text in texts), default=0) for texts in ticks.values())
    panel = min(_WIDEST, max(_NARROWEST, _INCHES_PER_LETTER * letters))
    number, wide = max(1, len(ks)), panel > _WIDE
    size = (1.2 + panel, 1.0 + 2.6 * number) if wide else (1.2 + number * (0.8 + panel), 4.2)
    figure = new_figure(*size)
    arms = list(dict.fromkeys(row.arm for row in results.rows))
    panels = figure.subplots(*((number, 1) if wide else (1, number)), squeeze=False).flatten()
    for axes, k in zip(panels, ks):
        style_axes(axes, f"pass@{k}, validation", ", ".join(results.short_names))
        for index, arm in enumerate(arms):
            offset = _SPREAD * ((index + 0.5) / len(arms) - 0.5)
            _draw(axes, [row for row in results.rows if row.arm == arm], labels, k, index, offset)
        crowded = _INCHES_PER_LETTER * letters > panel
        axes.set_xticks(
            range(len(labels)),
            [literal((", " if crowded else "\n").join(ticks[label])) for label in labels],
            rotation=90 if crowded else 0,
        )
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(0.0, 1.06 * axes.get_ylim()[1])
        percent_axis(axes.yaxis, ".3g")
    if not ks:
        style_axes(panels[0], "pass@k, validation")
        say_empty(panels[0], "no run has finished yet")
    legend_above(figure, [arm_handle(index, arm) for index, arm in enumerate(arms)])
    return figure


def _draw(
    axes: Axes, rows: list[ArmResult], labels: list[str], k: int, index: int, offset: float
) -> None:
    found = [(row.label, value) for row in rows if (value := row.pass_at_k("validation", k))]
    style = arm_style(index)
    axes.errorbar(
        [labels.index(label) + offset for label, _ in found],
        [value.mean for _, value in found],
        yerr=np.array([value.standard_error or 0.0 for _, value in found]),
        fmt=style.marker,
        color=style.color,
        markersize=6,
        elinewidth=1.6,
        capsize=3,
    )
