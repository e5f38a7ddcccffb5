"""Reports on evaluations and comparisons of logs: pictures and one self-contained page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pkpo.evaluate.comparison import (
    Comparison,
    difference_tables,
    how_to_read,
    moved_tables,
    verdicts,
)
from pkpo.evaluate.evaluation import WHAT_THE_INTERVALS_ARE, Evaluation, evaluation_table
from pkpo.evaluate.extrapolate import Extrapolation
from pkpo.evaluate.read_result import solved_lines
from pkpo.evaluate.samples import Measured, SolveProbabilities
from pkpo.files import write_whole
from pkpo.report.evaluation_figures import (
    differences_figure,
    pass_at_k_figure,
    runs_figure,
    solve_rates_figure,
)
from pkpo.report.page import Picture, figure, finding, listed, page
from pkpo.report.style import to_png
from pkpo.tables import Table

MOST_PROBLEMS = 1000
"""Problems that the page lists."""

_PICTURES = ("differences", "pass_at_k", "solve_rates")


def picture_files(folder: Path) -> list[Path]:
    """All that the reports may write into a folder of pictures."""
    return [folder / f"{name}.{kind}" for name in _PICTURES for kind in ("png", "svg")]


def write_evaluation_report(
    evaluation: Evaluation,
    samples: Measured,
    *,
    lines: Sequence[str] = (),
    modelled: Sequence[Extrapolation] = (),
    command: str = "",
    page: Path | None = None,
    folder: Path | None = None,
) -> list[Path]:
    """Writes the pictures of an evaluation, and a page with them.

    Args:
        evaluation: the values.
        samples: what they are from.
        lines: what was read and left out, one sentence each.
        modelled: extrapolations to show apart.
        command: that made it, to be shown.
        page: the HTML file to write, if any.
        folder: where to write each picture as PNG and SVG, if anywhere.

    Returns:
        The files written.

    Raises:
        OSError: a file can't be written.
    """
    percent = f"{100 * evaluation.confidence:g} %"
    drawn = [
        _drawn(
            "pass_at_k",
            pass_at_k_figure(evaluation),
            "Over the number of tries",
            f"The dark band is the {percent} interval for these very problems, the light one for "
            "problems like these. Triangles are bounds, where no interval can be given.",
            "pass@k against k, with intervals.",
            folder=folder,
        ),
        _drawn_solve_rates({samples.source: samples}, folder),
    ]
    sections = [
        _title(f"pass@k of {Path(samples.source).name or 'samples'}") + listed(lines, "notes"),
        evaluation_table(evaluation).to_html(),
        listed(WHAT_THE_INTERVALS_ARE, "notes"),
        *(one.table().to_html() for one in modelled),
        *(figure(one) for one in drawn),
        _problems({"": samples}),
        _command(command),
    ]
    return _write(drawn, f"pass@k of {samples.source}", sections, page, folder)


def write_comparison_report(
    comparison: Comparison,
    runs: Mapping[str, Measured],
    *,
    lines: Sequence[str] = (),
    command: str = "",
    page: Path | None = None,
    folder: Path | None = None,
) -> list[Path]:
    """Writes the pictures of a comparison, and a page with them.

    Args:
        comparison: the differences.
        runs: the samples of each run by name.
        lines, command, page, folder: as for `write_evaluation_report`.

    Returns:
        The files written.

    Raises:
        OSError: a file can't be written.
    """
    order = dict.fromkeys((*comparison.baselines.values(), *comparison.runs))
    runs = {name: runs[name] for name in order}
    against = comparison.baseline or "its baseline"
    percent = f"{100 * comparison.confidence:g} %"
    drawn = [
        _drawn(
            "differences",
            differences_figure(comparison),
            "Which run is better, and from which k on",
            f"Each run minus {against}, on the same problems. Thick: the {percent} "
            "interval by itself; thin: the one that holds together with all others; filled "
            "markers: the thin one excludes 0.",
            "Difference of each run from the baseline against k, with intervals.",
            folder=folder,
        ),
        _drawn(
            "pass_at_k",
            runs_figure(comparison),
            "Over the number of tries",
            "Without bands, since the runs share problems: whether two of them differ is what "
            "the differences show.",
            "pass@k of every run against k.",
            folder=folder,
        ),
        _drawn_solve_rates(runs, folder),
    ]
    names = f"{', '.join(comparison.runs)} against {against}"
    solved = solved_lines(runs, comparison.baselines)
    sections = [
        _title(names) + "".join(map(finding, verdicts(comparison))),
        *(table.to_html() for table in difference_tables(comparison)),
        listed([how_to_read(comparison), *WHAT_THE_INTERVALS_ARE], "notes"),
        *(figure(one) for one in drawn[:2]),
        "<h2>Problems gained and lost</h2>",
        listed(solved, "notes") if solved else "",
        *(table.to_html() for table in moved_tables(comparison)),
        figure(drawn[2]),
        _problems(runs),
        "<h2>What was read</h2>",
        listed([line.strip() for line in lines], "notes"),
        _command(command),
    ]
    return _write(drawn, names, sections, page, folder)


def _drawn_solve_rates(runs: Mapping[str, Measured], folder: Path | None) -> Picture:
    several = len(runs) > 1
    return _drawn(
        "solve_rates",
        solve_rates_figure(runs),
        "Problem by problem",
        "How many problems have which share of their samples right (which mean reward, where "
        "rewards aren't 0 and 1).",
        f"Histogram{'s' * several} of the problems' solve rates{', one a run' * several}.",
        folder=folder,
    )


def _drawn(
    name: str, drawing: Figure, title: str, caption: str, alt: str, *, folder: Path | None
) -> Picture:
    svg = _to_svg(drawing) if folder else b""
    return Picture(f"{name}.png", title, caption, alt, to_png(drawing), svg)


def _to_svg(drawing: Figure) -> bytes:
    """The figure as SVG; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "pkpo"}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _title(text: str) -> str:
    return f"<h1>{escape(text)}</h1>\n"


