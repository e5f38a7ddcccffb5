"""The ledger has every claim once, by paper, and its counts add up."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from reproduction import ledger
from reproduction.results import CRITIQUE, PKPO, Result, Verdict
from reproduction.stored import Stored
from reproduction.tests.made_up import OTHER, TOPIC, claim, result, store


@pytest.fixture
def stored(tmp_path: Path) -> list[Stored]:
    claims = (
        claim(PKPO, "A | B", Verdict.IN_PART),
        claim("2503.19595", "From another paper", Verdict.HOLDS),
        claim(PKPO, "C", Verdict.HOLDS),
    )
    return [
        store(tmp_path, TOPIC, result()),
        store(tmp_path, OTHER, Result({}, claims=claims), quick=True),
    ]


def test_entries_are_by_paper_and_then_in_the_order_given(stored: list[Stored]) -> None:
    found = [(e.claim.paper, e.topic, e.number) for e in ledger.entries(stored)]
    assert found == [
        (PKPO, "curves", 2),
        (PKPO, "other", 1),
        (PKPO, "other", 3),
        (CRITIQUE, "curves", 3),
        ("2503.19595", "other", 2),
        ("here", "curves", 1),
    ]
    turned = [(e.topic, e.number) for e in ledger.entries(stored[::-1])]
    assert turned[:3] == [("other", 1), ("other", 3), ("curves", 2)]


def test_counts(stored: list[Stored]) -> None:
    claims = ledger.entries(stored)
    assert ledger.counts(claims) == {
        PKPO: dict(zip(Verdict, (2, 1, 0, 0))),
        CRITIQUE: dict(zip(Verdict, (0, 0, 1, 0))),
        "2503.19595": dict(zip(Verdict, (1, 0, 0, 0))),
        "here": dict(zip(Verdict, (0, 0, 0, 1))),
    }
    table = ledger.counts_table(claims)
    assert table.headers[1:] == (
        "holds",
        "holds in part",
        "does not hold here",
        "can't tell",
        "claims",
    )
    assert table.rows[0] == ("Pass@K Policy Optimization (2505.15201)", "2", "1", "0", "0", "3")
    assert table.rows[-1] == ("all", "3", "1", "1", "1", "6")


def test_one_paper_needs_no_sums(stored: list[Stored]) -> None:
    claims = [entry for entry in ledger.entries(stored) if entry.claim.paper == PKPO]
    assert len(ledger.counts_table(claims).rows) == 1


def test_csv_has_every_claim_with_its_command(stored: list[Stored]) -> None:
    rows = list(csv.DictReader(io.StringIO(ledger.to_csv(ledger.entries(stored)))))
    assert len(rows) == 6
    assert rows[1] == {
        "paper": PKPO,
        "place": "Sec. 7",
        "statement": "A | B",
        "verdict": "holds in part",
        "found": "a = 0.5",
        "rule": "a < 1",
        "command": "python -m reproduction other",
    }


def test_markdown_has_counts_claims_and_quick_topics(stored: list[Stored]) -> None:
    text = ledger.to_markdown(ledger.entries(stored))
    assert "Made with the quick settings: other." in text
    assert "| Pass@K Policy Optimization (2505.15201) | 2 | 1 | 0 | 0 | 3 |" in text
    line = (
        f"| {PKPO} | Sec. 7 | A \\| B | **holds in part** | a = 0.5 | a \\< 1 "
        "| python -m reproduction other |"
    )
    assert line in text.splitlines()


def test_a_ledger_without_claims(tmp_path: Path) -> None:
    assert ledger.entries([]) == ()
    assert ledger.counts([]) == {}
    assert "## Claims" in ledger.to_markdown([])
