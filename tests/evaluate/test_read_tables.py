"""Plain tables, packed files, patterns, training runs of pkpo; the fast way and the exact way."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate.read import read
from pkpo.evaluate.readers import tables
from pkpo.evaluate.samples import Samples

Rows = list[dict]


def records(seed: int, *, number: int = 400, continuous: bool = False) -> Rows:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(number):
        reward = float(rng.normal()) if continuous else int(rng.integers(2))
        text = 'a "quoted", long\ntext; é' if i % 7 == 0 else "short"
        rows.append({"problem": f"p{rng.integers(30)}", "text": text, "reward": reward})
    return rows


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, rows: Rows, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    pl.DataFrame(rows).write_parquet(path)
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "semicolons": lambda path, rows: write_csv(path, rows, ";"),
    "parquet": write_parquet,
}


def expected(rows: Rows) -> dict[str, list[float]]:
    """By hand: the rewards of each problem, problems in order of appearance."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(str(row["problem"]), []).append(float(row["reward"]))
    return {problem: sorted(rewards) for problem, rewards in groups.items()}


def held(samples: Samples) -> dict[str, list[float]]:
    return {name: group.tolist() for name, group in zip(samples.problems, samples.groups())}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches polars' pass off."""
    monkeypatch.setattr(tables, "_grouped", lambda log, named: None)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where polars' pass gives up."""

    def never(*arguments: object) -> None:
        raise AssertionError("fell back to reading row by row")

    monkeypatch.setattr(tables, "one_by_one", never)


