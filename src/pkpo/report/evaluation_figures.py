"""Pictures of evaluations: pass@k against k, solve rates, and differences of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective
from pkpo.evaluate.comparison import Comparison, Contrast, Difference
from pkpo.evaluate.evaluation import TARGET_NAMES, Evaluation, Row
from pkpo.evaluate.formats import is_chance
from pkpo.evaluate.intervals import Interval
from pkpo.evaluate.samples import Measured
from pkpo.report.style import (
    BASE_GREY,
    MUTED,
    PALETTE,
    arm_handle,
    arm_style,
    k_axis,
    legend_above,
    new_figure,
    percent_axis,
    plot_line,
    say_empty,
    signed_points_axis,
    style_axes,
)

_MOST_TICKS = 12
_MARGIN = 1.15
"""By which factor an axis of k is wider than what is drawn."""

_MOST_BARS = 24
_LONGEST_NAME = 24
_FAMILIES = ((MaxAt, "@"), (MinAt, "^"))


def pass_at_k_figure(evaluation: Evaluation) -> Figure:
    """pass@k (max@k) and pass^k (min@k) against k, with both intervals; other objectives, such
    as mixtures, have no place on the axis of k.

    A bound that stands in the place of an interval is an arrow from it to the side where the
    value lies.
    """
    figure = new_figure(9.6, 4.6)
    axes = figure.subplots()
    families = [
        (place, sign, rows)
        for place, (kind, sign) in enumerate(_FAMILIES)
        if (rows := _family(evaluation.rows, kind))
    ]
    chances = all(is_chance(row.name) for _, _, rows in families for row in rows)
    stem = ("pass@k" if chances else "max@k", "pass^k" if chances else "min@k")
    names = " and ".join(stem[place] for place, _, _ in families)
    if not _begun(axes, f"{names or 'pass@k'} against k", families):
        return figure
    handles = []
    for place, _, rows in families:
        for part, alpha in (("population", 0.14), ("fixed", 0.34)):
            _band(axes, rows, part, arm_style(place).color, alpha)
        plot_line(axes, place, [row.k for row in rows], [row.value for row in rows])
        handles.append(arm_handle(place, stem[place]))
    handles += [
        Patch(color=PALETTE[families[0][0]], alpha=alpha, linewidth=0, label=TARGET_NAMES[part])
        for part, alpha in (("fixed", 0.48), ("population", 0.14))
    ]
    shown = [row for _, _, rows in families for row in rows]
    if any("bound" in part.kind for row in shown for part in (row.fixed, row.population)):
        label = "bound, where there is no interval"
        handles.append(Line2D([], [], color=MUTED, marker="v", linestyle="", label=label))
    k_axis(axes, sorted({row.k for row in shown}), _MARGIN)
    if chances:
        _chance_axis(axes)
    legend_above(figure, handles)
    return figure


def solve_rates_figure(runs: Mapping[str, Measured]) -> Figure:
    """How many problems have which mean reward, one panel a run; for 0/1 rewards the solve
    rate, with the problems that are never and always solved apart."""
    figure = new_figure(9.6, 0.8 + 2.5 * len(runs))
    panels = figure.subplots(len(runs), 1, squeeze=False, sharex=True, sharey=True).flatten()
    for index, (axes, (name, samples)) in enumerate(zip(panels, runs.items())):
        title = f"{name}: " if len(runs) > 1 else ""
        what, ends = "mean reward", ""
        if samples.binary:
            never = int((samples.mean_rewards_P == 0).sum())
            always = int((samples.mean_rewards_P == 1).sum())
            what, ends = "solve rate", f"; {never} never solved, {always} always"
        label = f"{what} of the problem" if index == len(runs) - 1 else ""
        style_axes(axes, f"{title}problems by {what}{ends}", label, "problems")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if samples.binary:
            _solve_rate_bars(axes, samples, index)
        else:
            _histogram(axes, samples, index, list(runs.values()))
    return figure


def differences_figure(comparison: Comparison) -> Figure:
    """Difference of each run from the baseline against k, one panel for these problems and one
    for problems like these; thick the interval by itself, thin the one that holds together
    with all others."""
    figure = new_figure(9.6, 4.4)
    panels = figure.subplots(1, 2, sharey=True)
    shown, chances = _best_of_k(comparison)
    ks = sorted({d.k for d in shown})
    for axes, (target, title) in zip(panels, TARGET_NAMES.items()):
        unit = "percentage points" if chances else "reward"
        label = f"difference of {'pass' if chances else 'max'}@k, {unit}"
        if not _begun(axes, title.capitalize(), shown, label if axes is panels[0] else ""):
            continue
        axes.axhline(0.0, color=BASE_GREY, linestyle="--", linewidth=1.6, zorder=1.5)
        for place, run in enumerate(comparison.runs):
            rows = [d for d in shown if d.run == run]
            shift = 2.0 ** (0.14 * (place - (len(comparison.runs) - 1) / 2))
            _contrasts(axes, rows, target, place + 1, shift)
        k_axis(axes, ks, _MARGIN * 2.0 ** (0.07 * (len(comparison.runs) - 1)))
        if chances:
            signed_points_axis(axes.yaxis)
    if shown:
        pairs = comparison.baselines.items()
        names = [f"{_short(run)} minus {_short(baseline)}" for run, baseline in pairs]
        legend_above(figure, [arm_handle(i + 1, name) for i, name in enumerate(names)])
    return figure


def runs_figure(comparison: Comparison) -> Figure:
    """pass@k (max@k) of all runs against k, over the problems that are compared. Without bands:
    whether runs differ is for `differences_figure` to show, since they share problems."""
    figure = new_figure(9.6, 4.6)
    axes = figure.subplots()
    shown, chances = _best_of_k(comparison)
    if not _begun(axes, f"{'pass' if chances else 'max'}@k against k", shown):
        return figure
    lines: dict[str, dict[int, float]] = {}
    for d in shown:
        lines.setdefault(d.baseline, {})[d.k] = d.baseline_value
    for run in comparison.runs:
        lines[run] = {d.k: d.value for d in shown if d.run == run}
    handles = []
    for place, (name, values) in enumerate(lines.items()):
        plot_line(axes, place, list(values), list(values.values()))
        handles.append(arm_handle(place, _short(name)))
    k_axis(axes, sorted({d.k for d in shown}), _MARGIN)
    if chances:
        _chance_axis(axes)
    legend_above(figure, handles)
    return figure


def _begun(axes: Axes, title: str, shown: Sequence[object], label: str = "") -> bool:
    """Dress a panel against k; whether there is something to show in it."""
    style_axes(axes, title, "k, samples per problem", label)
    if not shown:
        say_empty(axes, "no pass@k was asked for")
    return bool(shown)


def _short(name: str) -> str:
    """As much of a name as a legend has room for."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _best_of_k(comparison: Comparison) -> tuple[list[Difference], bool]:
    """The differences of pass@k or max@k, by k, and whether they are of chances."""
    shown = [d for d in comparison.differences if _is(d.objective, MaxAt) and d.num_problems]
    return sorted(shown, key=lambda d: d.k), all(is_chance(d.name) for d in shown)


