"""Files of completions: their fields, their damage, and scoring that goes on where it stopped."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.completions import Completion, read_completions, references, score
from tests.tasks.made_up import Obedient

TASK = Obedient()


def content(*rows: object) -> bytes:
    return "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows).encode()


def read(*rows: object, **settings: Any) -> tuple[list[Completion], list[str]]:
    given = {"split": None, "on_bad_line": "error"} | settings
    return read_completions(content(*rows), "c.jsonl", TASK, **given)


@pytest.mark.parametrize(
    "row",
    [
        {"task_id": "test-1", "completion": "1"},
        {"problem": "test-1", "response": "1"},
        {"problem_id": "test-1", "generation": "1"},
        {"id": "test-1", "output": "1"},
        {"id": "test-1", "text": "1"},
        {"id": "test-1", "completion": [{"role": "user", "content": "?"}, {"content": "1"}]},
    ],
)
def test_the_usual_names_of_fields_are_known(row: dict[str, Any]) -> None:
    assert read(row) == ([Completion("test", 1, "test-1", "1", {})], [])


def test_other_fields_are_kept_and_archives_are_read() -> None:
    row = {"id": "train-0", "text": "1", "model": "m", "temperature": 0.5}
    data = gzip.compress(content(row, "", row))
    found, _ = read_completions(data, "c", TASK, None, "error")
    assert [one.rest for one in found] == [{"model": "m", "temperature": 0.5}] * 2


GOOD = {"id": "test-0", "text": "1"}
BAD = [
    ("{", "line 2: not JSON"),
    ("[" * 100_000, "line 2: not JSON"),
    ("[1]", "line 2: not an object"),
    ({"text": "1"}, "line 2: no one of task_id, problem, problem_id, id; there are text"),
    ({"id": "test-0"}, "line 2: no one of completion, response"),
    ({"id": "test-9", "text": "1"}, "line 2: no problem 'test-9'"),
    ({"id": True, "text": "1"}, "line 2: id must be a problem's id, got True"),
    ({"id": ["test-0"], "text": "1"}, "line 2: id must be a problem's id"),
    ({"id": "test-0", "text": None}, "line 2: text must be text, got None"),
    ({"id": "test-0", "text": [{}]}, "line 2: text must be text, got None"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_bad_lines_are_named_or_left_out(row: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read(GOOD, row, GOOD)
    found, bad = read(GOOD, row, GOOD, on_bad_line="skip")
    assert len(found) == 2
    assert len(bad) == 1
    assert message in bad[0]


def test_many_bad_lines_are_counted_and_none_left_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match=r"(?s)line 5: not JSON.*and 3 more$"):
        read(*["{"] * 8)
    with pytest.raises(InvalidInputError, match=r"c\.jsonl: no completion of a problem of obe"):
        read(*["{"] * 8, on_bad_line="skip")
    with pytest.raises(InvalidInputError, match="empty"):
        read()


def test_a_split_limits_the_problems() -> None:
    assert read(GOOD, split="test")[0][0].split == "test"
    with pytest.raises(InvalidInputError, match="no problem 'test-0'"):
        read(GOOD, split="train")


def test_references_are_the_task_s_own() -> None:
    assert [(one.name, one.text) for one in references(TASK, "train")] == [
        (f"train-{i}", "1") for i in range(3)
    ]
    assert len(references(TASK, None)) == 6


def test_a_task_without_references_has_none_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Obedient, "reference", lambda self, split, problem: None)
    with pytest.raises(InvalidInputError, match="obedient has no answers of its own to score"):
        references(TASK, None)


def scored(out: Path | None, *texts: str, seen: list[int] | None = None, **settings: Any) -> Any:
    names = ("test-0", "train-1")
    rows = [{"id": names[i % 2], "text": text, "model": "m"} for i, text in enumerate(texts)]
    on_done = (seen if seen is not None else []).append
    options = {"workers": 1, "timeout": 60.0, "on_done": on_done}
    return score(TASK, read(*rows)[0], out, settings, **options)


def test_the_log_has_the_rows_in_their_order_and_nothing_else_is_left(tmp_path: Path) -> None:
    out, seen = tmp_path / "log.jsonl", []
    verdicts = scored(out, "1", "0.5", "0", "1", seen=seen)
    assert [verdict.reward for verdict in verdicts] == [1, 0.5, 0, 1]
    assert seen == [0, 1, 2, 3, 4]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[3] == {
        "model": "m",
        "problem": "train-1",
        "sample": 1,
        "reward": 1.0,
        "reason": "train 1: 1",
        "completion": "1",
    }
    assert [row["sample"] for row in rows] == [0, 0, 1, 1]
    assert list(tmp_path.iterdir()) == [out]


def test_work_that_stopped_goes_on(tmp_path: Path) -> None:
    """Verdicts that are there stay as they are; a line that was cut off is redone."""
    out, partial = tmp_path / "log.jsonl", tmp_path / "log.jsonl.partial"
    texts = ["1", "0.5", "refuse", "pid"]
    with pytest.raises(InvalidInputError, match="no sandbox"):
        scored(out, *texts)
    kept = partial.read_text().splitlines()
    assert sorted(json.loads(line)[0] for line in kept[1:]) == [0, 1, 3]
    edited = [kept[0], json.dumps([0, 1.0, "kept"]), json.dumps([2, 0.25, "kept"]), "[1, 0."]
    partial.write_text("\n".join(edited))
    seen: list[int] = []
    verdicts = scored(out, *texts, seen=seen)
    assert [verdict.reward for verdict in verdicts] == [1, 0.5, 0.25, 1]
    assert [verdict.reason for verdict in verdicts[::2]] == ["kept", "kept"]
    assert seen == [2, 3, 4]
    assert not partial.exists()


def test_work_on_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    out, partial = tmp_path / "log.jsonl", tmp_path / "log.jsonl.partial"
    with pytest.raises(InvalidInputError, match="no sandbox"):
        scored(out, "1", "1", "refuse")
    before = partial.read_bytes()
    for texts, settings in ((("1", "0", "1"), {}), (("1", "1", "refuse"), {"reward": "tests"})):
        with pytest.raises(InvalidInputError, match="holds verdicts on other completions"):
            scored(out, *texts, **settings)
    assert partial.read_bytes() == before
    partial.write_text("nothing\n")
    with pytest.raises(InvalidInputError, match="holds verdicts on other"):
        scored(out, "1")


def test_no_log_need_be_written(tmp_path: Path) -> None:
    assert [verdict.reward for verdict in scored(None, "1", "0")] == [1, 0]