@pytest.mark.parametrize("way", ["fast", "slow"])
@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("form", WRITERS)
def test_tables_hold_what_was_written(
    tmp_path: Path, form: str, continuous: bool, way: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(way)
    rows = records(3, continuous=continuous)
    result = read(WRITERS[form](tmp_path / "log", rows))
    assert result.format == "plain"
    assert list(held(result.samples).items()) == list(expected(rows).items())


@pytest.mark.parametrize("way", ["fast", "slow"])
@pytest.mark.parametrize("form", WRITERS)
def test_every_kind_of_reward_and_id(
    tmp_path: Path, form: str, way: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(way)
    for number, (problems, rewards) in enumerate(
        [
            (["a", "b", "a"], [True, False, True]),
            ([10, 2, 10], [1, 0, 1]),
            ([10, 2, 10], [1.5, -0.25, 3e-3]),
            (["a", "b", "a"], ["1", "0.5", "-1e3"]),
            (["a", "b", "a"], ["True", "False", "true"]),
        ]
    ):
        rows = [{"id": p, "score": r} for p, r in zip(problems, rewards)]
        path = WRITERS[form](tmp_path / f"{number}", rows)
        samples = read(path, problem="id", reward="score").samples
        words = {"true": 1.0, "false": 0.0}
        as_numbers = [
            {"problem": p, "reward": words.get(str(r).lower(), r)}
            for p, r in zip(problems, rewards)
        ]
        assert held(samples) == expected(as_numbers)


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_records_is_a_table_too(tmp_path: Path, indent: int | None) -> None:
    rows = records(4)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(rows, indent=indent))
    result = read(path)
    assert result.format == "plain"
    assert list(held(result.samples).items()) == list(expected(rows).items())
    path.write_text(json.dumps([*rows, 3], indent=indent))
    with pytest.raises(LogError, match=r"log.json, record 401: not a JSON object but a int"):
        read(path)


def test_mixed_types_of_one_value_are_read(tmp_path: Path) -> None:
    """Where polars would refuse the file, the exact way takes over."""
    path = tmp_path / "log.jsonl"
    path.write_text(
        """{"problem": 1, "reward": 1}
        {"problem": "1", "reward": true}
        {"problem": 1, "reward": "0.5"}
        {"problem": 1, "reward": 0, "extra": NaN}"""
    )
    assert held(read(path).samples) == {"1": [0.0, 0.5, 1.0, 1.0]}


def test_byte_order_marks_blank_lines_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(
        b'\xef\xbb\xbf\r\n{"problem": "a", "reward": 1}\r\n\r\n{"problem": "a", "reward": 0}'
    )
    assert held(read(path).samples) == {"a": [0.0, 1.0]}
    path.write_bytes(b"\xef\xbb\xbfproblem,reward\r\na,1\r\na,0\r\n")
    assert held(read(path).samples) == {"a": [0.0, 1.0]}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("packing", ["gzip", "zstd", "zstd in two frames"])
def test_packed_files_are_unpacked_whatever_their_name(
    tmp_path: Path, form: str, packing: str
) -> None:
    rows = records(5)
    content = WRITERS[form](tmp_path / "plain", rows).read_bytes()
    half = len(content) // 2
    packed = {
        "gzip": lambda: gzip.compress(content),
        "zstd": lambda: zstandard.compress(content),
        "zstd in two frames": lambda: (
            zstandard.compress(content[:half]) + zstandard.compress(content[half:])
        ),
    }[packing]()
    path = tmp_path / "log.txt"
    path.write_bytes(packed)
    assert held(read(path).samples) == expected(rows)


def test_several_files_and_patterns_pool_the_samples_of_a_problem(tmp_path: Path) -> None:
    first, second = records(1), records(2)
    write_jsonl(tmp_path / "b.jsonl", first)
    write_jsonl(tmp_path / "a.jsonl", second)
    given = read([tmp_path / "b.jsonl", tmp_path / "a.jsonl"])
    assert list(held(given.samples).items()) == list(expected(first + second).items())
    found = read(str(tmp_path / "*.jsonl"))
    assert [path.name for path in found.files] == ["a.jsonl", "b.jsonl"]
    assert list(held(found.samples).items()) == list(expected(second + first).items())
    both = read([str(tmp_path / "*.jsonl"), tmp_path / "b.jsonl"])
    assert len(both.files) == 2
    assert both.samples.num_samples == 800
    assert both.samples.source == f"{tmp_path / 'a.jsonl'} and 1 more"


def test_pattern_characters_in_a_name_are_its_own(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "run[1].jsonl", records(1))
    write_jsonl(tmp_path / "run1.jsonl", records(2))
    assert held(read(path).samples) == expected(records(1))


def test_copies_of_a_file_are_refused_dropped_or_kept(tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / name, records(1)) for name in ("a", "b")]
    with pytest.raises(LogError, match=r"b has the same content as .*a, so each sample"):
        read(paths)
    dropped = read(paths, duplicates="drop")
    assert dropped.samples.num_samples == 400
    assert "same content" in dropped.notes[0]
    assert read(paths, duplicates="keep").samples.num_samples == 800


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda content: content + b"\n",
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b'": ', b'":'),
        lambda content: b"".join(sorted(content.splitlines(keepends=True))),
        gzip.compress,
    ],
)
def test_copies_are_told_by_what_they_hold(
    tmp_path: Path, rewritten: Callable[[bytes], bytes]
) -> None:
    first = write_jsonl(tmp_path / "a", [*records(1), {"problem": 1}])
    copy = tmp_path / "b"
    copy.write_bytes(rewritten(first.read_bytes()))
    with pytest.raises(LogError, match=r"b has the same content as .*a, so each sample"):
        read([first, copy], on_bad_line="count")
    dropped = read([first, copy], duplicates="drop", on_bad_line="count")
    assert (dropped.samples.num_samples, dropped.num_bad, dropped.files) == (400, 1, (first,))
    other = [{**record, "completion": "another"} for record in records(1)]
    again = write_jsonl(tmp_path / "c", other)
    assert read([first, again], on_bad_line="count").samples.num_samples == 800


