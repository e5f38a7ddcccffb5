"""Files are written whole or not at all, and runs are never overwritten."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pkpo
from pkpo.errors import RunDirectoryError
from pkpo.files import write_atomically
from pkpo.train import run_directory
from pkpo.train.run_directory import RunDirectory, new_folder

from .tiny import make_config


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


# Single files


def test_writing_replaces_the_file(tmp_path: Path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda p: p.write_text("one"))
    write_atomically(path, lambda p: p.write_text("two"))
    assert path.read_text() == "two"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), ValueError("bad")])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, error: BaseException):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_readers_never_see_a_half_written_file(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")

    def look(temporary: Path) -> None:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent

    write_atomically(path, look)
    assert path.read_text() == "half"


# Run directories


def test_a_new_run_says_how_it_was_made(tmp_path: Path):
    config = make_config()
    run = RunDirectory.create(tmp_path / "a" / "b", config, "pkpo train --out 'a b'")
    assert names(run.path) == ["command.txt", "config.json", "versions.json"]
    assert (run.path / "command.txt").read_text() == "pkpo train --out 'a b'\n"
    assert json.loads((run.path / "versions.json").read_text())["pkpo"] == pkpo.__version__
    opened = RunDirectory.open(run.path)
    assert opened.config == config
    assert opened.path == run.path


def test_an_empty_folder_may_become_a_run(tmp_path: Path):
    RunDirectory.create(tmp_path, make_config(), "")
    assert RunDirectory.open(tmp_path).config == make_config()


@pytest.mark.parametrize("content", ["config.json", ".hidden", "notes.txt"])
def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path, content: str):
    (tmp_path / content).write_text("mine")
    with pytest.raises(RunDirectoryError, match="never overwritten"):
        RunDirectory.create(tmp_path, make_config(), "")
    assert names(tmp_path) == [content]
    assert (tmp_path / content).read_text() == "mine"


def test_a_run_is_not_made_twice(tmp_path: Path):
    RunDirectory.create(tmp_path / "run", make_config(), "first")
    with pytest.raises(RunDirectoryError, match="--resume"):
        RunDirectory.create(tmp_path / "run", make_config("mean"), "second")
    assert (tmp_path / "run" / "command.txt").read_text() == "first\n"
    assert RunDirectory.open(tmp_path / "run").config == make_config()


def test_a_file_is_no_run_directory(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "run"):
        with pytest.raises(RunDirectoryError):
            RunDirectory.create(path, make_config(), "")
        with pytest.raises(RunDirectoryError):
            RunDirectory.open(path)
    assert file.read_text() == "mine"


def test_opening_what_is_not_there(tmp_path: Path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunDirectoryError, match=r"no config\.json"):
            RunDirectory.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"arms": []}', '{"unknown": 1}', "\x80"])
def test_opening_a_broken_config(tmp_path: Path, text: str):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunDirectoryError, match=r"config\.json"):
        RunDirectory.open(tmp_path)


def test_every_arm_and_seed_has_its_own_folder(tmp_path: Path):
    config = make_config()
    arms = [
        config.arms[0].model_copy(update={"name": name}) for name in ("k=1", "8→1", "min@2 + mean")
    ]
    run = RunDirectory(tmp_path, config)
    paths = {run.arm(arm, seed).path for arm in arms for seed in (0, 1, 10)}
    assert len(paths) == 9
    for path in paths:
        assert path.parent.parent == tmp_path / "arms"
    assert run.warm_start(3) == tmp_path / "warm_start" / "seed_3"


def at_the_same_time(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What each of `count` threads returns, or the RunDirectoryError that it raises."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        try:
            return work(number)
        except RunDirectoryError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("attempt", range(5))
def test_of_several_that_make_one_run_one_does(tmp_path: Path, attempt: int):
    path = tmp_path / "new" / "run"
    config = make_config()

    def make(number: int) -> int:
        RunDirectory.create(path, config.model_copy(update={"seeds": (number,)}), f"job {number}")
        return number

    outcomes = at_the_same_time(8, make)
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
    for outcome in outcomes:
        assert outcome == winner or "never overwritten" in str(outcome)
    assert (path / "command.txt").read_text() == f"job {winner}\n"
    assert RunDirectory.open(path).config.seeds == (winner,)
    assert names(path) == ["command.txt", "config.json", "versions.json"]


def test_jobs_started_in_one_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_directory.time, "strftime", lambda form: "20260102-030405")
    made = at_the_same_time(8, lambda number: new_folder("task"))
    first = Path("runs") / "task-20260102-030405"
    others = {first.with_name(f"{first.name}-{number}") for number in range(2, 9)}
    assert set(made) == {first, *others}
    for path in made:
        RunDirectory.create(path, make_config(), "")
