"""Results on disk: what is written is read again, and only whole and present results count."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pkpo
from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.files import write_atomically
from reproduction import stored as module
from reproduction.made_by import source_digest, versions
from reproduction.results import Result, Table
from reproduction.stored import is_current, read_result, to_pdf, topic_folder, write_result
from reproduction.tests.made_up import TOPIC, drawing, result, store, table
from reproduction.text_tables import numeric_columns, to_markdown


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    store(out)
    return out


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return topic_folder(tmp_path, TOPIC.name)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


FILES = {"curve.pdf", "curve.png", "numbers.csv", "numbers.md", "result.json"}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    stored = store(tmp_path, quick=True)
    made = result()
    assert (stored.name, stored.title, stored.place) == ("curves", "Curves & more", "Fig. 9")
    assert (stored.quick, stored.command) == (True, "python -m reproduction curves")
    assert (stored.seconds, stored.source, stored.inputs) == (1.5, "code", "")
    assert stored.settings == {"seed": 7, "ks": [1, 2], "rate": 0.25}
    assert stored.tables == made.tables
    assert stored.claims == made.claims
    assert stored.notes == made.notes
    (picture,) = stored.drawings
    assert (picture.title, picture.caption, picture.alt) == (
        "A <curve>",
        "How to read it.",
        'A "parabola".',
    )
    assert picture.png.read_bytes().startswith(b"\x89PNG")
    assert picture.pdf.read_bytes().startswith(b"%PDF")


def test_versions_are_of_what_runs_and_free_of_the_platform(folder: Path) -> None:
    found = json.loads((folder / "result.json").read_bytes())["versions"]
    assert set(found) == {"python", "pkpo", "numpy", "torch", "matplotlib"}
    assert found["pkpo"] == pkpo.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert not any("+" in value for value in found.values())


def test_csv_has_the_cells_alone(folder: Path) -> None:
    with (folder / "numbers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [list(table().headers), *map(list, table().rows)]


def test_markdown_has_bold_cells_escapes_and_notes() -> None:
    assert to_markdown(table()) == (
        "## Some numbers\n\n"
        "| case | ours | paper | said |\n"
        "| --- | ---: | ---: | --- |\n"
        "| a\\|b | **1.25** | 1.2 | fine |\n"
        '| c, d | \\<1e-12 | – | **so "so"** |\n\n'
        "- Of 0.5\\*max@8.\n"
    )


def test_columns_of_numbers() -> None:
    cells = ("1", "-1.5", "+2.47 (+2.41 s.e.)", "22.24 ± 0.50", "< 3", "–", ".5", "inf", "≈ 1e-3")
    for cell in cells:
        assert numeric_columns(Table("t", "", ("", "x"), (("1", cell),))) == (False, True), cell
    for cell in ("k=1", "yes", "a 1", "[1]"):
        assert numeric_columns(Table("t", "", ("", "x"), (("1", cell),))) == (False, False), cell
    assert numeric_columns(Table("t", "", ("", "x"), ())) == (False, True)


def test_the_same_figure_gives_the_same_pdf_in_another_process() -> None:
    program = (
        "import hashlib; from reproduction.tests.made_up import drawing; "
        "from reproduction.stored import to_pdf; "
        "print(hashlib.sha256(to_pdf(drawing().figure)).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    content = to_pdf(drawing().figure)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert b"CreationDate" not in content


def test_both_forms_of_a_figure_are_of_its_size(folder: Path) -> None:
    """4 by 3 inches: 640 by 480 dots at 160 an inch, 288 by 216 points."""
    content = (folder / "curve.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (640, 480)
    assert b"/MediaBox [ 0 0 288 216 ]" in (folder / "curve.pdf").read_bytes()


def test_a_later_result_takes_the_place_of_an_earlier_one(folder: Path, tmp_path: Path) -> None:
    (folder / ".numbers.csv.123.part").write_text("half", encoding="utf-8")
    made = Result(settings={}, tables=(table("others"),))
    store(tmp_path, made=made)
    assert names(folder) == {"others.csv", "others.md", "result.json"}


def test_files_of_other_kinds_are_left_alone(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    store(tmp_path)
    assert names(folder) == {*FILES, "notes.txt"}


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_write_that_fails_leaves_no_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Of the five files the nth can't be written; the old result does not stand for the new."""
    calls = []

    def full_disk(path: Path, write: object) -> None:
        calls.append(path.name)
        if len(calls) == nth:
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, write)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module, "write_atomically", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_result(folder, TOPIC, result(), quick=False, command="", seconds=0.0, source="")
    assert read_result(folder) is None
    assert not is_current(folder, quick=False, source="")
    if nth == 5:
        assert calls[-1] == "result.json"


def test_no_result_yet(tmp_path: Path) -> None:
    assert read_result(tmp_path / "nowhere") is None
    assert read_result(tmp_path) is None