@pytest.mark.parametrize("way", ["fast", "slow"])
def test_a_sample_that_is_there_twice(
    tmp_path: Path, way: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(way)
    rows = [
        {"problem": problem, "try": number, "reward": reward}
        for problem, number, reward in [
            ("a", 0, 1),
            ("a", 1, 0),
            ("b", 0, 1),
            ("a", 1, 1),
            ("b", 0, 1),
        ]
    ]
    path = write_jsonl(tmp_path / "log.jsonl", rows)
    assert read(path).samples.num_samples == 5
    with pytest.raises(LogError, match=r"log.jsonl: sample '1' of problem 'a' is there twice"):
        read(path, sample="try")
    dropped = read(path, sample="try", duplicates="drop")
    assert held(dropped.samples) == {"a": [0.0, 1.0], "b": [1.0]}
    assert dropped.notes == ("2 samples were there before and dropped.",)
    assert read(path, sample="try", duplicates="keep").samples.num_samples == 5


def test_a_column_of_sample_ids_is_used_unasked(tmp_path: Path) -> None:
    rows = [{"problem": "a", "sample_id": i % 2, "reward": 1} for i in range(3)]
    with pytest.raises(LogError, match="sample '0' of problem 'a' is there twice"):
        read(write_jsonl(tmp_path / "log.jsonl", rows))


def test_clusters_come_with_their_problems(tmp_path: Path) -> None:
    rows = [{"problem": f"p{i % 4}", "text": f"t{i % 2}", "reward": i % 3} for i in range(24)]
    path = write_csv(tmp_path / "log.csv", rows)
    assert read(path, cluster="text").samples.clusters_P == ("t0", "t1", "t0", "t1")
    rows[20]["text"] = "t1"
    with pytest.raises(LogError, match=r"log.csv: problem 'p0' has samples in several clusters"):
        read(write_csv(path, rows), cluster="text")


def test_a_threshold_makes_rewards_right_or_wrong(tmp_path: Path) -> None:
    rows = [{"problem": "a", "reward": reward} for reward in (-1, 0.49, 0.5, 2)]
    samples = read(write_jsonl(tmp_path / "log", rows), threshold=0.5).samples
    assert samples.rewards_N.tolist() == [0, 0, 1, 1]


def test_completions_of_pkpo_s_own_runs(tmp_path: Path) -> None:
    rows = [
        {
            "step": step,
            "problem": f"p{i % 3}",
            "prompt": "",
            "completion": "",
            "reward": float(step == i),
            "advantage": 0.0,
        }
        for step in (4, 5)
        for i in range(6)
    ]
    path = write_parquet(tmp_path / "completions.parquet", rows)
    assert read(path, step="last").format == "pkpo"
    assert read(path, step="last").samples.correct_P.tolist() == [0, 0, 1]
    assert read(path, step=4).samples.correct_P.tolist() == [0, 1, 0]


def evaluation(**changes: object) -> str:
    known = {
        "split": "test", "step": 8, "exact": False, "num_problems": 3, "num_samples": 16,
        "pass_at_k": {"1": 0.25}, "max_at_k": None, "solve_probability": [0.0, 0.1875, 0.5625],
        "problem_ids": ["a", "b", "c"], "entropy": 1.0, "distinct_solutions": 1.0,
    }  # fmt: skip
    return json.dumps(known | changes, indent=1)


def test_the_evaluation_of_a_run_is_counts(tmp_path: Path) -> None:
    seed = tmp_path / "run" / "arms" / "k1" / "seed_0"
    seed.mkdir(parents=True)
    (seed / "evaluation.json").write_text(evaluation())
    for place in (seed / "evaluation.json", seed, seed.parent, tmp_path / "run"):
        result = read(place)
        assert result.format == "pkpo-evaluation"
        assert result.samples.problems == ("a", "b", "c")
        assert result.samples.sizes_P.tolist() == [16] * 3
        assert result.samples.correct_P.tolist() == [0, 3, 9]
    other = tmp_path / "run" / "arms" / "k8" / "seed_0"
    other.mkdir(parents=True)
    (other / "evaluation.json").write_text(evaluation())
    with pytest.raises(LogError, match=r"several policies; .*k1/seed_0, .*k8/seed_0"):
        read(tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exact": True, "solve_probability": [0, "x", 1]}, "could not convert"),
        ({"exact": True, "solve_probability": [0, 1.5, 1]}, "in [0, 1], got 1.5 for 'b'"),
        (
            {"solve_probability": [0.0, 0.2, 0.5]},
            "solve_probability is 0.2, which no count",
        ),
        ({"solve_probability": [0.0]}, "has 3 problem_ids but 1 solve_probability"),
        ({"solve_probability": None}, "should be lists"),
        ({"num_samples": 0}, "num_samples is 0, not an integer >= 1"),
    ],
)
def test_an_evaluation_without_counts_is_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(evaluation(**changes))
    with pytest.raises(LogError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_that_is_no_run_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text("{}")
    with pytest.raises(LogError, match=r"no run of pkpo .*such as '.*/\*.jsonl'. In it: 1.jsonl"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_bad_line": "skip"}, "on_bad_line must be one of 'error', 'count', got 'skip'"),
        ({"duplicates": "x"}, "duplicates must be one of 'error', 'drop', 'keep', got 'x'"),
        ({"step": "first"}, "step must be an integer, one of 'last', 'all', got 'first'"),
        ({"step": True}, "step must be an integer"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read("nothing", **arguments)
    assert message in str(caught.value)
