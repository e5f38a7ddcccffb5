"""Writes a report next to the run it describes."""

from __future__ import annotations

from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.report.completions import sample_completions
from pkpo.report.figures import draw_figures
from pkpo.report.html import render_page
from pkpo.report.load import read_run
from pkpo.report.records import Run
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_csv, to_markdown
from pkpo.terminal import visible


def write_report(run_dir: str | Path) -> Path:
    """Writes figures/*.png, summary.md, summary.csv and report.html into a run directory.

    Works on unfinished and on partly damaged runs: the report then says what is missing. Each
    file is replaced as a whole, the page last, so a reader never sees half a file.

    Args:
        run_dir: the run directory.

    Returns:
        The path of report.html.

    Raises:
        RunDirectoryError: there is no such run, or files of it are damaged; the report of the
            rest is written before that is said.
    """
    report, damage = report_on(read_run(run_dir))
    if damage:
        raise RunDirectoryError(f"{'; '.join(damage)}. The report of the rest is {report}")
    return report


def report_on(run: Run) -> tuple[Path, tuple[str, ...]]:
    """Writes what `write_report` does; returns the page's path, and what of the run, its
    completions included, is damaged."""
    summary = summarise(run)
    samples, sample_notes, damage = sample_completions(run)
    notes = (*run.notes, *sample_notes)
    pictures = draw_figures(run)
    page = render_page(run, summary, pictures, samples, notes)

    markdown = to_markdown(summary)
    if notes:
        markdown += "\n## Missing\n\n" + "".join(f"- {note}\n" for note in notes)
    report = run.path / "report.html"
    files = {run.path / "figures" / picture.filename: picture.png for picture in pictures}
    files[run.path / "summary.md"] = visible(markdown).encode("utf-8")
    files[run.path / "summary.csv"] = to_csv(summary).encode("utf-8")
    files[report] = page.encode("utf-8")
    for path, content in files.items():
        write_atomically(path, content)
    return report, (*run.damage, *damage)
