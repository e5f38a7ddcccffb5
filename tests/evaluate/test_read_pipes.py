"""Pipes are read whole, once, whatever is in them; messages name them as they were given."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import zstandard

from pkpo.errors import LogError
from pkpo.evaluate.read import read

FILES = Path(__file__).parent / "files"
ROWS = [{"problem": f"p{i // 8}", "text": "x" * 50, "reward": i % 8 // 5} for i in range(3200)]


def jsonl() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def parquet() -> bytes:
    target = io.BytesIO()
    pl.DataFrame(ROWS).write_parquet(target)
    return target.getvalue()


CONTENTS: dict[str, Callable[[], bytes]] = {
    "jsonl": jsonl,
    "csv": lambda: pl.DataFrame(ROWS).write_csv().encode(),
    "json": lambda: json.dumps(ROWS, indent=1).encode(),
    "parquet": parquet,
    "gzip": lambda: gzip.compress(jsonl()),
    "zstandard": lambda: zstandard.compress(jsonl()),
}


@contextmanager
def fifo(path: Path, content: bytes) -> Iterator[Path]:
    """A named pipe into which something writes."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield path
    writer.join()


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_named_pipe_is_read_whole(tmp_path: Path, kind: str) -> None:
    with fifo(tmp_path / "pipe", CONTENTS[kind]()) as path:
        result = read(path)
    assert result.files == (path,)
    assert result.samples.sizes_P.tolist() == [8] * 400
    assert result.samples.correct_P.tolist() == [3] * 400


@pytest.mark.parametrize("kind", CONTENTS)
def test_stdin_is_read_whole(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONTENTS[kind]())))
    assert read("-").samples.correct_P.tolist() == [3] * 400


def test_archives_come_through_pipes_too(tmp_path: Path) -> None:
    content = (FILES / "inspect_one_scorer.eval").read_bytes()
    with fifo(tmp_path / "pipe", content) as path:
        assert read(path).samples.correct_P.tolist() == [3, 0, 1]


def test_several_pipes_are_one_run_and_copies_are_seen(tmp_path: Path) -> None:
    other = json.dumps({"problem": "p0", "reward": 1}).encode()
    with fifo(tmp_path / "a", jsonl()) as a, fifo(tmp_path / "b", other) as b:
        assert read([a, b]).samples.num_samples == 3201
    same = pytest.raises(LogError, match=r"d has the same content as .*c")
    with fifo(tmp_path / "c", other) as c, fifo(tmp_path / "d", other) as d, same:
        read([c, d])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"problem": "a", "reward": 1}\n{"problem": "a"}\n', "line 2: no 'reward'"),
        (gzip.compress(jsonl())[:-9], "its gzip compression is damaged or cut short"),
        (b"hello\n", "is no log of a known form"),
    ],
)
def test_messages_name_the_pipe_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    with fifo(tmp_path / "pipe", content) as path, pytest.raises(LogError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(LogError) as caught:
        read("-")
    assert str(caught.value).startswith("-")
    assert message in str(caught.value)


def test_stdin_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(LogError, match="- stands for stdin, which is closed"):
        read("-")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pkpo eval <(zcat log.gz)", "400 problems, 3,200 samples: 8 for each problem"),
        ("zcat log.gz | pkpo eval /dev/stdin", "400 problems, 3,200 samples: 8 for each"),
        ("pkpo eval log.gz <(zcat log.gz | head -8)", "400 problems, 3,208 samples: 8 to 16"),
        ("pkpo compare <(zcat log.gz) <(cat log.gz)", "400 problems in common, 0 left out"),
    ],
)
def test_process_substitution_and_stdin_of_the_command(
    tmp_path: Path, command: str, expected: str
) -> None:
    (tmp_path / "log.gz").write_bytes(gzip.compress(jsonl()))
    line = f'pkpo() {{ "{sys.executable}" -m pkpo "$@"; }}; {command}'
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert expected in done.stdout
