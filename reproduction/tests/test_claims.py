"""The claims as they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from reproduction.claims import KINDS, load_claims
from reproduction.rules import RULES
from reproduction.topics import TOPICS

CLAIM = """
[[claim]]
id = "one"
paper = "pkpo"
place = "Fig. 9"
quote = "it helps"
says = "It helps."
topic = "figure9"
rule = "above"
"""


def load(folder: Path, text: str):
    for kind in KINDS:
        (folder / f"{kind}.toml").write_text(text if kind == "exact" else "", encoding="utf-8")
    return load_claims(folder)


def test_every_claim_names_topics_and_a_rule_that_exist():
    names = {topic.name for topic in TOPICS}
    for claim in load_claims():
        assert set(claim.topics) <= names, claim.id
        assert list(claim.each()), claim.id
        assert claim.rule in RULES, claim.id


def test_a_claim_is_filled_in_case_by_case(tmp_path: Path):
    [claim] = load(
        tmp_path,
        CLAIM + 'studies = ["a", "b"]\nover = {k = [1, 2]}\ncases = [{m = 1}, {m = 2}]\n',
    )
    assert claim.kind == "exact"
    assert len(list(claim.each())) == 8
    assert next(claim.each()) == {"study": "a", "k": 1, "m": 1}
    assert next(claim.each(without="k")) == {"study": "a", "m": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"pkpo"', '"other"'), "one: paper: "),
        (('quote = "it helps"\n', ""), "one: a paper's claim needs its words"),
        (('rule = "above"', 'rule = "above"\nbounds = 1'), "one: bounds: "),
        (('topic = "figure9"\n', ""), "one: topic: "),
        (("[[claim]]", "[[claim"), "exact.toml: "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, change: tuple[str, str], said: str):
    with pytest.raises(InvalidInputError, match=r"exact\.toml") as error:
        load(tmp_path, CLAIM.replace(*change))
    assert said in str(error.value)


def test_two_claims_with_one_id_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="two claims have the id 'one'"):
        load(tmp_path, CLAIM + CLAIM)
