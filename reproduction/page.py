"""The page of the reproduction, one HTML file without scripts, and its ledger as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.report.page import Picture, figure, listed, page
from reproduction import ledger
from reproduction.made_by import source_digest
from reproduction.page_parts import (
    CSS,
    claim_id,
    code,
    ledger_html,
    table_html,
    tally,
    verdict_mark,
)
from reproduction.results import CRITIQUE, PKPO
from reproduction.stored import Stored, StoredDrawing, read_result, topic_folder
from reproduction.topics import TOPICS, Topic

TITLE = "The papers' figures, tables and claims, made again"

_NOT_YET = '<span class="tally"><span class="open">not made yet</span></span>'

_PAPER_LINKS = {
    PKPO: "Walder and Karkhanis, Pass@K Policy Optimization",
    CRITIQUE: "Yu, Pass@k Metric for RLVR",
}


def write_page(out: Path, topics: Sequence[Topic] = TOPICS) -> Path:
    """Write OUT/index.html, ledger.md and ledger.csv from the results stored in OUT.

    Topics without a result, or with one that can't be read, are named as such.

    Args:
        out: the folder of the reproduction.
        topics: in the order of the page.

    Returns:
        The path of index.html.

    Raises:
        OSError: a file can't be read or written.
    """
    stored: dict[str, Stored] = {}
    damaged: dict[str, str] = {}
    for topic in topics:
        try:
            found = read_result(topic_folder(out, topic.name))
        except RunDirectoryError as error:
            damaged[topic.name] = str(error).replace(f"{out}/", "")
            continue
        if found is not None:
            stored[topic.name] = found
    claims = ledger.entries(stored.values())
    html = render_page(topics, stored, source=source_digest(), out=out, damaged=damaged)
    _write(out / "ledger.md", ledger.to_markdown(claims))
    _write(out / "ledger.csv", ledger.to_csv(claims))
    _write(out / "index.html", html)
    return out / "index.html"


def render_page(
    topics: Sequence[Topic],
    stored: Mapping[str, Stored],
    *,
    source: str,
    out: Path,
    damaged: Mapping[str, str] | None = None,
) -> str:
    """The whole page.

    Args:
        topics: in the order of the page.
        stored: their results by name, as far as there are any.
        source: digest of the present code; results of other code are marked.
        out: the folder that links to files start from.
        damaged: what is wrong with results that can't be read, by the topic's name.

    Raises:
        OSError: a figure can't be read.
    """
    results = [stored[topic.name] for topic in topics if topic.name in stored]
    claims = ledger.entries(results)
    problems = damaged or {}
    sections = [
        _head(results),
        _missing(topics, stored, problems, source),
        _contents(topics, stored),
        _ledger(claims),
    ]
    for topic in topics:
        if topic.name in stored:
            sections.append(_made(topic, stored[topic.name], claims, source, out))
        else:
            again = _command(topic.name, results)
            sections.append(_not_made(topic, again, problems.get(topic.name)))
    return page(TITLE, sections, CSS)


def _head(results: Sequence[Stored]) -> str:
    links = " and ".join(
        f'{escape(title)} (<a href="https://arxiv.org/abs/{paper}">arXiv {paper}</a>)'
        for paper, title in _PAPER_LINKS.items()
    )
    shared = _shared_versions(results)
    versions = ", ".join(f"{name} {value}" for name, value in shared.items())
    if len({tuple(one.versions.items()) for one in results}) > 1:
        versions += "; others differ from topic to topic and stand there"
    return "\n".join(
        [
            f"<h1>{escape(TITLE)}</h1>",
            f'<p class="lead">{links}. Figures are drawn to be laid beside the papers\' own; each '
            "claim has a rule that was set before looking, and a verdict computed by it.</p>",
            f"<pre>{_command('all', results)}</pre>",
            f'<p class="files">{escape(_settings_used(results))} {escape(versions)}</p>',
        ]
    )


def _command(name: str, results: Sequence[Stored]) -> str:
    """Makes a topic, or all, with the settings that the results there have in common."""
    quick = bool(results) and all(one.quick for one in results)
    return f"python -m reproduction {name}{' --quick' if quick else ''}"


def _settings_used(results: Sequence[Stored]) -> str:
    quick = sum(one.quick for one in results)
    if not results:
        return "Nothing made yet."
    if quick == len(results):
        return "Quick settings: the same with fewer replications."
    if quick == 0:
        return "Full settings."
    return f"Quick settings in {quick} of {len(results)} topics, full in the others."


def _shared_versions(results: Sequence[Stored]) -> dict[str, str]:
    """The versions that all results have in common."""
    if not results:
        return {}
    first, *others = (one.versions for one in results)
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def _missing(
    topics: Sequence[Topic],
    stored: Mapping[str, Stored],
    damaged: Mapping[str, str],
    source: str,
) -> str:
    absent = [t.name for t in topics if t.name not in stored and t.name not in damaged]
    old = [t.name for t in topics if t.name in stored and stored[t.name].source != source]
    said = [f"Can't be read: {text}" for text in damaged.values()]
    said += [f"Not made yet: {', '.join(absent)}."] if absent else []
    said += [f"Made by other code than the present: {', '.join(old)}."] if old else []
    if not said:
        return ""
    return (
        '<section class="missing"><strong>This page is incomplete.</strong>'
        f"{listed(said)}</section>"
    )


def _contents(topics: Sequence[Topic], stored: Mapping[str, Stored]) -> str:
    items = ['<li><a href="#ledger">Ledger of claims</a></li>']
    for topic in topics:
        result = stored.get(topic.name)
        state = _NOT_YET if result is None else tally([c.verdict for c in result.claims])
        items.append(f'<li><a href="#{topic.name}">{escape(topic.title)}</a> {state}</li>')
    return f'<nav aria-label="Contents"><ol>{"".join(items)}</ol></nav>'


def _ledger(claims: Sequence[ledger.Entry]) -> str:
    parts = ['<h2 id="ledger">Ledger of claims</h2>']
    if not claims:
        return "\n".join([*parts, "<p>No claims yet.</p>"])
    files = '<p class="files"><a href="ledger.md">Markdown</a> · <a href="ledger.csv">CSV</a></p>'
    return "\n".join([*parts, table_html(ledger.counts_table(claims)), files, ledger_html(claims)])


def _not_made(topic: Topic, command: str, damaged: str | None) -> str:
    said = "not made yet" if damaged is None else f"can't be read ({escape(damaged)})"
    return f"{_title(topic.name, topic.title, topic.place)}\n<p>{said}: {code(command)}</p>"


def _title(name: str, title: str, place: str) -> str:
    return f'<h2 id="{name}">{escape(title)}</h2>\n<p class="place">{escape(place)}</p>'


def _made(
    topic: Topic,
    result: Stored,
    claims: Sequence[ledger.Entry],
    source: str,
    out: Path,
) -> str:
    folder = topic_folder(out, topic.name)
    parts = [_title(topic.name, result.title, result.place)]
    if result.source != source:
        parts.append('<p class="missing">Made by other code than the present.</p>')
    parts.append(_verdicts([entry for entry in claims if entry.topic == topic.name]))
    for drawing in result.drawings:
        parts += [figure(_picture(drawing), "h3"), _files([drawing.png, drawing.pdf], out)]
    for table in result.tables:
        files = [folder / f"{table.name}.csv", folder / f"{table.name}.md"]
        parts += [f"<h3>{escape(table.title)}</h3>", table_html(table), _files(files, out)]
    if result.notes:
        parts += ["<h3>Notes</h3>", listed(result.notes, "notes")]
    parts.append(_making(result))
    return "\n".join(parts)


def _verdicts(claims: Sequence[ledger.Entry]) -> str:
    if not claims:
        return ""
    rows = "\n".join(
        f'<tr><td class="state">{verdict_mark(entry.claim.verdict)}</td>'
        f'<td><a href="#{claim_id(entry)}">{escape(entry.claim.statement)}</a></td></tr>'
        for entry in claims
    )
    return f'<table class="claims"><tbody>\n{rows}\n</tbody></table>'


def _picture(drawing: StoredDrawing) -> Picture:
    return Picture(
        drawing.png.name, drawing.title, drawing.caption, drawing.alt, drawing.png.read_bytes()
    )


def _files(files: Sequence[Path], out: Path) -> str:
    links = " · ".join(
        f'<a href="{file.relative_to(out).as_posix()}">{file.name}</a>' for file in files
    )
    return f'<p class="files">{links}</p>'


def _making(result: Stored) -> str:
    record = {
        "settings": dict(result.settings),
        "versions": dict(result.versions),
        "source": result.source,
        **({"inputs": result.inputs} if result.inputs else {}),
    }
    kind = "quick" if result.quick else "full"
    text = json.dumps(record, indent=2, ensure_ascii=False)
    return (
        f'<p class="files">{code(result.command)} · {kind} settings · {result.seconds:.1f} s</p>\n'
        f"<details><summary>Settings, seeds and versions</summary><pre>{escape(text)}</pre>"
        "</details>"
    )


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))
