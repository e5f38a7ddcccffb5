"""Where rows of problems come from, and which splits of a data set count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.rows import load_rows, read_rows

datasets = pytest.importorskip("datasets")
ROWS = [{"id": "a", "n": 1}, {"id": "b", "n": 2}]


def write_parquet(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_parquet(str(path))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.jsonl", lambda path: path.write_text("\n\n".join(map(json.dumps, ROWS)))),
        ("rows.json", lambda path: path.write_text(json.dumps(ROWS))),
        ("rows.parquet", write_parquet),
    ],
)
def test_rows_are_the_same_in_every_form(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path], object],
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / name)
    places, rows = zip(*read_rows(tmp_path / name))
    assert list(rows) == ROWS
    assert all(place.startswith(str(tmp_path / name)) for place in places)


def test_a_data_set_s_other_splits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": ROWS[:1], "dev": ROWS[1:], "prompt": ROWS}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: splits)
    with pytest.warns(UserWarning, match="data set 'mbpp': left out prompt"):
        found = list(load_rows(None, "mbpp", None))
    assert found == [
        ("mbpp, train, row 0", {"id": "a", "n": 1, "split": "train"}),
        ("mbpp, dev, row 0", {"id": "b", "n": 2, "split": "validation"}),
    ]


def test_a_data_set_without_any_of_the_splits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: {"prompt": ROWS})
    with pytest.raises(InvalidInputError, match=r"none of the splits .*but prompt"):
        list(load_rows(None, "mbpp", None))
