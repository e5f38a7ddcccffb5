"""JSON files are written whole, or line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import RunDirectoryError
from pkpo.train.json_lines import JsonLines, write_json


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")]])
def test_json_without_a_standard_form_is_refused(tmp_path: Path, value: Any):
    path = tmp_path / "file.json"
    write_json(path, {"a": "8→1"})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": value})
    assert json.loads(path.read_text()) == {"a": "8→1"}


# Growing files


def append(path: Path, *steps: int, before: int = 0) -> None:
    lines = JsonLines(path, before_step=before)
    for step in steps:
        lines.append({"step": step})
    lines.close()


def steps_in(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_rows_are_added_at_the_end(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    append(path, 0, 1)
    append(path, 2, before=2)
    assert steps_in(path) == [0, 1, 2]


@pytest.mark.parametrize(("before", "kept"), [(0, []), (1, [0]), (2, [0, 1]), (9, [0, 1, 2, 3])])
def test_rows_from_a_step_on_are_dropped(tmp_path: Path, before: int, kept: list[int]):
    path = tmp_path / "rows.jsonl"
    append(path, 0, 1, 2, 3)
    append(path, before=before)
    assert steps_in(path) == kept


@pytest.mark.parametrize("rest", ['{"step": 1', '{"step": 1}', "{", "\0\0"])
def test_an_incomplete_last_line_is_dropped(tmp_path: Path, rest: str):
    path = tmp_path / "rows.jsonl"
    append(path, 0)
    with path.open("a") as file:
        file.write(rest)
    append(path, 5, before=5)
    assert steps_in(path) == [0, 5]


def test_a_broken_line_before_the_last_is_an_error(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    before = '{"step": 0}\n{"step"\n{"step": 2}\n'
    path.write_text(before)
    with pytest.raises(RunDirectoryError, match="line 2"):
        JsonLines(path, before_step=5)
    assert path.read_text() == before


def test_a_line_without_a_step_is_an_error(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 0}\n{"loss": 1}\n')
    with pytest.raises(RunDirectoryError, match="line 2"):
        JsonLines(path, before_step=5)


def test_kept_rows_are_kept_to_the_byte(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    first = '{"step": 0,   "value": 0.10, "text": "8\\u2192 1"}\n'
    path.write_text(first + '{"step": 1}\n')
    JsonLines(path, before_step=1).close()
    assert path.read_text() == first


def test_rows_can_be_read_while_the_file_grows(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    lines = JsonLines(path, before_step=0)
    lines.append({"step": 0})
    assert steps_in(path) == [0]
    lines.append({"step": 1})
    lines.sync()
    assert steps_in(path) == [0, 1]
    lines.close()


def test_rows_with_nan_are_refused(tmp_path: Path):
    lines = JsonLines(tmp_path / "rows.jsonl", before_step=0)
    with pytest.raises(ValueError, match="JSON"):
        lines.append({"step": 0, "loss": float("nan")})
    lines.close()
    assert steps_in(tmp_path / "rows.jsonl") == []