def test_a_result_is_current_for_what_made_it_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_current(folder, quick=False, source="code")
    assert not is_current(folder, quick=True, source="code")
    assert not is_current(folder, quick=False, source="changed code")
    assert not is_current(folder, quick=False, source="code", inputs="a run")
    monkeypatch.setattr(module, "versions", lambda: {**versions(), "numpy": "99.0"})
    assert not is_current(folder, quick=False, source="code")


def test_inputs_count(tmp_path: Path) -> None:
    write_result(
        tmp_path, TOPIC, result(), quick=False, command="", seconds=0.0, source="", inputs="a run"
    )
    assert is_current(tmp_path, quick=False, source="", inputs="a run")
    assert not is_current(tmp_path, quick=False, source="", inputs="another run")
    assert not is_current(tmp_path, quick=False, source="")


@pytest.mark.parametrize("name", sorted(FILES - {"result.json"}))
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(RunDirectoryError, match=rf"{name}: the file is missing"):
        read_result(folder)
    assert not is_current(folder, quick=False, source="code")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["claims", 1, "verdict"], "maybe", r"in 'claims'\[1\]: 'verdict' must be one of 'holds'"),
        (["claims", 0], "text", r"'claims'\[0\] must be an object"),
        (["quick"], 1, "'quick' must be true or false, not 1"),
        (["tables", 0, "rows", 1], ["too", "few"], r"'rows'\[1\] must be 4 strings"),
        (["tables", 0, "rows", 1], "abcd", r"'rows'\[1\] must be 4 strings"),
        (["tables", 0, "bold", 0], [1], r"'bold'\[0\] must be a row and a column"),
        (["versions"], [], "'versions' must be an object"),
        (["drawings", 0, "alt"], None, r"in 'drawings'\[0\]: 'alt' must be a string, not null"),
    ],
)
def test_a_damaged_result_is_named_with_the_place(
    folder: Path, path: list[str | int], value: object, message: str
) -> None:
    record = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    target = record
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=rf"result\.json.*{message}"):
        read_result(folder)
    assert not is_current(folder, quick=False, source="code")


@pytest.mark.parametrize("content", ["", "{", '{"name": "curves"}', "[]"])
def test_a_cut_result_is_an_error_that_names_it(folder: Path, content: str) -> None:
    (folder / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"result\.json"):
        read_result(folder)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Result({}, tables=(table("Result 1"),)), "table 'Result 1' must be of a-z"),
        (Result({}, tables=(table("../up"),)), "table '../up' must be of a-z"),
        (Result({}, tables=(table(), table())), "two tables have the name 'numbers'"),
        (Result({}, drawings=(drawing(), drawing())), "two figures have the name 'curve'"),
        (Result({"rate": float("nan")}), "topic curves: settings must be JSON values"),
        (Result({"seeds": {1, 2}}), "topic curves: settings must be JSON values"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_old_result_goes(
    folder: Path, made: Result, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        write_result(folder, TOPIC, made, quick=False, command="", seconds=0.0, source="")
    assert names(folder) == FILES
    assert is_current(folder, quick=False, source="code")


def test_a_table_and_a_figure_may_share_a_name(tmp_path: Path) -> None:
    made = replace(result(), tables=(table("curve"),))
    store(tmp_path, made=made)
    assert {"curve.csv", "curve.png"} <= names(topic_folder(tmp_path, TOPIC.name))


def copy_of_the_package(tmp_path: Path) -> Path:
    root = tmp_path / "elsewhere" / "pkpo"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pkpo.__file__).parent, root, ignore=ignored)
    return root


def test_the_digest_is_of_deciding_code_alone(tmp_path: Path) -> None:
    root = copy_of_the_package(tmp_path)
    first = source_digest(root)
    assert first == source_digest()
    for name in ("cli/show.py", "core/notes.txt"):
        (root / name).write_text("changed", encoding="utf-8")
        assert source_digest(root) == first, name
    file = root / "core" / "weights.py"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert source_digest(root) == first
    seen = {first}
    for name in ("core/weights.py", "train/job.py", "engines/embedded/model.py", "tasks/new.py"):
        with (root / name).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
        seen.add(source_digest(root))
    (root / "tasks/new.py").rename(root / "tasks/newer.py")
    seen.add(source_digest(root))
    assert len(seen) == 6


def test_the_digest_is_of_names_and_contents_in_the_order_of_names(tmp_path: Path) -> None:
    files = {f"core/{name}.py": f"{name} = 1\n" for name in "zyxwvutsrq"} | {"tasks/a.py": ""}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    text = "".join(f"{name}\0{len(files[name])}\0{files[name]}" for name in sorted(files))
    assert source_digest(tmp_path, tmp_path / "none") == hashlib.sha256(text.encode()).hexdigest()
