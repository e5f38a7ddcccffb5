"""What a topic gives is stored whole, read as it was, and refused where it is damaged."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError, RunDirectoryError
from reproduction.measures import exact
from reproduction.results import read_result, source_digest, topic_folder, versions, write_result
from reproduction.tests.made_up import drawing, result


def store(folder: Path, made=None) -> None:
    given = {"quick": False, "command": "python -m reproduction curves", "seconds": 1.25}
    write_result(folder, "curves", made or result(), source="code", **given)


def test_a_result_is_read_as_it_was_written(tmp_path: Path):
    folder, made = topic_folder(tmp_path, "curves"), result()
    assert read_result(folder) is None
    store(folder, made)
    stored = read_result(folder)
    assert stored is not None
    assert stored.measures == made.measures
    assert stored.tables == made.tables
    assert (stored.notes, stored.settings) == (made.notes, made.settings)
    assert (stored.name, stored.source, stored.seconds) == ("curves", "code", 1.2)
    assert stored.versions == versions()
    assert [one["title"] for one in stored.drawings] == ["A <curve>"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["curve.png", "long.csv", "numbers.csv", "result.json"]
    with (folder / "numbers.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1] == ["a|0", "1.25", "fine"]


def test_an_earlier_result_goes_whole_and_the_same_gives_the_same_bytes(tmp_path: Path):
    store(tmp_path, result(drawings=(drawing("old"), drawing("curve"))))
    before = (tmp_path / "curve.png").read_bytes()
    store(tmp_path)
    assert not (tmp_path / "old.png").exists()
    assert (tmp_path / "curve.png").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drawings": (drawing("A b"),)}, "the name of figure 'A b' must be of a-z"),
        ({"drawings": (drawing(), drawing())}, "two figures have the name 'curve'"),
        ({"measures": {"x": exact(math.nan)}}, "must be JSON values, without NaN"),
        ({"settings": {"x": object()}}, "must be JSON values"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_left(tmp_path: Path, changes, said: str):
    with pytest.raises(InvalidInputError, match=said):
        store(tmp_path / "it", result(**changes))
    assert not (tmp_path / "it").exists()


def test_damage_is_named(tmp_path: Path):
    store(tmp_path)
    (tmp_path / "curve.png").unlink()
    with pytest.raises(RunDirectoryError, match=r"curve\.png: the file is missing"):
        read_result(tmp_path)
    path = tmp_path / "result.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for text in ("{", "[]", json.dumps({**record, "more": 1}), json.dumps({"name": "it"})):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RunDirectoryError, match=r"result\.json: the file is damaged"):
            read_result(tmp_path)


def test_the_digest_follows_code_and_inputs(tmp_path: Path):
    package, data = tmp_path / "package", tmp_path / "data.json"
    package.mkdir()
    (package / "a.py").write_bytes(b"x = 1\n")
    data.write_bytes(b"1")
    before = source_digest([data], package)
    (package / "a.py").write_bytes(b"x = 1\r\n")
    assert source_digest([data], package) == before
    data.write_bytes(b"2")
    assert source_digest([data], package) != before
    (package / "a.py").write_bytes(b"x = 2\n")
    assert source_digest([], package) != source_digest([])
