"""The page and the ledger of made-up topics."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from reproduction.ledger import counts, judge_all
from reproduction.page import write_page
from reproduction.results import topic_folder, write_result
from reproduction.rules import Verdict
from reproduction.tests.made_up import CLAIMS, OTHER, TOPIC, result


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = topic_folder(tmp_path, "curves")
    write_result(
        folder, "curves", result(), quick=True, command="python -m it", seconds=2.0, source="code"
    )
    return tmp_path


def written(out: Path) -> str:
    page = write_page(out, [TOPIC, OTHER], CLAIMS)
    assert page == out / "index.html"
    return page.read_text(encoding="utf-8")


def test_verdicts_are_counted_by_kind_without_a_sum(out: Path):
    judged = judge_all(CLAIMS, {"curves": result().measures})
    assert [one.verdict for one in judged] == [
        Verdict.HOLDS,
        Verdict.HOLDS,
        Verdict.NO,
        Verdict.OPEN,
    ]
    found = counts(judged)
    assert list(found) == ["exact", "paper-tables", "toys", "training"]
    assert found["training"][Verdict.NO] == 1
    head = written(out).split("<h2")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", head)
    assert [re.sub("<[^>]+>", " ", row).split()[-1] for row in rows[1:]] == ["1", "0", "1", "2"]


def test_counts_and_pictures_come_first_and_the_ledger_is_folded(out: Path):
    html = written(out)
    places = [html.index(text) for text in ('class="counts"', "<img", 'id="ledger"')]
    assert places == sorted(places)
    ledger = html[html.index('id="ledger"') :]
    assert ledger.index("<details>") < ledger.index('<tr id="one"')
    assert html.count("<details") == html.count("</details>")


def test_pictures_are_linked_and_long_tables_too(out: Path):
    html = written(out)
    assert "base64" not in html
    assert 'src="topics/curves/curve.png"' in html
    assert 'href="topics/curves/long.csv"' in html
    assert "a|39" not in html
    assert "a|1" in html
    assert len(html) < 20_000
    for link in re.findall(r'(?:src|href)="([^"#:]+)"', html):
        assert (out / link).is_file(), link


def test_every_word_is_escaped(out: Path):
    html = written(out)
    assert "A &lt;curve&gt;" in html
    assert "it &lt;helps&gt;" in html
    assert "Claim one &amp; more." in html


def test_what_is_missing_or_damaged_is_said(out: Path):
    html = written(out)
    assert "Not made yet: other." in html
    assert "Made with the quick settings: curves." in html
    assert "Not measured: nothing." in html
    assert "counted as “can&#x27;t tell”: four." in html
    (topic_folder(out, "curves") / "curve.png").unlink()
    html = written(out)
    assert "Can&#x27;t be read: topics/curves/curve.png: the file is missing" in html


def test_the_ledger_is_written_as_text_too(out: Path):
    written(out)
    with (out / "ledger.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["one", "two", "three", "four"]
    assert rows[1]["verdict"] == "holds"
    assert rows[2]["topic"] == "curves"
    assert rows[3]["topic"] == "curves, other"
    text = (out / "ledger.md").read_text(encoding="utf-8")
    assert text.startswith("# Ledger of claims\n")
    assert "| Training | 1 | 0 | 1 | 0 | 2 |" in text
    assert "**does not hold here**" in text
