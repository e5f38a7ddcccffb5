"""Tables of a study: methods against k, mean and standard error over the reported seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pkpo.tables import Table
from reproduction.measures import Measure
from reproduction.studies.data import StudyData
from reproduction.studies.run import over_seeds
from reproduction.studies.settings import K_VALUES

HELD_OUT = (
    "Per cent of held-out problems, mean ± standard error over seeds; bold: highest mean of the "
    "trained rows. Candidates were chosen on validation problems, in runs with other seeds."
)


def percent(measure: Measure) -> str:
    """Such as "12.3 ± 0.4"."""
    return number(measure.times(100.0), 1)


def points(measure: Measure) -> str:
    """Such as "+3.2 ± 0.4"."""
    sign = "+" if measure.value >= 0 else ""
    return f"{sign}{percent(measure)}"


def number(measure: Measure, digits: int = 2) -> str:
    """Such as "1.23 ± 0.04"; one seed has no error."""
    if not math.isfinite(measure.error):
        return f"{measure.value:.{digits}f}"
    return f"{measure.value:.{digits}f} ± {measure.error:.{digits}f}"


def k_headers() -> tuple[str, ...]:
    return tuple(f"k_eval={k}" for k in K_VALUES)


def measures_table(
    rows: Mapping[str, Sequence[Measure]],
    headers: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
    *,
    text=percent,
    bold_from: int | None = None,
) -> Table:
    """A row of measures for each name.

    Args:
        rows: by name.
        headers: of the columns after the first.
        title: of the table.
        notes: below.
        text: shows a measure.
        bold_from: the first row among which the highest of each column stands out.
    """
    bold: set[tuple[int, int]] = set()
    values = np.array([[measure.value for measure in row] for row in rows.values()])
    if bold_from is not None and len(values) > bold_from:
        best = values[bold_from:].max(axis=0)
        bold = {
            (int(i) + bold_from, int(j) + 1) for i, j in np.argwhere(values[bold_from:] == best)
        }
    cells = tuple((name, *map(text, row)) for name, row in rows.items())
    return Table(("", *headers), cells, tuple(notes), title, frozenset(bold))


def one_policy_table(data: StudyData, methods: Sequence[str], title: str) -> Table:
    """One policy a method, the candidate chosen over all k: pass@k, entropy, distinct solutions."""
    extra = [name for name in ("entropy", "distinct") if data.has(name)]
    rows = []
    for method in (*data.untrained, *methods):
        cells = [percent(data.end(method, f"pass@{k}")) for k in K_VALUES]
        cells += [number(data.end(method, name)) for name in extra]
        setting = "-" if method in data.untrained else data.chosen(method).setting
        rows.append((method, *cells, setting))
    means = [[data.end(m, f"pass@{k}").value for k in K_VALUES] for m in methods]
    best = np.max(means, axis=0)
    bold = {
        (int(i) + len(data.untrained), int(j) + 1) for i, j in np.argwhere(np.array(means) == best)
    }
    names = {"entropy": "entropy, nats", "distinct": "distinct solutions"}
    headers = ("", *k_headers(), *(names[name] for name in extra), "chosen")
    words = frozenset({0, len(headers) - 1})
    return Table(headers, tuple(rows), (HELD_OUT,), title, frozenset(bold), words)


def candidates_table(data: StudyData, methods: Sequence[str], title: str) -> Table:
    """Validation scores of all candidates in the tuning runs, and where it is known how long they
    took; chosen ones in bold."""
    rows, bold, took = [], set(), data.record.get("tuning_seconds")
    for method in methods:
        for arm in data.record["methods"][method]:
            here, scores = len(rows), over_seeds(data.scores[arm])
            bold |= {(here, 2 + len(K_VALUES))} if data.choices[method] == arm else set()
            values = [*(scores[k] for k in K_VALUES), float(np.mean([*scores.values()]))]
            cells = [f"{100 * value:.1f}" for value in values]
            if took:
                cells.append(f"{np.mean([*took[arm].values()]) / 60:.1f}")
            rows.append((method, data.setting(arm), *cells))
    seeds = ", ".join(map(str, data.record["tuning_seeds"]))
    note = f"Validation pass@k in per cent after the last step, mean over tuning seeds {seeds}."
    headers = ("", "candidate", *k_headers(), "mean", *(["minutes"] if took else []))
    return Table(
        headers, tuple(rows), (f"{note} Bold: chosen.",), title, frozenset(bold), frozenset({0, 1})
    )
