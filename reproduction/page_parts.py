"""Pieces of the reproduction's page: tables, verdicts and claims as HTML, and their style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pkpo.report.page import listed
from reproduction.ledger import PAPERS, Entry, papers
from reproduction.results import Table, Verdict
from reproduction.text_tables import numeric_columns

WRAPPED_FROM = 36
"""Characters from which a cell of text is broken into lines."""

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
p.place { color: var(--muted); font-size: .9rem; margin-top: -.4rem; }
nav ol { padding-left: 1.4rem; margin: .5rem 0; }
nav li { margin: .2rem 0; }
nav .tally { margin-left: .4rem; }
a { color: var(--link); }
td.words, th.words { text-align: left; }
td.wrapped { white-space: normal; min-width: 15rem; max-width: 30rem; }
td.strong { font-weight: 700; }
.verdict { display: inline-block; border: 1px solid currentColor; border-radius: 1rem;
  padding: 0 .55rem; font-size: .78rem; font-weight: 600; line-height: 1.5; white-space: nowrap; }
.holds { color: var(--good); } .in-part { color: var(--part); }
.fails { color: var(--bad); } .open { color: var(--muted); }
.tally span { font-size: .8rem; white-space: nowrap; margin-right: .5rem; }
table.claims { width: 100%; }
table.claims th, table.claims td { text-align: left; white-space: normal; vertical-align: top; }
table.claims td.where { width: 11rem; font-size: .82rem; }
table.claims td.state { width: 9.5rem; }
table.claims .statement { font-weight: 600; }
table.claims .part { display: block; margin-top: .25rem; font-size: .84rem;
  overflow-wrap: anywhere; }
table.claims .part b { color: var(--muted); font-weight: 600; }
table.claims tr:target td { background: var(--soft); }
.files { font-size: .82rem; color: var(--muted); margin: .35rem 0 0; }
.command { background: var(--soft); border: 1px solid var(--line); border-radius: 4px;
  padding: .05rem .35rem; font-size: .82rem; overflow-wrap: anywhere; }
@media (min-width: 40.01rem) {
  .scroll th:first-child, .scroll td:first-child { position: sticky; left: 0;
    background: var(--page); }
}
@media (max-width: 40rem) {
  table.claims, table.claims tbody, table.claims tr, table.claims td { display: block;
    width: auto !important; }
  table.claims thead { display: none; }
  table.claims tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  table.claims td { border: 0; padding: .1rem 0; }
  td.wrapped { min-width: 11rem; }
}
"""
"""Rules on top of the report pages'."""


def verdict_mark(verdict: Verdict) -> str:
    """The verdict in its colour."""
    return f'<span class="verdict {_CLASSES[verdict]}">{escape(verdict)}</span>'


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many of each verdict there are, without zeros."""
    found = ((verdict, verdicts.count(verdict)) for verdict in Verdict)
    marks = "".join(
        f'<span class="{_CLASSES[verdict]}">{escape(verdict)}: {number}</span>'
        for verdict, number in found
        if number
    )
    return f'<span class="tally">{marks}</span>'


def code(command: str) -> str:
    """A command inside a line of text."""
    return f'<code class="command">{escape(command)}</code>'


def table_html(table: Table) -> str:
    """The table and its notes, without its title; scrolls where it is too wide."""
    numeric = numeric_columns(table)
    head = "".join(
        f'<th scope="col"{_css([] if numeric[j] else ["words"])}>{escape(text)}</th>'
        for j, text in enumerate(table.headers)
    )
    body = "\n".join(_row(table, i, numeric) for i in range(len(table.rows)))
    notes = listed(table.notes, "notes") if table.notes else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>\n{notes}"
    )


def _row(table: Table, i: int, numeric: Sequence[bool]) -> str:
    cells = []
    for j, text in enumerate(table.rows[i]):
        classes = [] if numeric[j] else ["words"]
        classes += ["wrapped"] if len(text) >= WRAPPED_FROM else []
        classes += ["strong"] if (i, j) in table.bold else []
        cells.append(f"<td{_css(classes)}>{escape(text)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _css(classes: Sequence[str]) -> str:
    return f' class="{" ".join(classes)}"' if classes else ""


def claim_id(entry: Entry) -> str:
    """Where the ledger has the claim."""
    return f"claim-{entry.topic}-{entry.number}"


def ledger_html(ledger: Sequence[Entry]) -> str:
    """Every claim, a table for each paper."""
    parts = []
    for paper in papers(ledger):
        mine = [entry for entry in ledger if entry.claim.paper == paper]
        rows = "\n".join(_claim_row(entry) for entry in mine)
        parts.append(
            f"<h3>{escape(PAPERS.get(paper, paper))}</h3>\n"
            '<table class="claims"><thead><tr><th scope="col">where</th>'
            '<th scope="col">verdict</th><th scope="col">claim</th></tr></thead>\n'
            f"<tbody>\n{rows}\n</tbody></table>"
        )
    return "\n".join(parts)


def _claim_row(entry: Entry) -> str:
    claim = entry.claim
    quick = " (quick)" if entry.quick else ""
    return (
        f'<tr id="{claim_id(entry)}">'
        f'<td class="where">{escape(claim.place)}<span class="part">'
        f'<a href="#{entry.topic}">{escape(entry.topic)}</a>{quick}</span></td>'
        f'<td class="state">{verdict_mark(claim.verdict)}</td>'
        f'<td><span class="statement">{escape(claim.statement)}</span>'
        f'<span class="part"><b>Found:</b> {escape(claim.found)}</span>'
        f'<span class="part"><b>Rule:</b> {escape(claim.rule)}</span>'
        f'<span class="part"><b>Again:</b> {code(entry.command)}</span></td></tr>'
    )
