"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from pkpo.files import default_cache, write_atomically, write_whole


def test_files_are_replaced_whole_behind_their_links_and_with_their_permissions(tmp_path: Path):
    for write in (
        write_whole,
        write_atomically,
        lambda path, content: write_atomically(path, lambda part: part.write_bytes(content)),
    ):
        target = tmp_path / "there" / "target"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"old")
        target.chmod(0o640)
        link, second = tmp_path / "link", tmp_path / "second"
        link.unlink(missing_ok=True)
        second.unlink(missing_ok=True)
        link.symlink_to("there/target")
        second.symlink_to(link)
        write(second, b"new")
        assert second.is_symlink()
        assert link.is_symlink()
        assert target.read_bytes() == b"new"
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        target.unlink()
        write(link, b"again")
        assert target.read_bytes() == b"again"
        assert link.is_symlink()


def test_what_fails_leaves_the_old_file(tmp_path: Path):
    target = tmp_path / "target"
    target.write_bytes(b"old")

    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="target"):
        write_atomically(target, fail)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"new")


def test_pipes_and_devices_are_written_into(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(timeout=60)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_whole(Path(os.devnull), b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    monkeypatch.delenv("PKPO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "pkpo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_cache() == tmp_path / ".cache" / "pkpo"
