"""The page of the reproduction, one HTML file beside its pictures, and its ledger as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.report.page import listed, page
from reproduction import ledger
from reproduction.claims import KINDS, PAPERS, Claim, load_claims
from reproduction.results import Stored, read_result, topic_folder, write_text
from reproduction.rules import Judged, Verdict, found_text, rule_text
from reproduction.topics import TOPICS, Topic

TITLE = "The papers' figures, tables and claims, made again"

LONGEST_TABLE = 20
"""Rows from which a table is linked, not shown."""

_CLASSES = {
    Verdict.HOLDS: "holds",
    Verdict.IN_PART: "in-part",
    Verdict.NO: "fails",
    Verdict.OPEN: "open",
}

CSS = """
:root { --part: #7d4e00; }
@media (prefers-color-scheme: dark) { :root { --part: #e3b341; } }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; }
h2, h3, tr[id] { scroll-margin-top: 1rem; }
p.place, .files { color: var(--muted); font-size: .85rem; margin-top: -.4rem; }
a { color: var(--link); }
figure img { max-width: 100%; height: auto; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
main th, main td.words, table.claims td { white-space: normal; overflow-wrap: break-word; }
details td, details th { padding: .3rem .45rem; font-size: .8rem; }
.verdict { border: 1px solid currentColor; border-radius: 1rem; padding: 0 .55rem;
  font-size: .78rem; font-weight: 600; white-space: nowrap; }
.holds { color: var(--good); } .in-part { color: var(--part); }
.fails { color: var(--bad); } .open { color: var(--muted); }
table.counts td, table.counts th { text-align: right; }
table.counts td:first-child, table.counts th:first-child { text-align: left; }
table.claims { width: 100%; table-layout: fixed; }
table.claims td { text-align: left; vertical-align: top; }
table.claims td.state { width: 9.5rem; }
table.claims .part { display: block; margin-top: .25rem; font-size: .84rem; }
table.claims q { font-style: italic; }
table.claims tr:target td { background: var(--soft); }
"""
"""Rules on top of the report pages'."""


def write_page(
    out: Path, topics: Sequence[Topic] = TOPICS, claims: Sequence[Claim] | None = None
) -> Path:
    """Write OUT/index.html, ledger.md and ledger.csv from the results stored in OUT.

    Topics without a result, or with one that can't be read, are named as such.

    Args:
        out: the folder of the reproduction.
        topics: in the order of the page.
        claims: that are judged; all of `reproduction/claims` by default.

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
        else:
            stored |= {topic.name: found} if found is not None else {}
    measures = {name: one.measures for name, one in stored.items()}
    judged = ledger.judge_all(load_claims() if claims is None else claims, measures)
    write_text(out / "ledger.md", ledger.to_markdown(judged))
    write_text(out / "ledger.csv", ledger.to_csv(judged))
    write_text(out / "index.html", render_page(topics, stored, judged, damaged))
    return out / "index.html"


def render_page(
    topics: Sequence[Topic],
    stored: Mapping[str, Stored],
    judged: Sequence[Judged],
    damaged: Mapping[str, str],
) -> str:
    """The whole page: counts of verdicts, pictures, then the ledger and tables, folded.

    Args:
        topics: in the order of the page.
        stored: their results by name, as far as there are any.
        judged: all claims.
        damaged: what is wrong with results that can't be read, by the topic's name.
    """
    sections = [_head(stored), _missing(topics, stored, damaged, judged), _counts(judged)]
    sections.append(_contents([topic for topic in topics if topic.name in stored]))
    for topic in topics:
        if topic.name in stored:
            mine = [one for one in judged if topic.name in one.claim.topics]
            sections.append(_made(topic, stored[topic.name], mine))
    sections.append(_ledger(judged))
    return page(TITLE, sections, CSS)


def _head(stored: Mapping[str, Stored]) -> str:
    links = " and ".join(
        f'{escape(title)} (<a href="https://arxiv.org/abs/{number}">arXiv {number}</a>)'
        for number, title in PAPERS.values()
        if number
    )
    quick = [one.name for one in stored.values() if one.quick]
    said = f" Made with the quick settings: {', '.join(quick)}." if quick else ""
    return (
        f"<h1>{escape(TITLE)}</h1>\n"
        f'<p class="lead">{links}. Figures are drawn to be laid beside the papers\' own. Each '
        f"claim has one verdict, computed by its rule from numbers that are stored beside this "
        f'page.{said} <a href="#ledger">The ledger</a> has every claim and number.</p>'
    )


def _missing(
    topics: Sequence[Topic],
    stored: Mapping[str, Stored],
    damaged: Mapping[str, str],
    judged: Sequence[Judged],
) -> str:
    absent = [t.name for t in topics if t.name not in stored and t.name not in damaged]
    said = [f"Can't be read: {text}" for text in damaged.values()]
    said += [f"Not made yet: {', '.join(absent)}."] if absent else []
    if unmeasured := [one.claim.id for one in judged if one.missing]:
        said.append(f"Not measured yet, and so counted as “can't tell”: {', '.join(unmeasured)}.")
    if not said:
        return ""
    return (
        '<section class="missing"><strong>This page is incomplete.</strong>'
        f"{listed(said)}</section>"
    )


def _counts(judged: Sequence[Judged]) -> str:
    head = "".join(f'<th class="{_CLASSES[verdict]}">{verdict}</th>' for verdict in Verdict)
    rows = "".join(
        f'<tr><td><a href="#ledger-{kind}">{escape(KINDS[kind])}</a></td>'
        + "".join(f"<td>{number or '–'}</td>" for number in found.values())
        + f"<td>{sum(found.values())}</td></tr>"
        for kind, found in ledger.counts(judged).items()
    )
    return (
        f'<table class="counts"><thead><tr><th></th>{head}<th>claims</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>\n"
        "<p>Training is of a transformer of 0.1 million parameters on small problem sets, not of "
        "the paper's models: “does not hold here” says so much and no more.</p>"
    )


def _contents(topics: Sequence[Topic]) -> str:
    links = " · ".join(f'<a href="#{topic.name}">{escape(topic.title)}</a>' for topic in topics)
    return f'<nav aria-label="Contents"><p>{links}</p></nav>'


def _made(topic: Topic, result: Stored, judged: Sequence[Judged]) -> str:
    folder = f"topics/{topic.name}"
    parts = [
        f'<h2 id="{topic.name}">{escape(topic.title)}</h2>\n'
        f'<p class="place">{escape(topic.place)}</p>'
    ]
    parts += [_picture(drawing, folder) for drawing in result.drawings]
    if judged:
        rows = "".join(
            f'<tr><td class="state">{_mark(one.verdict)}</td>'
            f'<td><a href="#{one.claim.id}">{escape(one.claim.says)}</a></td></tr>'
            for one in judged
        )
        parts.append(f'<table class="claims"><tbody>{rows}</tbody></table>')
    parts += [_table(name, result, folder) for name in result.tables]
    if result.notes:
        parts.append(_folded("Notes", listed(result.notes, "notes")))
    parts.append(_making(result))
    return "\n".join(parts)


def _picture(drawing: Mapping[str, str], folder: str) -> str:
    return (
        f"<h3>{escape(drawing['title'])}</h3>\n"
        f'<figure><img loading="lazy" alt="{escape(drawing["alt"])}" '
        f'src="{folder}/{drawing["name"]}.png">'
        f"<figcaption>{escape(drawing['caption'])}</figcaption></figure>"
    )


def _table(name: str, result: Stored, folder: str) -> str:
    table = result.tables[name]
    link = f'<p class="files"><a href="{folder}/{name}.csv">{name}.csv</a></p>'
    if len(table.rows) > LONGEST_TABLE:
        return _folded(table.title, f"<p>{len(table.rows)} rows.</p>{link}")
    return _folded(table.title, replace(table, title="").to_html() + link)


def _making(result: Stored) -> str:
    record = {"settings": dict(result.settings), "versions": dict(result.versions)}
    text = escape(json.dumps(record, indent=1, ensure_ascii=False))
    body = f"<p><code>{escape(result.command)}</code> · {result.seconds:g} s</p><pre>{text}</pre>"
    return _folded("Command, settings and versions", body)


def _ledger(judged: Sequence[Judged]) -> str:
    files = '<p class="files"><a href="ledger.md">Markdown</a> · <a href="ledger.csv">CSV</a></p>'
    parts = ['<h2 id="ledger">Ledger of claims</h2>', files]
    for kind, title in KINDS.items():
        rows = "\n".join(_row(one) for one in judged if one.claim.kind == kind)
        body = f'<table class="claims"><tbody>\n{rows}\n</tbody></table>'
        parts.append(f'<div id="ledger-{kind}">{_folded(title, body)}</div>')
    return "\n".join(parts)


def _row(judged: Judged) -> str:
    claim = judged.claim
    paper = "" if claim.paper == "pkpo" else f"{PAPERS[claim.paper][1]}, "
    topics = ", ".join(f'<a href="#{name}">{name}</a>' for name in claim.topics)
    quote = f'<span class="part"><q>{escape(claim.quote)}</q></span>' if claim.quote else ""
    return (
        f'<tr id="{claim.id}"><td class="state">{_mark(judged.verdict)}</td>'
        f"<td><strong>{escape(claim.says)}</strong> "
        f"({escape(paper + claim.place)}; {topics}){quote}"
        f'<span class="part">{escape(found_text(judged, most=8))}</span>'
        f'<span class="part">Rule: {escape(rule_text(claim))}</span></td></tr>'
    )


def _mark(verdict: Verdict) -> str:
    return f'<span class="verdict {_CLASSES[verdict]}">{escape(verdict)}</span>'


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{body}</details>"
