"""Pictures of evaluations show the numbers that the results hold."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from pkpo.evaluate import Samples, compare, evaluate
from pkpo.report.evaluation_figures import (
    differences_figure,
    pass_at_k_figure,
    runs_figure,
    solve_rates_figure,
)

KS = [1, 2, 4, 8]


def counts(seed: int, power: float, problems: int = 80, n: int = 8) -> Samples:
    rates = np.random.default_rng(11).random(problems) ** power
    return Samples.from_counts(n, np.random.default_rng(seed).binomial(n, rates), source="log")


def lines(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [
        (list(map(float, line.get_xdata())), list(map(float, line.get_ydata())))
        for line in axes.lines
    ]


def text(figure: Figure) -> str:
    """Titles, labels and legend."""
    parts = [legend_text.get_text() for legend in figure.legends for legend_text in legend.texts]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        parts += [t.get_text() for t in axes.texts]
    return " | ".join(parts)


def test_the_line_is_the_values_and_the_bands_are_the_intervals():
    evaluation = evaluate(counts(0, 1.0), KS)
    (axes,) = pass_at_k_figure(evaluation).axes
    assert lines(axes) == [(KS, [row.value for row in evaluation])]
    bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
    assert len(bands) == 2
    for band, part in zip(bands, ("population", "fixed")):
        (path,) = band.get_paths()
        corners = {(float(x), float(y)) for x, y in np.asarray(path.vertices)}
        for row in evaluation:
            interval = getattr(row, part)
            assert interval.given
            assert {(row.k, interval.lower), (row.k, interval.upper)} <= corners


def test_bounds_are_triangles_that_point_to_where_the_value_is():
    evaluation = evaluate(Samples.from_counts(8, [0] * 10), [1, 8])
    assert {row.fixed.kind for row in evaluation} == {"upper bound"}
    (axes,) = pass_at_k_figure(evaluation).axes
    marks = [line for line in axes.lines if line.get_marker() == "v"]
    found = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks}
    assert {(row.k, row.fixed.upper) for row in evaluation} <= found
    assert len(found) == 4
    evaluation = evaluate(Samples.from_counts(8, [8] * 10), [8])
    (axes,) = pass_at_k_figure(evaluation).axes
    assert [line.get_marker() for line in axes.lines].count("^") == 2


def test_an_interval_that_stands_alone_is_a_bar():
    evaluation = evaluate(counts(0, 1.0), [4])
    (axes,) = pass_at_k_figure(evaluation).axes
    bars = [c for c in axes.collections if isinstance(c, LineCollection)]
    ends = {tuple(np.asarray(bar.get_segments()[0])[:, 1].tolist()) for bar in bars}
    (row,) = evaluation
    assert ends == {(part.lower, part.upper) for part in (row.fixed, row.population)}


def test_worst_of_k_has_a_line_of_its_own_and_mixtures_have_none():
    evaluation = evaluate(counts(0, 1.0), [1, 4, "pass^2", "pass^4", "0.5*max@2 + 0.5*mean"])
    figure = pass_at_k_figure(evaluation)
    (axes,) = figure.axes
    assert [xs for xs, _ in lines(axes)] == [[1, 4], [1, 2, 4]]
    assert "pass@k and pass^k against k" in text(figure)
    only = pass_at_k_figure(evaluate(counts(0, 1.0), ["pass^2", "pass^4"]))
    assert lines(only.axes[0])[0][0] == [2, 4]
    assert len(only.axes[0].lines) == 1
    nothing = pass_at_k_figure(evaluate(counts(0, 1.0), "0.5*max@2 + 0.5*mean"))
    assert "no pass@k was asked for" in text(nothing)


def test_rewards_that_are_numbers_have_no_per_cent():
    rewards = np.random.default_rng(0).normal(10.0, 1.0, size=(30, 8))
    figure = pass_at_k_figure(evaluate(Samples.from_groups(rewards.tolist()), [1, 2]))
    assert "max@k against k" in text(figure)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert all(label and "%" not in label for label in labels)


def test_every_problem_is_in_the_histogram():
    samples = Samples.from_counts(4, [0, 0, 1, 2, 4, 4, 4])
    figure = solve_rates_figure({"": samples})
    heights = {
        round(4 * (bar.get_x() + bar.get_width() / 2)): bar.get_height()
        for bar in figure.axes[0].patches
    }
    assert heights == {0: 2, 1: 1, 2: 1, 3: 0, 4: 3}
    assert "2 never solved, 3 always" in text(figure)
    uneven = Samples.from_groups([[0] * 30, [1] * 40, [0, 1], [1, 0, 0], [0, 0, 1, 1]])
    figure = solve_rates_figure({"one": uneven, "two": samples})
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 5
    assert "one: problems by solve rate; 1 never solved, 1 always" in text(figure)
    numbers = Samples.from_groups(np.random.default_rng(0).random((9, 3)).tolist())
    figure = solve_rates_figure({"": numbers})
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 9
    same = Samples.from_groups([[0.5, 0.5], [0.5]])
    assert sum(bar.get_height() for bar in solve_rates_figure({"": same}).axes[0].patches) == 2


@pytest.mark.parametrize("target", ["fixed", "population"])
def test_differences_are_drawn_with_both_intervals_and_filled_where_they_tell(target: str):
    comparison = compare({"base": counts(0, 3.0), "new": counts(1, 1.0)}, KS)
    rows = comparison.differences
    figure = differences_figure(comparison)
    axes = figure.axes[0 if target == "fixed" else 1]
    bars = {
        tuple(np.asarray(c.get_segments()[0])[:, 1].tolist())
        for c in axes.collections
        if isinstance(c, LineCollection)
    }
    for row in rows:
        contrast = getattr(row, target)
        for interval in (contrast.interval, contrast.simultaneous):
            assert (interval.lower, interval.upper) in bars
    marks = [line for line in axes.lines if line.get_marker() == "s"]
    assert [float(m.get_ydata()[0]) for m in marks] == [row.difference for row in rows]
    filled = [m.get_markerfacecolor() != "white" for m in marks]
    assert filled == [getattr(row, target).sign != 0 for row in rows]
    assert any(filled)
    assert "percentage points" in text(figure)


def test_the_runs_own_lines_are_their_values():
    comparison = compare({"base": counts(0, 3.0), "new": counts(1, 1.0)}, KS)
    (axes,) = runs_figure(comparison).axes
    rows = comparison.differences
    assert lines(axes) == [
        (KS, [row.baseline_value for row in rows]),
        (KS, [row.value for row in rows]),
    ]


def test_names_are_shown_as_they_are_given():
    runs = {"_base $1$": counts(0, 3.0), "new <b>": counts(1, 1.0)}
    comparison = compare(runs, KS)
    for figure in (
        differences_figure(comparison),
        runs_figure(comparison),
        solve_rates_figure(runs),
    ):
        figure.draw_without_rendering()
        assert "new <b>" in text(figure)
