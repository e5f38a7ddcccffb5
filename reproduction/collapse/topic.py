"""Exploration along a run: how the gap between pass@16 and pass@1 goes with entropy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reproduction.collapse.claims import CORRELATED, claims
from reproduction.collapse.drawings import SMOOTHED, along_figure, phase_figure
from reproduction.collapse.numbers import (
    SKIPPED,
    Along,
    K,
    along,
    base_distinct,
    base_entropy,
    base_gap,
    methods_of,
    widest_gap,
)
from reproduction.comparing import difference, mean_and_error
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context
from reproduction.studies.curves import window_of
from reproduction.studies.runs import StudyData, settings
from reproduction.studies.tables import WARM_START

_NONE = "-"


def make(context: Context, *studies: StudyData) -> Result:
    """The gap, entropy, distinct solutions and signal along the runs of each study."""
    tables, judged, left_out = [], [], []
    for data in studies:
        tables += [along_table(data), runs_table(data)]
        made, notes = claims(data)
        judged += made
        left_out += notes
    p, most = widest_gap()
    return Result(
        settings={
            **{data.study.name: settings(data) for data in studies},
            "window_steps": {data.study.name: window_of(data.study.steps) for data in studies},
            "steps_left_out_of_correlations": SKIPPED,
            "correlated_above": CORRELATED,
        },
        tables=tuple(tables),
        drawings=_drawings(studies),
        claims=tuple(judged),
        notes=(
            "One policy a method throughout, the candidate chosen over all k on validation "
            "problems.",
            f"A problem solved with chance p has a gap of 1 - (1-p)^{K} - p, largest at "
            f"p = {p:.3f} ({100 * most:.1f} points): below it the gap grows while the policy gets "
            "better, whatever becomes of its entropy.",
            *left_out,
        ),
    )


def along_table(data: StudyData) -> Table:
    """Before and after, by method."""
    before = base_gap(data)
    rows: list[tuple[str, ...]] = [
        (
            WARM_START,
            mean_and_error(before),
            _NONE,
            mean_and_error(data.base(1)),
            _plain(base_entropy(data)),
            _plain(base_distinct(data)),
            *[_NONE] * 3,
        )
    ]
    for method in methods_of(data):
        found = along(data, method)
        rows.append(
            (
                method,
                mean_and_error(found.gap),
                difference(found.gap, before).text(),
                mean_and_error(found.pass_at_1),
                _plain(found.entropy),
                _plain(found.distinct),
                _plain(found.correlation),
                mean_and_error(found.signal_first),
                mean_and_error(found.signal_last),
            )
        )
    seeds = len(data.reported.seeds)
    return Table(
        name=f"along-{data.study.name}",
        title=f"{data.study.title}: the gap before and after training",
        headers=(
            "",
            f"gap pass@{K} - pass@1",
            "change of the gap",
            "pass@1",
            "entropy",
            "distinct solutions",
            "rank correlation of entropy and gap",
            "groups with a signal, first tenth",
            "groups with a signal, last tenth",
        ),
        rows=tuple(rows),
        notes=(
            f"Mean ± standard error over {seeds} seeds; gap, pass@1 and groups in per cent. Gap, "
            "pass@1, entropy (nats a completion) and distinct solutions (among the samples of "
            "one problem) on test problems.",
            "Correlation over the training steps of moving averages, without the first "
            f"{100 * SKIPPED:g} %. Groups of training samples with an advantage that is not zero, "
            "in the first and the last tenth of the steps.",
        ),
    )


def runs_table(data: StudyData) -> Table:
    """The same numbers seed by seed."""
    rows = []
    before = (base_gap(data), data.base(1), base_entropy(data), base_distinct(data))
    for place, seed in enumerate(data.reported.seeds):
        cells = (_exactly(values[place]) for values in before)
        rows.append((WARM_START, str(seed), *cells, *[_NONE] * 3))
    for method in methods_of(data):
        found = along(data, method)
        for place, seed in enumerate(data.reported.seeds):
            cells = (_exactly(values[place]) for values in _columns(found))
            rows.append((method, str(seed), *cells))
    return Table(
        name=f"runs-{data.study.name}",
        title=f"{data.study.title}: every run",
        headers=(
            "",
            "seed",
            "gap",
            "pass@1",
            "entropy",
            "distinct solutions",
            "rank correlation",
            "signal, first tenth",
            "signal, last tenth",
        ),
        rows=tuple(rows),
        notes=("Gap, pass@1 and groups with a signal as fractions of 1.",),
    )


def _columns(found: Along) -> tuple[np.ndarray, ...]:
    return (
        found.gap,
        found.pass_at_1,
        found.entropy,
        found.distinct,
        found.correlation,
        found.signal_first,
        found.signal_last,
    )


def _exactly(value: float) -> str:
    return _NONE if np.isnan(value) else f"{value:.5f}"


def _drawings(studies: Sequence[StudyData]) -> tuple[Drawing, Drawing]:
    return (
        Drawing(
            name="along",
            title="The gap, entropy and signal along a run",
            caption="Moving averages over a twentieth of the training steps, and evaluations on "
            "validation problems: means over seeds with one standard error. Groups with a "
            "signal: those whose advantages are not all zero.",
            alt="A row of panels for each study, over training steps: the gap between pass@16 and "
            "pass@1 on training batches, the same on validation problems, entropy, and the share "
            "of groups with a signal, with a line for each method.",
            figure=along_figure(studies),
        ),
        Drawing(
            name="phase",
            title="The gap against entropy and against pass@1",
            caption=f"Training batches, moving averages over {100 * SMOOTHED:g} % of the steps, "
            "means over seeds. Rings: start, dots: end. Entropy falls to the right.",
            alt="Two panels for each study with a path for each method: the gap between pass@16 "
            "and pass@1 against entropy, and against pass@1.",
            figure=phase_figure(studies),
        ),
    )


def _plain(values: np.ndarray) -> str:
    if np.isnan(values).any():
        return _NONE
    if len(values) < 2:
        return f"{values.mean():.2f}"
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"
