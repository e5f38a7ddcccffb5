"""All claims of the stored topics in one place, with what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reproduction import text_tables
from reproduction.results import CRITIQUE, PKPO, Claim, Table, Verdict
from reproduction.stored import Stored

HERE = "here"
"""The paper of findings of our own."""

PAPERS = {
    PKPO: f"Pass@K Policy Optimization ({PKPO})",
    CRITIQUE: f"Pass@k Metric for RLVR ({CRITIQUE})",
    HERE: "Findings of our own",
}
"""What the ledger calls the papers, in its order."""


@dataclass(frozen=True)
class Entry:
    """A line of the ledger.

    Args:
        claim: what is claimed, and its verdict.
        topic: name of the topic that looked at it.
        number: of the claim in its topic, from 1.
        command: that makes the topic again.
        quick: whether the verdict rests on the smaller settings.
    """

    claim: Claim
    topic: str
    number: int
    command: str
    quick: bool


def entries(stored: Iterable[Stored]) -> tuple[Entry, ...]:
    """Every claim, by paper, and within a paper in the order of `stored`."""
    found = [
        Entry(claim, result.name, number, result.command, result.quick)
        for result in stored
        for number, claim in enumerate(result.claims, start=1)
    ]
    order = {paper: place for place, paper in enumerate(papers(found))}
    return tuple(sorted(found, key=lambda entry: order[entry.claim.paper]))


def papers(ledger: Iterable[Entry]) -> list[str]:
    """The papers with claims: those of PAPERS, then any others, findings of our own last."""
    found = {entry.claim.paper for entry in ledger}
    known = [paper for paper in PAPERS if paper != HERE]
    return [
        *(paper for paper in known if paper in found),
        *sorted(found - set(PAPERS)),
        *([HERE] if HERE in found else []),
    ]


def counts(ledger: Sequence[Entry]) -> dict[str, dict[Verdict, int]]:
    """How many claims of each paper got each verdict, zeros included."""
    found = Counter((entry.claim.paper, entry.claim.verdict) for entry in ledger)
    return {
        paper: {verdict: found[paper, verdict] for verdict in Verdict} for paper in papers(ledger)
    }


def counts_table(ledger: Sequence[Entry]) -> Table:
    """`counts` with sums."""
    by_paper = counts(ledger)
    rows = [
        (PAPERS.get(paper, paper), *map(str, found.values()), str(sum(found.values())))
        for paper, found in by_paper.items()
    ]
    if len(by_paper) > 1:
        sums = [sum(found[verdict] for found in by_paper.values()) for verdict in Verdict]
        rows.append(("all", *map(str, sums), str(len(ledger))))
    return Table("counts", "Verdicts", ("", *map(str, Verdict), "claims"), tuple(rows))


def ledger_table(ledger: Sequence[Entry]) -> Table:
    """One row a claim."""
    headers = ("paper", "place", "statement", "verdict", "found", "rule", "command")
    rows = tuple(
        (
            entry.claim.paper,
            entry.claim.place,
            entry.claim.statement,
            str(entry.claim.verdict),
            entry.claim.found,
            entry.claim.rule,
            entry.command,
        )
        for entry in ledger
    )
    return Table("ledger", "Claims", headers, rows)


def to_csv(ledger: Sequence[Entry]) -> str:
    """One line a claim."""
    return text_tables.to_csv(ledger_table(ledger))


def to_markdown(ledger: Sequence[Entry]) -> str:
    """The counts, then one line a claim."""
    rules = (
        'What a paper says, in our words; the rule that was set beforehand for "holds"; what was '
        "found; and the verdict, computed by that rule."
    )
    parts = ["# Ledger of claims", f"{rules}{_on_quick(ledger)}"]
    parts += [text_tables.to_markdown(table) for table in (counts_table(ledger), _lines(ledger))]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _on_quick(ledger: Sequence[Entry]) -> str:
    quick = list(dict.fromkeys(entry.topic for entry in ledger if entry.quick))
    return f" Made with the quick settings: {', '.join(quick)}." if quick else ""


def _lines(ledger: Sequence[Entry]) -> Table:
    table = ledger_table(ledger)
    verdict = table.headers.index("verdict")
    bold = frozenset((i, verdict) for i in range(len(table.rows)))
    return Table(table.name, table.title, table.headers, table.rows, bold=bold)
