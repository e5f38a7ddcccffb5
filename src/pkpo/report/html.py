"""The report as one HTML page that needs no other file, no network and no script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np

from pkpo.report.completions import ArmSamples, ProblemSamples
from pkpo.report.page import Picture, figure, finding, listed, page
from pkpo.report.records import Arm, Run
from pkpo.report.statistics import BASE_NAME, Estimate, Summary
from pkpo.report.style import BASE_GREY, arm_style
from pkpo.report.summary import (
    ABSENT,
    change_table,
    coverage_table,
    family_tables,
    format_estimate,
    score_table,
    without_absent_error,
)
from pkpo.tables import Table

MAX_TEXT = 1200
"""Characters of a prompt or completion shown before it is cut."""


def render_page(
    run: Run,
    summary: Summary,
    pictures: Sequence[Picture],
    samples: Sequence[ProblemSamples],
    notes: Sequence[str],
) -> str:
    """The whole page; `notes` say what is missing, one sentence each."""
    colors = {arm.name: arm_style(i).color for i, arm in enumerate(run.arms)}
    colors[BASE_NAME] = BASE_GREY
    colors |= {row.label: colors[row.name] for row in summary.rows}
    sections = [
        _header(run, summary),
        _missing(notes),
        _results(summary, colors),
        *(figure(picture) for picture in pictures),
        _completions(samples, colors),
        _setup(run, colors),
    ]
    return page(f"{run.title}: pass@k training report", sections)


def _header(run: Run, summary: Summary) -> str:
    seeds = f"{len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"
    steps = f", {run.steps} training steps" if run.steps else ""
    arms = f"{len(run.arms)} arm{'' if len(run.arms) == 1 else 's'}"
    lines = [
        f"<h1>{escape(run.title)}</h1>",
        f'<p class="lead">pass@k training report: {arms}, {seeds}{steps}. All arms of a seed '
        "start from the same warm-started policy, the base.</p>",
        *map(finding, findings(summary)),
    ]
    return "\n".join(lines)


def findings(summary: Summary) -> list[str]:
    """The arm with the highest mean at the smallest and at the largest k, as sentences."""
    sentences = []
    for k in sorted({*summary.ks[:1], *summary.ks[-1:]}):
        name = f"pass@{k}"
        rows = [row for row in summary.rows if row.name != BASE_NAME and name in row.values]
        if len(rows) < 2:
            continue
        first, second = sorted(rows, key=lambda row: -row.values[name].mean)[:2]
        base = summary.rows[0].values.get(name)
        sentences.append(
            f"Highest {'mean ' if summary.num_seeds > 1 else ''}{name} of the arms: "
            f"{first.name} with {_percent(first.values[name])}, followed by {second.name} with "
            f"{_percent(second.values[name])}"
            + (f"; the base has {_percent(base)}." if base else ".")
        )
    return sentences


def _percent(value: Estimate) -> str:
    return f"{without_absent_error(format_estimate(value, percent=True))} %"


def _missing(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return (
        f'<section class="missing"><strong>This report is incomplete.</strong>{listed(notes)}'
        "</section>"
    )


def _results(summary: Summary, colors: dict[str, str]) -> str:
    parts = ["<h2>Held-out results</h2>", _html(score_table(summary), colors)]
    if any(f"change_pass@{k}" in row.values for row in summary.rows for k in summary.ks):
        parts += ["<h3>Change against the base</h3>", _html(change_table(summary), colors)]
    coverage = coverage_table(summary)
    if len(coverage.headers) > 2:
        parts += ["<h3>Diversity and coverage</h3>", _html(coverage, colors)]
    for table in family_tables(summary):
        title = f"<h3>All of the family {escape(table.headers[0])}</h3>"
        parts += [title, _html(table, colors)]
    return "\n".join(parts)


def _html(table: Table, colors: dict[str, str]) -> str:
    return table.to_html(keys=colors, muted=(BASE_NAME,))


def _completions(samples: Sequence[ProblemSamples], colors: dict[str, str]) -> str:
    if not samples:
        return ""
    intro = (
        "<p>A few training problems of the last recorded step, with some of the completions each "
        "arm sampled. Equal completions are shown once; the advantage is what the policy gradient "
        "multiplies with.</p>"
    )
    problems = (_problem(problem, colors) for problem in samples)
    return "\n".join(["<h2>Sampled completions</h2>", intro, *problems])


def _problem(problem: ProblemSamples, colors: dict[str, str]) -> str:
    rows = "\n".join(row for arm in problem.arms for row in _sample_rows(arm, colors))
    return (
        f"<h3>Problem {escape(problem.problem)}</h3>\n"
        f'<pre class="prompt">{escape(shorten(problem.prompt))}</pre>\n'
        '<div class="scroll"><table class="samples"><thead><tr><th scope="col">arm</th>'
        '<th scope="col" class="text">completion</th><th scope="col">times</th>'
        '<th scope="col">reward</th><th scope="col">advantage</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _sample_rows(arm: ArmSamples, colors: dict[str, str]) -> list[str]:
    rows = []
    for i, sample in enumerate(arm.samples):
        cells = (
            f'<td class="text">{escape(shorten(sample.completion)) or "(empty)"}</td>'
            f"<td>{sample.count} &times;</td>"
            f'<td class="{"right" if sample.reward > 0 else "wrong"}">{sample.reward:.3g}</td>'
            f"<td>{sample.advantage:+.3f}</td>"
        )
        if i == 0:
            color = colors.get(arm.arm)
            key = f'<span class="key" style="background:{color}"></span>' if color else ""
            label = (
                f'<td class="arm" rowspan="{len(arm.samples)}">{key}'
                f'{escape(arm.arm)}<span class="sub">{arm.num_correct} of {arm.num_completions} '
                f"correct<br>seed {arm.seed}, step {arm.step}</span></td>"
            )
            cells = label + cells
        rows.append(f"<tr>{cells}</tr>")
    return rows


def shorten(text: str) -> str:
    """`text`, cut after `MAX_TEXT` characters with a word on how much is left out."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]} … ({len(text) - MAX_TEXT} more characters)"


def _setup(run: Run, colors: dict[str, str]) -> str:
    config = json.dumps(run.config, indent=2, ensure_ascii=False)
    parts = ["<h2>Setup</h2>", _arms_table(run, colors)]
    versions = "\n".join(f"{name}  {value}" for name, value in run.versions.items())
    for title, text in (("Command", run.command), ("Versions", versions)):
        if text:
            parts += [f"<h3>{title}</h3>", f"<pre>{escape(text)}</pre>"]
    parts.append(f"<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>")
    return "\n".join(parts)


def _arms_table(run: Run, colors: dict[str, str]) -> str:
    headers = ("arm", "objective", "learning rate", "steps done by seed", "samples/s", "transform")
    rows = []
    for arm in run.arms:
        steps = ", ".join(str(len(arm_run.metrics)) for arm_run in arm.runs)
        speed, share = _typical(arm, "samples_per_second"), _typical(arm, "transform_share")
        shown = (
            ABSENT if speed is None else f"{speed:,.0f}",
            ABSENT if share is None else f"{100 * share:.2g} %",
        )
        rows.append((arm.name, arm.schedule, f"{arm.learning_rate:g}", steps, *shown))
    note = "Samples/s and transform (its share of the step time) are medians over all steps."
    return _html(Table(headers, tuple(rows), (note,)), colors)


def _typical(arm: Arm, column: str) -> float | None:
    series = [r.metrics.columns[column] for r in arm.runs if column in r.metrics.columns]
    values = np.concatenate(series) if series else np.empty(0)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None