def _is(objective: Objective, kind: type) -> bool:
    """Whether an objective is of one kind alone, of which the mean is k = 1."""
    (weight, term), *others = objective.terms
    return not others and weight == 1 and isinstance(term, (kind, Mean))


def _family(rows: Sequence[Row], kind: type) -> list[Row]:
    """The rows with a value of one kind, by k, with k = 1; empty if that is all and other rows
    are of the other kind."""
    found = [row for row in rows if _is(row.objective, kind) and row.num_problems]
    if kind is MinAt and all(row.k == 1 for row in found):
        return []
    return sorted(found, key=lambda row: row.k)


def _band(axes: Axes, rows: Sequence[Row], part: str, color: str, alpha: float) -> None:
    """The intervals joined where neighbours have them; bars where they stand alone; arrows for
    bounds."""
    intervals: list[Interval] = [getattr(row, part) for row in rows]
    ks = np.array([row.k for row in rows], dtype=float)
    low = np.array([i.lower if i.given else np.nan for i in intervals])
    high = np.array([i.upper if i.given else np.nan for i in intervals])
    axes.fill_between(ks, low, high, color=color, alpha=alpha, linewidth=0)
    thick, shift = (5.0, 1.0) if part == "fixed" else (2.5, 1.02)
    for place, (row, interval) in enumerate(zip(rows, intervals)):
        joined = [
            0 <= other < len(rows) and intervals[other].given for other in (place - 1, place + 1)
        ]
        if interval.given and not any(joined):
            axes.vlines(row.k, interval.lower, interval.upper, color, linewidth=thick, alpha=0.4)
        elif interval.kind in ("upper bound", "lower bound"):
            upper = interval.kind == "upper bound"
            limit = interval.upper if upper else interval.lower
            axes.plot(
                [row.k * shift],
                [limit],
                marker="v" if upper else "^",
                color=color,
                alpha=0.9 if part == "fixed" else 0.45,
                markersize=6,
                markerfacecolor="white" if part == "population" else color,
            )


