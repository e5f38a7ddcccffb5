"""All figures of a report, with the captions that explain them."""

from __future__ import annotations

from dataclasses import dataclass

from pkpo.report.figure_curves import curves_figure, smoothing_window
from pkpo.report.figure_pass_at_k import pass_at_k_figure
from pkpo.report.figure_problems import problems_figure
from pkpo.report.records import Run
from pkpo.report.style import to_png


@dataclass(frozen=True)
class Picture:
    """A figure ready to write.

    Args:
        filename: name of the PNG file.
        title: heading in the report.
        caption: how to read the figure.
        alt: what a reader is told who cannot see it.
        png: the file's content.
    """

    filename: str
    title: str
    caption: str
    alt: str
    png: bytes


def draw_figures(run: Run) -> tuple[Picture, ...]:
    """Draws every figure of the report of `run`."""
    several = len(run.seeds) > 1
    band = " Thick: mean over seeds, band: ± 1 standard error, thin: single seeds."
    window = smoothing_window(run)
    return (
        Picture(
            filename="pass_at_k.png",
            title="Does training help one try, or many?",
            caption="The left end of each line is the chance that a single sample is right, the "
            "right end the chance that at least one of many is; below zero in the right panel, "
            "training made things worse for that k." + (band if several else ""),
            alt="pass@k against k for the base and each arm, and the change from the base.",
            png=to_png(pass_at_k_figure(run)),
        ),
        Picture(
            filename="curves.png",
            title="Over the course of training",
            caption=f"Lines show the training batches, averaged over {window} steps, hollow "
            "markers the evaluations during training, and dotted verticals the steps where the "
            "objective of an arm changes. A prompt has a signal where its samples got advantages "
            "other than zero.",
            alt="pass@1, pass@k, entropy, cumulative solve rate and signal fraction by step.",
            png=to_png(curves_figure(run)),
        ),
        Picture(
            filename="problems_solved.png",
            title="Which problems came within reach, and which were lost",
            caption=f"Each dot is one problem{' with one seed' if several else ''}: coloured "
            "dots at the lower right are problems that the base could solve in a few tries and "
            "that the trained policy mostly cannot any more, at the upper left the reverse, and "
            "dots above the dashed line got easier"
            + ("; the counts are means over seeds. " if several else ". ")
            + "The last panel shows which share of the problems each policy solves with at "
            "least a given chance per sample.",
            alt="Solve probability of each problem before and after training, one panel an arm.",
            png=to_png(problems_figure(run)),
        ),
    )
