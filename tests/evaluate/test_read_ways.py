"""The fast way through polars and the exact way row by row give the same, whatever the file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pkpo.errors import LogError
from pkpo.evaluate.read import read
from pkpo.evaluate.readers import tables

VALUES = (
    '"a"',
    '"1"',
    "1",
    "1.0",
    '"1.0"',
    "1e0",
    "-0",
    "-0.0",
    "1.5",
    "0.1",
    "1e22",
    "1e-7",
    "2.0e0",
    "true",
    "false",
    '"true"',
    '" True "',
    "null",
    '""',
    '" "',
    '"\\u0041"',
    '"A"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"a\\nb"',
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1e400",
    "NaN",
    "Infinity",
    "[]",
    "[1, 2.0]",
    '{"b": 1.0, "a": "x"}',
    '{"a": "x", "b": 1}',
    "01",
    "+1",
    ".5",
    "1.",
    '"1e5"',
    '"1_0"',
    '"0x10"',
    '"inf"',
    '"nan"',
    '".5"',
    '"1."',
    '"1e"',
    '"+1"',
    '"--1"',
    '"\\u0661"',
    '" 1\\t"',
    '"\\u00a01"',
    '"1,5"',
    '"1d"',
    '"TRUE"',
    "'a'",
    "0.30000000000000004",
    "0.1000000000000000055511151231257827",
    "4.9e-324",
    "2.2250738585072011e-308",
)
LINES = (
    "",
    "   ",
    "\t",
    "[1]",
    '"text"',
    "null",
    "{}",
    '{"problem": "a"}',
    '{"reward": 1}',
    '{"problem": "a", "reward": 1} ',
    '{"problem": "a", "reward": 1}{"problem": "b", "reward": 0}',
    '{"problem": "a", "reward": 1},',
    '{"problem": "a", "reward": 1, }',
    '{"problem": "a", "rew',
    '{"problem": "a", "reward": 1, "reward": 0}',
    '{"problem": "a", "problem": "b", "reward": 1}',
    '{"problem": "a", "reward": null, "reward": 1}',
    '{"problem": "a", "reward": 1, "reward": null}',
    '{"problem": "a", "rewar\\u0064": 0, "reward": 1}',
    '{"pro\\u0062lem": "c", "reward": 1}',
    '{"problem": "a", "reward": 1, "x": {"reward": 0, "problem": "z"}}',
    '{"problem": "a", "reward": 1, "x": NaN}',
    '{"problem": "a", "reward": 1, "x": 1e999}',
    '{"problem": "a\x01", "reward": 1}',
    '{"problem": "a\x85\u2028b", "reward": 1}',
    '\x0b{"problem": "a", "reward": 1}',
    '{"problem": "a", "reward": 1}\r',
    '\ufeff{"problem": "a", "reward": 1}',
    "// note",
    '{"problem": "a", "reward": 1} // note',
    '{"problem": "a", "reward": 1, "model": "m"}',
    '{"problem": "a", "reward": 1, "model": null}',
    '{"problem": "a", "reward": 1, "temperature": 1}',
    '{"problem": "a", "reward": 1, "temperature": 1.0}',
    '{"problem": "a", "reward": 1, "temperature": "1"}',
    '{"problem": "a", "reward": 1, "task": ""}',
    '{"problem": "a", "reward": 1, "prompt": "x"}',
    '{"problem": "a", "reward": 1, "prompt": ["x"]}',
    '{"problem": "a", "reward": 1, "prompt": [{"role": "u", "n": 1.0}]}',
    '{"problem": "a", "reward": 1, "prompt": [{"n": 1, "role": "u"}]}',
    '{"problem": "a", "reward": 1, "prompt": ["\\ud800", "\\u0000", null]}',
    '{"problem": "a", "reward": 1, "gen_temperature": 0.5}',
    '{"problem": "a", "reward": 1, "step": 1}',
    '{"problem": "a", "reward": 1, "step": "1"}',
    '{"problem": "a", "reward": 1, "sample_id": 1}',
)


def outcome(path: Path, **arguments: Any) -> object:
    """All that is read, or the complaint."""
    try:
        result = read(path, **arguments)
    except LogError as error:
        return str(error)
    groups = [group.tolist() for group in result.samples.groups()]
    known = (result.known, result.notes, result.samples.clusters_P)
    return result.samples.problems, groups, result.bad_lines, known


def both_ways(path: Path, **arguments: Any) -> None:
    """The fast way gives what the exact way does; where it gives up, that is what was read."""
    grouped, given = tables._grouped, []

    def noted(*of_file: Any) -> pl.DataFrame | None:
        given.append(grouped(*of_file))
        return given[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "_grouped", noted)
        fast = outcome(path, **arguments)
        if all(tally is None for tally in given):
            return
        patched.setattr(tables, "_grouped", lambda log, named: None)
        assert outcome(path, **arguments) == fast


COUNT = {"on_bad_line": "count"}


@pytest.mark.parametrize("first", ['"q"', "7", "0.5", "true"])
@pytest.mark.parametrize("value", VALUES)
def test_ids_and_rewards(tmp_path: Path, first: str, value: str) -> None:
    path = tmp_path / "log.jsonl"
    plain = '{"problem": "p", "reward": 1}'
    for name, other in (("problem", '"reward": 1'), ("reward", '"problem": "p"')):
        rows = [f'{{"{name}": {text}, {other}}}' for text in (first, value, first)]
        path.write_text("\n".join([*rows, plain]) + "\n", encoding="utf-8")
        both_ways(path, **COUNT)
        if first == '"q"':
            path.write_text("\n".join([plain] * 120 + rows) + "\n", encoding="utf-8")
            both_ways(path)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["model", "prompt", "step", "sample_id"])
def test_what_is_known_of_a_sample(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "log.jsonl"
    for first in ('"q"', "0.5", value):
        rows = [f'{{"problem": "p", "reward": 1, "{name}": {text}}}' for text in (first, value)]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        both_ways(path, pool=[name] if first == value else [], **COUNT)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("member", ['{{"t": 0, "model": {}}}', '{{"a": {{"model": {}}}}}', "{}"])
def test_members_of_objects(tmp_path: Path, member: str, value: str) -> None:
    path = tmp_path / "log.jsonl"
    held = ['{"model": "q"}', member.format(value), '{"a": {"model": 0.5}}', '{"a": 1}']
    rows = [f'{{"problem": "p", "reward": 1, "m": {text}}}' for text in held]
    for last in ([], ['{"problem": "p", "reward": 1, "m": {"model": "q", "model": "r"}}']):
        path.write_text("\n".join(rows + last) + "\n", encoding="utf-8")
        both_ways(path, pool=["all"], **COUNT)


@pytest.mark.parametrize("line", LINES)
def test_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    good = ['{"problem": "a", "reward": 1}', '{"problem": "b", "reward": 0}']
    for lines in ([*good, line], [line, *good], [*good * 60, line, *good * 60]):
        for end in ("\n", "\r\n"):
            path.write_bytes((end.join(lines) + end).encode("utf-8", "surrogatepass"))
            both_ways(path, **COUNT)


FIELDS = (
    "a",
    "b",
    "1",
    "1.0",
    "0",
    " 1",
    "1 ",
    "",
    '""',
    '"a"',
    '"a,b"',
    '"a""b"',
    'a"b',
    '"a"b',
    '"a\nb"',
    "true",
    "TRUE",
    "nan",
    "inf",
    "1e5",
    ".5",
    "1_0",
    "null",
    "NA",
    "é",
    "\u00a01",
    "'a'",
    "#1",
    "=1",
    "a\rb",
    "\t",
    "\\",
    '"',
    "1;2",
)


@settings(max_examples=60, deadline=None)
@example(rows=["a,1,a\rb"], end="\n", last=False, header="problem,reward,text")
@given(
    rows=st.lists(
        st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4).map(",".join), max_size=5
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    header=st.sampled_from(
        ["problem,reward", "problem,reward,text", "problem,reward,model", "reward,task,problem"]
    ),
)
def test_csv(rows: list[str], end: str, last: bool, header: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        content = end.join([header, "a,1" + ",x" * (header.count(",") - 1), *rows])
        path.write_bytes((content + end * last).encode())
        both_ways(path, format="plain", **COUNT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=3,
)
SOME = st.sampled_from(["a", "1", 1, 1.0, 0, True, 0.5]) | JSON


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"problem": SOME, "reward": SOME},
            optional={"model": SOME, "task": SOME, "prompt": SOME, "step": SOME, "seed": SOME},
        ),
        min_size=1,
        max_size=4,
    ),
    pool=st.sampled_from([(), ("all", "prompt", "task")]),
    ascii=st.booleans(),
)
def test_jsonl(rows: list[dict[str, Any]], pool: tuple[str, ...], ascii: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        text = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        both_ways(path, format="plain", pool=pool, **COUNT)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pl.Int8, [1, 0, None]),
        (pl.UInt64, [2**64 - 1, 1, 0]),
        (pl.Float32, [0.1, 1.0, None]),
        (pl.Float64, [0.1, float("nan"), 1.0]),
        (pl.Boolean, [True, False, None]),
        (pl.String, ["1", "a", ""]),
        (pl.String, ["1.0", "1", None]),
        (pl.Categorical, ["a", "b", "1"]),
        (pl.Enum(["a", "1", ""]), ["a", "1", ""]),
        (pl.Decimal(10, 2), ["1.00", "0.50", "0.00"]),
        (pl.List(pl.Int64), [[1], [], None]),
        (pl.Null, [None, None, None]),
        (pl.Date, [None, None, None]),
        (pl.Binary, [b"a", b"1", b""]),
        (pl.Struct({"a": pl.Float64}), [{"a": 1.0}, {"a": None}, {"a": 0.5}]),
    ],
)
@pytest.mark.parametrize("name", ["problem", "reward", "model", "task", "prompt", "seed", "step"])
def test_parquet(tmp_path: Path, name: str, kind: Any, values: list) -> None:
    path = tmp_path / "log.parquet"
    column = pl.Series(name, values, dtype=kind, strict=False)
    rows = pl.DataFrame({"problem": ["p", "q", "p"], "reward": [1.0, 0.0, 1.0]})
    rows.with_columns(column).write_parquet(path)
    both_ways(path, format="plain", pool=["all", "prompt", "task"], **COUNT)