def _contrasts(
    axes: Axes, rows: Sequence[Difference], target: str, place: int, shift: float
) -> None:
    style = arm_style(place)
    ks = np.array([d.k for d in rows]) * shift
    axes.plot(
        ks, [d.difference for d in rows], color=style.color, linewidth=0.8, alpha=0.5, zorder=2
    )
    for k, row in zip(ks, rows):
        contrast: Contrast = getattr(row, target)
        for interval, width in ((contrast.simultaneous, 1.4), (contrast.interval, 4.0)):
            if interval.given:
                axes.vlines(
                    k, interval.lower, interval.upper, style.color, linewidth=width, alpha=0.75
                )
        axes.plot(
            [k],
            [row.difference],
            marker=style.marker,
            color=style.color,
            markersize=7,
            markeredgecolor=style.color,
            markerfacecolor=style.color if contrast.sign else "white",
            linestyle="",
            zorder=3,
        )


def _solve_rate_bars(axes: Axes, samples: Measured, index: int) -> None:
    rates = samples.mean_rewards_P
    sizes = np.unique(samples.sizes_P)
    color = arm_style(index).color
    if len(sizes) == 1 and sizes[0] < _MOST_BARS:
        n = int(sizes[0])
        heights = np.bincount(np.rint(n * rates).astype(int), minlength=n + 1)
        axes.bar(np.arange(n + 1) / n, heights, width=0.82 / n, color=color)
        if n <= _MOST_TICKS:
            axes.set_xticks(np.arange(n + 1) / n)
        width = 0.82 / n
    else:
        inside = rates[(rates > 0) & (rates < 1)]
        heights, edges = np.histogram(inside, bins=20, range=(0.0, 1.0))
        width = 0.05
        axes.bar(edges[:-1] + width / 2, heights, width=0.82 * width, color=color)
        ends = (int((rates == 0).sum()), int((rates == 1).sum()))
        axes.bar([-width, 1 + width], ends, width=0.82 * width, color=MUTED)
    axes.set_xlim(min(-0.03, -width / 2) - 0.06, 1.06 + max(0.03, width / 2))
    percent_axis(axes.xaxis, ".3g")


def _histogram(axes: Axes, samples: Measured, index: int, all_runs: Sequence[Measured]) -> None:
    everything = [one.mean_rewards_P for one in all_runs]
    low = min(float(means.min()) for means in everything)
    high = max(float(means.max()) for means in everything)
    span = (low, high) if low < high else (low - 0.5, high + 0.5)
    heights, edges = np.histogram(samples.mean_rewards_P, bins=20, range=span)
    width = edges[1] - edges[0]
    axes.bar(edges[:-1] + width / 2, heights, width=0.9 * width, color=arm_style(index).color)


def _chance_axis(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    percent_axis(axes.yaxis, ".3g")
