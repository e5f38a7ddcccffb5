"""Every claim with its verdict, computed from the stored measures alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pkpo.tables import Table
from reproduction.claims import KINDS, PAPERS, Claim
from reproduction.measures import Measure
from reproduction.rules import Judged, Verdict, found_text, judge, rule_text


def judge_all(
    claims: Iterable[Claim], measures: Mapping[str, Mapping[str, Measure]]
) -> tuple[Judged, ...]:
    """One verdict a claim; can't tell where its topic has no result.

    Args:
        claims: what is judged.
        measures: by topic.
    """
    judged = []
    for claim in claims:
        found: dict[str, Measure] = {}
        for topic in claim.topics:
            found |= measures.get(topic, {})
        judged.append(judge(claim, found))
    return tuple(judged)


def counts(ledger: Sequence[Judged]) -> dict[str, dict[Verdict, int]]:
    """How many claims of each kind got each verdict, zeros included."""
    found = Counter((judged.claim.kind, judged.verdict) for judged in ledger)
    return {kind: {verdict: found[kind, verdict] for verdict in Verdict} for kind in KINDS}


def counts_table(ledger: Sequence[Judged]) -> Table:
    """`counts`, a row for each kind. There is no sum: the kinds don't weigh the same."""
    rows = tuple(
        (KINDS[kind], *map(str, found.values()), str(sum(found.values())))
        for kind, found in counts(ledger).items()
    )
    return Table(("", *map(str, Verdict), "claims"), rows, title="Verdicts")


def ledger_table(ledger: Sequence[Judged]) -> Table:
    """One row a claim."""
    rows = tuple(
        (
            judged.claim.kind,
            PAPERS[judged.claim.paper][0] or judged.claim.paper,
            judged.claim.place,
            judged.claim.says,
            str(judged.verdict),
            found_text(judged),
            rule_text(judged.claim),
            judged.claim.quote,
            ", ".join(judged.claim.topics),
            judged.claim.id,
        )
        for judged in ledger
    )
    return Table(_HEADERS, rows, words=frozenset(range(len(_HEADERS))))


_HEADERS = ("kind", "paper", "place", "claim", "verdict", "found", "rule", "quote", "topic", "id")
_SHOWN = tuple(map(_HEADERS.index, ("place", "claim", "verdict", "found", "rule")))


def to_csv(ledger: Sequence[Judged]) -> str:
    """One line a claim."""
    return ledger_table(ledger).to_csv()


def to_markdown(ledger: Sequence[Judged]) -> str:
    """The counts, then the claims of each kind."""
    parts = ["# Ledger of claims", counts_table(ledger).to_markdown(heading=2)]
    for kind, title in KINDS.items():
        mine = [judged for judged in ledger if judged.claim.kind == kind]
        rows = tuple(tuple(row[i] for i in _SHOWN) for row in ledger_table(mine).rows)
        headers = tuple(_HEADERS[i] for i in _SHOWN)
        bold = frozenset((i, 2) for i in range(len(rows)))
        words = frozenset(range(len(headers)))
        one = Table(headers, rows, title=title, bold=bold, words=words)
        parts.append(one.to_markdown(heading=2))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