def _problems(runs: Mapping[str, Measured]) -> str:
    """Every problem's mean reward and number of samples, hardest first in the first run."""
    first = next(iter(runs.values()))
    sizes = [
        ["exact"] * len(s.problems) if isinstance(s, SolveProbabilities) else s.sizes_P
        for s in runs.values()
    ]
    means = [dict(zip(s.problems, zip(s.mean_rewards_P, n))) for s, n in zip(runs.values(), sizes)]
    order = np.argsort(first.mean_rewards_P, kind="stable")
    what = "solve rate" if all(s.binary for s in runs.values()) else "mean reward"
    headers = ["problem"]
    for name in runs:
        headers += [f"{name} {what}".strip(), "n"]
    rows = []
    for place in order[:MOST_PROBLEMS]:
        problem = first.problems[place]
        cells = [problem]
        for found in means:
            mean, size = found.get(problem, (None, None))
            cells += ["–", "–"] if mean is None else [f"{mean:.3g}", str(size)]
        rows.append(tuple(cells))
    table = Table(tuple(headers), tuple(rows)).to_html()
    more = len(order) - len(rows)
    cut = f"<p>{more:,} easier problems aren't listed.</p>" if more > 0 else ""
    return f"<details><summary>Every problem, hardest first</summary>\n{table}{cut}</details>"


def _command(command: str) -> str:
    return f"<h2>Command</h2>\n<pre>{escape(command)}</pre>" if command else ""


def _write(
    drawn: Sequence[Picture],
    title: str,
    sections: Sequence[str],
    path: Path | None,
    folder: Path | None,
) -> list[Path]:
    files: dict[Path, bytes] = {}
    if folder is not None:
        for one in drawn:
            target = folder / one.filename
            files |= {target: one.png, target.with_suffix(".svg"): one.svg}
    if path is not None:
        files[path] = page(title, sections).encode("utf-8")
    for target, content in files.items():
        write_whole(target, content)
    return list(files)
