"""The page of a run."""

from __future__ import annotations

from pkpo.report.html import MAX_TEXT, shorten


def test_long_texts_are_cut() -> None:
    assert shorten("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert shorten("a" * (MAX_TEXT + 7)).endswith("a … (7 more characters)")
