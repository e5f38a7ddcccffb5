"""Corrupt, empty, truncated, duplicated, wrong-typed and mixed files: named, or counted."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from pkpo.errors import LogError
from pkpo.evaluate.read import read
from pkpo.evaluate.readers import tables

FILES = Path(__file__).parent / "files"
GOOD = '{"problem": "a", "reward": 1}'
BAD_LINES = {
    "corrupt": ('{"problem": "a", "reward": 1]', "not complete JSON at column 29"),
    "cut short": ('{"problem": "a", "rew', "not complete JSON at column"),
    "two in one": (GOOD + GOOD, "not complete JSON at column"),
    "not an object": ('["a", 1]', "not a JSON object but a list"),
    "no JSON": ("problem a: solved", "not complete JSON at column 1"),
    "no reward": ('{"problem": "a"}', "no 'reward'; it has problem"),
    "another version": ('{"id": "a", "score": 1}', "no 'problem'; it has id, score"),
    "null reward": ('{"problem": "a", "reward": null}', "the reward is missing (null)"),
    "NaN reward": ('{"problem": "a", "reward": NaN}', "the reward is nan, not a finite number"),
    "infinite reward": ('{"problem": "a", "reward": -1e999}', "the reward is -inf"),
    "huge reward": (f'{{"problem": "a", "reward": 1{"0" * 400}}}', "the reward is inf"),
    "text reward": ('{"problem": "a", "reward": "yes!"}', "the reward is 'yes!', not a number"),
    "empty reward": ('{"problem": "a", "reward": ""}', "the reward is '', not a number"),
    "underscored": ('{"problem": "a", "reward": "1_0"}', "the reward is '1_0', not a number"),
    "list reward": ('{"problem": "a", "reward": [1]}', "the reward is a list, not a number"),
    "object reward": ('{"problem": "a", "reward": {"x": 1}}', "the reward is an object"),
    "null problem": ('{"problem": null, "reward": 1}', "the problem id is missing (null)"),
    "empty problem": ('{"problem": "", "reward": 1}', "the problem id is empty"),
    "deep": ('{"problem": "a", "reward": 1, "x": ' + "[" * 200_000 + "}", "JSON"),
}


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named_or_counted(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([GOOD, "", GOOD, line, GOOD]) + "\n")
    with pytest.raises(LogError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 4: ")
    assert reason in str(caught.value)
    result = read(path, on_bad_line="count")
    assert result.samples.rewards_N.tolist() == [1.0, 1.0, 1.0]
    assert result.num_bad == 1
    assert [(bad.path, bad.place) for bad in result.bad_lines] == [(path, "line 4")]


@pytest.mark.parametrize("line", [line for line, _ in BAD_LINES.values()], ids=BAD_LINES)
def test_a_bad_first_line_is_named_too(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([line, GOOD, GOOD]) + "\n")
    with pytest.raises(LogError, match=r"log.jsonl"):
        read(path, format="plain" if line.startswith("{") else None)


def test_a_line_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"problem": "\xff", "reward": 1}\n')
    with pytest.raises(LogError, match=r"log.jsonl, line 2: not UTF-8 text at byte 14"):
        read(path)


@pytest.mark.parametrize("seed", range(100))
def test_damage_at_random_is_seen_by_the_fast_way_too(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either way gives the same samples, or the same complaint."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "log.jsonl"
    row = '{{"problem": "a{}", "text": "é, \\n", "reward": {}}}\n'
    content = bytearray("".join(row.format(i % 3, rng.random()) for i in range(8)).encode())
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(len(content))
        content[at : at + rng.integers(2)] = bytes(rng.choice(list(b'"{}[],:05eEtn\n\\ .-\xff'), 1))
    path.write_bytes(content)

    def outcome() -> object:
        try:
            samples = read(path, on_bad_line="count" if seed % 2 else "error")
        except LogError as error:
            return str(error)
        groups = [group.tolist() for group in samples.samples.groups()]
        return samples.samples.problems, groups, samples.bad_lines

    fast = outcome()
    monkeypatch.setattr(tables, "_grouped", lambda log, named: None)
    assert outcome() == fast


def test_every_bad_line_is_counted_and_a_hundred_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text((GOOD + "\nnothing\n") * 250)
    result = read(path, on_bad_line="count")
    assert result.num_bad == 250
    assert [bad.place for bad in result.bad_lines] == [f"line {2 * i + 2}" for i in range(100)]
    assert result.samples.num_samples == 250


def test_nothing_good_is_an_error_even_when_counting(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"problem": "a", "reward": null}\n' * 3)
    with pytest.raises(LogError, match=r"holds no sample: all 3 records are bad, first .*line 1"):
        read(path, on_bad_line="count")


@pytest.mark.parametrize(
    ("row", "line", "reason"),
    [
        ("b,x", 3, "the reward is 'x', not a number"),
        ("b,", 3, "the reward is missing (null)"),
        (",1", 3, "the problem id is missing (null)"),
        ("b", 3, "1 fields, where the header has 2"),
        ("b,1,2", 3, "3 fields, where the header has 2"),
        ('"b', 3, "not readable as CSV: unexpected end of data"),
        ("b,nan", 3, "the reward is 'nan', not a number"),
        ('"b\nc",1\nd,?', 5, "the reward is '?', not a number"),
    ],
)
def test_bad_rows_of_csv(tmp_path: Path, row: str, line: int, reason: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"problem,reward\na,1\n{row}")
    with pytest.raises(LogError) as caught:
        read(path)
    assert str(caught.value) == f"{path}, line {line}: {reason}"
    assert read(path, on_bad_line="count").num_bad == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,1,t,u", "4 fields, where the header has 3"),
        ("b,1,t,", "4 fields, where the header has 3"),
        ("b,1", "2 fields, where the header has 3"),
        ('b,1,"t" u', "not readable as CSV: ',' expected after '\"'"),
    ],
)
def test_csv_rows_that_are_whole_only_up_to_the_reward(
    tmp_path: Path, row: str, reason: str
) -> None:
    """Fields after those that are asked for count as well: the row may be cut or run together."""
    path = tmp_path / "log.csv"
    path.write_text(f"problem,reward,text\na,1,t\n{row}\n")
    with pytest.raises(LogError) as caught:
        read(path)
    assert str(caught.value) == f"{path}, line 3: {reason}"


def test_csv_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"problem,reward\na,1\n\xff,1\n")
    with pytest.raises(LogError, match=r"log.csv, line 3: not UTF-8 text"):
        read(path)


@pytest.mark.parametrize(
    ("rewards", "reason"),
    [
        ([1.0, None, 0.0], "the reward is missing (null)"),
        ([1.0, np.nan, 0.0], "the reward is nan, not a finite number"),
        ([1.0, np.inf, 0.0], "the reward is inf, not a finite number"),
        (["1", "one", "0"], "the reward is 'one', not a number"),
        ([[1.0], [], [0.0]], "the reward is a list, not a number"),
    ],
)
def test_bad_rows_of_parquet(tmp_path: Path, rewards: list, reason: str) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"problem": ["a", "b", "c"], "reward": rewards}).write_parquet(path)
    with pytest.raises(LogError) as caught:
        read(path)
    row = 1 if isinstance(rewards[0], list) else 2
    assert str(caught.value) == f"{path}, row {row}: {reason}"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_parquet_that_is_cut_short(tmp_path: Path, share: float) -> None:
    content = (FILES / "trl_one_00001.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LogError, match=r"cut.parquet is a damaged or incomplete Parquet file"):
        read(path)


def test_parquet_with_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "damaged.parquet"
    frame = pl.DataFrame({"problem": [f"p{i}" for i in range(5000)], "reward": [1.0, 0.0] * 2500})
    frame.write_parquet(path)
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"damaged.parquet is a damaged Parquet file, after row 0"):
        read(path)


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_packed_files_that_are_cut_short_or_damaged(tmp_path: Path, packed) -> None:
    content = packed(json.dumps({"problem": "a", "reward": 1}).encode() * 3 + b"\n")
    path = tmp_path / "log.gz"
    path.write_bytes(content[:-5])
    with pytest.raises(LogError, match=r"log.gz: its (gzip|zstandard) compression is .*cut short"):
        read(path)
    path.write_bytes(content[:8] + b"\xff\xff\xff\xff" + content[12:])
    with pytest.raises(LogError, match=r"log.gz: its (gzip|zstandard) compression is damaged"):
        read(path, on_bad_line="count")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_empty_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"empty.jsonl is empty"):
        read(path)


def test_a_table_with_a_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("problem,reward\n")
    with pytest.raises(LogError, match=r"log.csv holds no sample"):
        read(path)
    pl.DataFrame({"problem": [], "reward": []}).write_parquet(path)
    with pytest.raises(LogError, match=r"log.csv holds no sample"):
        read(path)


@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_an_eval_archive_that_is_cut_short(tmp_path: Path, share: float) -> None:
    content = (FILES / "inspect_one_scorer.eval").read_bytes()
    path = tmp_path / "cut.eval"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LogError, match=r"cut.eval is a damaged or incomplete .eval file"):
        read(path)


def test_an_eval_archive_with_damaged_content(tmp_path: Path) -> None:
    content = bytearray((FILES / "inspect_one_scorer.eval").read_bytes())
    with zipfile.ZipFile(FILES / "inspect_one_scorer.eval") as archive:
        start = archive.getinfo("summaries.json").header_offset
    content[start + 60 : start + 120] = bytes(60)
    path = tmp_path / "damaged.eval"
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"damaged.eval is damaged"):
        read(path)


@pytest.mark.parametrize("file", ["evalplus_eval_results.json", "inspect_one_scorer.json.gz"])
def test_documents_that_are_cut_short(tmp_path: Path, file: str) -> None:
    content = (FILES / file).read_bytes()
    text = gzip.decompress(content) if file.endswith(".gz") else content
    path = tmp_path / "cut.json"
    path.write_bytes(text[: len(text) // 2])
    with pytest.raises(LogError, match=r"cut.json, line \d+: not complete JSON at column \d+"):
        read(path)


def test_statuses_that_evalplus_does_not_write(tmp_path: Path) -> None:
    text = (FILES / "evalplus_eval_results.json").read_text()
    path = tmp_path / "results.json"
    path.write_text(text.replace('"plus_status": "pass"', '"plus_status": null', 1))
    with pytest.raises(
        LogError, match=r"json, sample \d: \(of HumanEval/0\) the plus status is No"
    ):
        read(path)


def test_lines_of_an_older_version_among_those_of_a_newer(tmp_path: Path) -> None:
    path = tmp_path / "verl.jsonl"
    new = (FILES / "verl_20.jsonl").read_text()
    old = json.dumps({"input": "q", "output": "a", "score": 1.0})
    path.write_text(new + old + "\n")
    with pytest.raises(LogError, match=r"verl.jsonl, line 13: no 'step'; it has input, output, sc"):
        read(path)
    assert read(path, on_bad_line="count").samples.num_samples == 12


@pytest.mark.parametrize("step", ["1.5", "null", '"x"', "true"])
def test_a_step_that_is_no_integer(tmp_path: Path, step: str) -> None:
    text = (FILES / "verl_20.jsonl").read_text()
    path = tmp_path / "verl.jsonl"
    path.write_text(text.replace('"step": 20', f'"step": {step}', 1))
    with pytest.raises(LogError, match=r"verl.jsonl, line 1: the step is .*, not an integer"):
        read(path)


def test_an_unknown_log_says_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"question": "a", "outcome": 1}\n' * 2)
    with pytest.raises(LogError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is no log of a known form. It is jsonl, with question, outc")
    assert "problem= and reward= (--problem, --reward)" in message
    for form in ("human-eval", "lm-eval", "inspect_ai", "verl", "trl", "verifiers", "lighteval"):
        assert f"\n  {form}: " in message
    with pytest.raises(
        LogError, match="no column 'x' to take the problem from; its columns are qu"
    ):
        read(path, problem="x", reward="outcome")
    assert read(path, problem="question", reward="outcome").samples.num_samples == 2


def test_one_log_with_the_marks_of_two_tools(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    row = {"task_id": "a", "passed": True, "example_id": 1, "reward": 0.5}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(LogError, match="could be human-eval or verifiers: say which with format="):
        read(path)
    assert read(path, format="verifiers").samples.rewards_N.tolist() == [0.5]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"PK\x03\x04nothing", b"hello\n"])
def test_what_is_no_log_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"log.jsonl"):
        read(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"nothing.jsonl doesn't exist"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(LogError, match=r"no file matches .*\*.jsonl"):
        read(str(tmp_path / "*.jsonl"))
    with pytest.raises(LogError, match="no files to read were given"):
        read([])
