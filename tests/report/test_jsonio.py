"""What is said of values of the wrong type: beside tests/report/test_load.py."""

from __future__ import annotations

from typing import Any

import pytest

from pkpo.errors import RunDirectoryError
from pkpo.report.jsonio import (
    Number,
    PassAtK,
    Probability,
    Record,
    Text,
    Whole,
    checked,
    differences,
    step_of,
    told,
)


class Inner(Record):
    rate: Number


class Outer(Record):
    step: Whole
    names: tuple[Text, ...] = ()
    inner: Inner = Inner(rate=1.0)
    shares: tuple[Probability, ...] = ()
    at_k: PassAtK | None = None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "file: key 'step' is missing"),
        ({"step": 1.0}, "file: 'step' must be a whole number, not 1.0"),
        ({"step": 2**53}, f"file: 'step' is too large: {2**53}"),
        ({"step": 10**400}, "file: 'step' is too large: 1000"),
        ({"step": 1, "names": "ab"}, "file: 'names' must be a list, not \"ab\""),
        ({"step": 1, "names": ["a", None]}, "file: 'names'[1] must be a string, not null"),
        ({"step": 1, "inner": 3}, "file: 'inner' must be an object, not 3"),
        ({"step": 1, "inner": {}}, "file, in 'inner': key 'rate' is missing"),
        ({"step": 1, "inner": {"rate": "1"}}, "file, in 'inner': 'rate' must be a number, not"),
        ({"step": 1, "inner": {"rate": True}}, "file, in 'inner': 'rate' must be a number, not"),
        ({"step": 1, "inner": {"rate": 10**400}}, "file, in 'inner': 'rate' must be a number"),
        ({"step": 1, "shares": [0.5, float("nan")]}, "file: 'shares'[1] must be in [0, 1]"),
        ({"step": 1, "at_k": {"1": 1.1}}, "file: 'at_k'['1'] must be in [0, 1], not 1.1"),
        ({"step": 1, "at_k": {"0": 1}}, "file: 'at_k' has the key '0', which is not a k of 1"),
        ({"step": 1, "at_k": {"9" * 10: 1}}, "which is not a k of 1 or more"),
        ({"step": 1, "at_k": []}, "file: 'at_k' must be an object, not []"),
    ],
)
def test_the_place_and_what_is_wrong(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RunDirectoryError) as caught:
        checked(Outer, values, "file")
    assert said in str(caught.value)


def test_what_is_right_is_read() -> None:
    found = checked(Outer, {"step": 3, "at_k": {"10": 1, "2": 0.5}, "other": []}, "file")
    assert list((found.at_k or {}).items()) == [(2, 0.5), (10, 1.0)]
    assert checked(Outer, {"step": 3, "shares": [1 + 1e-9]}, "file").shares == (1 + 1e-9,)


def test_the_step_of_a_line() -> None:
    assert step_of(b'{"step": 7, "more": null}\n', "log, line 8") == 7
    with pytest.raises(RunDirectoryError, match="log, line 8: key 'step' is missing"):
        step_of(b"{}", "log, line 8")


def test_differences_are_named_and_the_first_told() -> None:
    found = list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}))
    assert found == ["a.c was 2 and is 3 now", "a.d was 'nothing' and is 4 now"]
    assert told([str(i) for i in range(9)]) == "0, 1, 2, 3, 4, ..."
