"""The page stands alone, shows what is stored, and says what is not there."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reproduction import page
from reproduction.page_parts import table_html
from reproduction.results import PKPO, Result, Table, Verdict
from reproduction.stored import topic_folder
from reproduction.tests.made_up import OTHER, TOPIC, claim, result, store, table
from reproduction.topics import TOPICS, Topic

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps ids, links, pictures and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values["href"]))
        if tag == "img":
            self.images.append(values)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture
def same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "source_digest", lambda: "code")


def written(out: Path, *topics: Topic) -> Reader:
    path = page.write_page(out, topics)
    assert path == out / "index.html"
    return Reader(path.read_text(encoding="utf-8"))


@pytest.mark.usefixtures("same_code")
def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    store(tmp_path)
    found = written(tmp_path, TOPIC)
    assert not found.tags & {"script", "link", "iframe", "object"}
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in found.images)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


@pytest.mark.usefixtures("same_code")
def test_links_lead_somewhere(tmp_path: Path) -> None:
    store(tmp_path)
    found = written(tmp_path, TOPIC, OTHER)
    assert len(found.ids) == len(set(found.ids))
    local = [link for link in found.links if not link.startswith("https://arxiv.org/abs/")]
    assert len(local) > 8
    for link in local:
        if link.startswith("#"):
            assert link[1:] in found.ids
        else:
            assert (tmp_path / link).is_file(), link


@pytest.mark.usefixtures("same_code")
def test_a_topic_is_shown_with_all_it_has(tmp_path: Path) -> None:
    stored = store(tmp_path)
    found = written(tmp_path, TOPIC)
    for text in (
        "Curves & more",
        "Fig. 9",
        "A <curve>",
        "How to read it.",
        "Some numbers",
        "<1e-12",
        "Of 0.5*max@8.",
        "Something was left out.",
        "python -m reproduction curves",
        "full settings · 1.5 s",
        '"seed": 7',
        "Full settings.",
        f"numpy {stored.versions['numpy']}",
    ):
        assert text in found.text, text
    (image,) = found.images
    assert image["alt"] == 'A "parabola".'
    data = base64.b64decode(str(image["src"]).split(",", 1)[1])
    assert data == stored.drawings[0].png.read_bytes()
    assert "incomplete" not in found.text


@pytest.mark.usefixtures("same_code")
def test_every_claim_is_in_the_ledger_with_its_verdict(tmp_path: Path) -> None:
    store(tmp_path)
    written(tmp_path, TOPIC)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr id="(claim-[^"]+)">(.*?)</tr>', html, re.DOTALL))
    assert list(rows) == ["claim-curves-2", "claim-curves-3", "claim-curves-1"]
    marks = {
        name: re.findall(r'class="verdict ([a-z-]+)">([^<]+)<', row) for name, row in rows.items()
    }
    assert marks == {
        "claim-curves-2": [("holds", "holds")],
        "claim-curves-3": [("fails", "does not hold here")],
        "claim-curves-1": [("open", "can&#x27;t tell")],
    }
    assert "Ours &amp; theirs differ" in rows["claim-curves-1"]
    assert "a &lt; 1" in rows["claim-curves-1"]
    assert (tmp_path / "ledger.csv").read_text(encoding="utf-8").count("\n") == 4
    assert "| **does not hold here** |" in (tmp_path / "ledger.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("same_code")
def test_what_is_not_made_is_named_with_the_command(tmp_path: Path) -> None:
    store(tmp_path, OTHER, Result({}, claims=(claim(PKPO, "A", Verdict.IN_PART),)), quick=True)
    found = written(tmp_path, TOPIC, OTHER)
    assert "Not made yet: curves." in found.text
    assert "not made yet: python -m reproduction curves --quick" in found.text
    assert "python -m reproduction all --quick" in found.text
    assert "holds in part: 1" in found.text


def test_the_page_of_nothing(tmp_path: Path) -> None:
    found = written(tmp_path, *TOPICS)
    assert "Nothing made yet." in found.text
    assert "No claims yet." in found.text
    assert {topic.name for topic in TOPICS} <= set(found.ids)


@pytest.mark.usefixtures("same_code")
def test_a_damaged_result_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    store(tmp_path)
    store(tmp_path, OTHER)
    (topic_folder(tmp_path, "curves") / "numbers.csv").unlink()
    found = written(tmp_path, TOPIC, OTHER)
    assert "topics/curves/numbers.csv: the file is missing" in found.text
    assert str(tmp_path) not in found.text
    assert "python -m reproduction curves" in found.text
    assert "Something else" in found.text
    assert len(found.images) == 1


def test_results_of_other_code_are_marked(tmp_path: Path) -> None:
    store(tmp_path)
    found = written(tmp_path, TOPIC)
    assert "Made by other code than the present: curves." in found.text


@pytest.mark.usefixtures("same_code")
def test_versions_that_differ_are_left_to_the_topics(tmp_path: Path) -> None:
    store(tmp_path)
    store(tmp_path, OTHER)
    path = topic_folder(tmp_path, "other") / "result.json"
    record = json.loads(path.read_bytes())
    record["versions"]["numpy"] = "99.0"
    path.write_text(json.dumps(record), encoding="utf-8")
    head = written(tmp_path, TOPIC, OTHER).text.split("Ledger of claims")[0]
    assert "others differ from topic to topic" in head
    assert "numpy" not in head
    assert "matplotlib" in head


@pytest.mark.usefixtures("same_code")
def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    store(tmp_path)
    page.write_page(tmp_path, [TOPIC, OTHER])
    files = ("index.html", "ledger.md", "ledger.csv")
    first = [(tmp_path / name).read_bytes() for name in files]
    store(tmp_path)
    page.write_page(tmp_path, [TOPIC, OTHER])
    assert [(tmp_path / name).read_bytes() for name in files] == first


def test_table_aligns_numbers_marks_bold_and_breaks_long_text() -> None:
    long = "words " * 10
    html = table_html(
        Table("t", "", ("a", "n", "said"), (("x", "1", long),), bold=frozenset({(0, 1)}))
    )
    assert '<th scope="col" class="words">a</th><th scope="col">n</th>' in html
    assert '<td class="strong">1</td>' in html
    assert f'<td class="words wrapped">{long}</td>' in html
    assert '<div class="scroll">' in html
    assert "a|b" in table_html(table())


def test_quick_and_full_topics_are_told_apart(tmp_path: Path) -> None:
    store(tmp_path, quick=True)
    store(tmp_path, OTHER, result())
    found = written(tmp_path, TOPIC, OTHER)
    assert "Quick settings in 1 of 2 topics, full in the others." in found.text
    assert "python -m reproduction all" in found.text
    assert "--quick" not in found.text
    assert "quick settings · 1.5 s" in found.text
