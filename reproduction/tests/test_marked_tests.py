"""Tests that are marked with claims become measures."""

from __future__ import annotations

from pathlib import Path

from reproduction.marked_tests import marked_files, outcomes
from reproduction.measures import by_seed, exact

TESTS = """
import pytest


@pytest.mark.claim("one")
@pytest.mark.parametrize("x", [1, 3, 2])
def test_holds(x, record_property):
    record_property("largest x", x)


@pytest.mark.claim("two", holds=False)
def test_refutes():
    pass


@pytest.mark.claim("three")
@pytest.mark.claim("one")
def test_fails():
    assert False


def test_unmarked():
    assert False
"""


def test_outcomes_by_claim_with_recorded_numbers(tmp_path: Path, capfd):
    file = tmp_path / "tests" / "test_marked_here.py"
    file.parent.mkdir()
    file.write_text(TESTS, encoding="utf-8")
    (tmp_path / "tests" / "test_other.py").write_text("", encoding="utf-8")
    assert marked_files([tmp_path]) == [file]
    assert outcomes([file]) == {
        "one": by_seed([1.0, 1.0, 1.0, 0.0]),
        "two": by_seed([-1.0]),
        "three": by_seed([0.0]),
        "one largest x": exact(3.0),
    }
