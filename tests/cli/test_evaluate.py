"""`pkpo eval` and `pkpo compare`: numbers, formats, refusals and exit codes, without PyTorch."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import runpy
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pkpo.cli.commands import run
from pkpo.cli.compare import short_names
from pkpo.report import style

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "tests" / "evaluate" / "files"
PKPO = [sys.executable, "-m", "pkpo"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(style, "DPI", 30)


def pkpo(*arguments: object) -> int:
    try:
        return run([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def log(path: str, groups: Sequence[Sequence[object]], first: int = 0) -> Path:
    """A plain log with these rewards of each problem."""
    rows = [
        json.dumps({"problem": f"p{first + place}", "reward": reward})
        for place, group in enumerate(groups)
        for reward in group
    ]
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return Path(path)


def random_log(path: str, seed: int, power: float, problems: int = 60, n: int = 8) -> Path:
    rng = np.random.default_rng(seed)
    rates = np.random.default_rng(7).random(problems) ** power
    return log(path, (rng.random((problems, n)) < rates[:, None]).astype(int).tolist())


def of_subsets(groups: Sequence[Sequence[float]], k: int) -> float:
    """max@k by going through all subsets."""
    return float(np.mean([np.mean([max(s) for s in combinations(g, k)]) for g in groups]))


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """stdout as JSON, in which NaN and infinity have no place."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} isn't JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


ONE = ["--reward", "several/short"]


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["human_eval_results.jsonl"], [3, 0, 1]),
        (["evalplus_eval_results.json"], [2, 0, 1]),
        (["evalplus_eval_results.json", "--reward", "base"], [3, 0, 1]),
        (["lm_eval_code.jsonl"], [3, 0, 1]),
        (["lighteval_several.parquet", "--reward", "avg@n:n=4"], [3, 0, 1]),
        (["inspect_one_scorer.eval"], [3, 0, 1]),
        (["inspect_one_scorer.json.gz"], [3, 0, 1]),
        (["inspect_scorers.eval", *ONE], [3, 0, 1]),
        (["verl_*.jsonl", "--step", "20"], [3, 0, 1]),
        (["verl_*.jsonl", "--step", "10"], [0, 0, 0]),
        (["verifiers_results.jsonl", "--threshold", "1"], [3, 0, 1]),
        (["verifiers_traces.jsonl.gz", "--threshold", "1"], [3, 0, 1]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_every_tools_log_gives_the_pass_at_k_of_its_samples(
    arguments: list[str], counts: list[int], capsys: pytest.CaptureFixture[str]
):
    first, *flags = arguments
    assert pkpo("eval", LOGS / first, *flags, "--format", "json") == 0
    found = document(capsys)
    groups = [[1.0] * c + [0.0] * (4 - c) for c in counts]
    values = {row["k"]: row["value"] for row in found["estimates"]}
    assert values == {k: pytest.approx(of_subsets(groups, k)) for k in (1, 2, 4)}
    assert found["samples"]["samples_per_problem"] == {"min": 4, "median": 4, "max": 4}
    assert [p["mean_reward"] for p in found["samples"]["problems"]] == [c / 4 for c in counts]


def test_unequal_n_and_rewards_that_are_numbers(capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(3)
    groups = [rng.normal(size=n).round(3).tolist() for n in (3, 5, 4, 6, 6, 2)]
    path = log("log.jsonl", groups)
    assert pkpo("eval", path, "--k", "1,4", "--too-few", "drop", "--format", "json") == 0
    first, second = document(capsys)["estimates"]
    assert first["name"] == "mean"
    assert first["value"] == pytest.approx(of_subsets(groups, 1))
    assert second["name"] == "max@4"
    assert second["value"] == pytest.approx(of_subsets([g for g in groups if len(g) >= 4], 4))
    assert (second["num_problems"], second["num_dropped"]) == (4, 2)
    assert pkpo("eval", path, "--k", "4", "--too-few", "nan", "--format", "json") == 0
    (row,) = document(capsys)["estimates"]
    assert row["value"] is None
    assert (row["num_problems"], row["num_dropped"]) == (0, 2)
    assert pkpo("eval", path, "--k", "4") == 1
    assert "--too-few drop" in capsys.readouterr().err


def test_objectives_beside_or_instead_of_pass_at_k(capsys: pytest.CaptureFixture[str]):
    path = log("log.jsonl", [[1, 1, 0, 1], [0, 0, 1, 0]])
    mixture = "0.5*max@2 + 0.5*mean"
    assert pkpo("eval", path, "--objective", "pass^2", "--format", "json") == 0
    (row,) = document(capsys)["estimates"]
    assert row["name"] == "pass^2"
    assert row["value"] == pytest.approx((3 / 6 + 0) / 2)
    flags = ["--objective", "pass^2", "--objective", mixture]
    assert pkpo("eval", path, "--k", "2-3", *flags, "--format", "json") == 0
    rows = document(capsys)["estimates"]
    assert [row["name"] for row in rows] == ["pass@2", "pass@3", "pass^2", mixture]
    assert rows[3]["value"] == pytest.approx(0.5 * rows[0]["value"] + 0.5 * 0.5)


def test_what_was_read_and_left_out_is_said(capsys: pytest.CaptureFixture[str]):
    path = log("log.jsonl", [[1, 0, 0, 1, 0], [0, 0, 0], [1, 1, 1, 1, 1]])
    assert pkpo("eval", path) == 0
    out = capsys.readouterr().out
    assert "log.jsonl, read as plain" in out
    assert "3 problems, 13 samples: 3 to 5 for a problem, median 5" in out
    assert "rewards are 0 and 1: 1 problem never solved, 1 always" in out
    assert "bad records left out: none" in out
    assert "problems left out for n < k: none" in out
    assert "k: powers of two up to the smallest n, 3; --k chooses others (problem 'p1'" in out
    assert pkpo("eval", path, "--k", "4", "--too-few", "drop") == 0
    out = capsys.readouterr().out
    assert "problems left out for n < k: pass@4: 1 of 3" in out
    assert "powers of two" not in out


def test_bad_lines_stop_with_the_line_or_are_counted(capsys: pytest.CaptureFixture[str]):
    path = log("log.jsonl", [[1, 0], [0, None, 1], ["nan", 1]])
    assert pkpo("eval", path) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("pkpo: log.jsonl, line 4: ")
    assert pkpo("eval", path, "--on-bad-line", "count") == 0
    assert "BAD RECORDS LEFT OUT: 2 (log.jsonl, line 4: " in capsys.readouterr().out
    assert pkpo("eval", path, "--on-bad-line", "count", "--format", "json") == 0
    reading = document(capsys)["reading"]
    assert reading["num_bad"] == 2
    assert [bad["place"] for bad in reading["bad_lines"]] == ["line 4", "line 6"]
    assert pkpo("eval", path, "--on-bad-line", "count", "--format", "csv") == 0
    assert "BAD RECORDS LEFT OUT: 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eval"], 2, "which log?"),
        (["eval", "log.jsonl", "--k", "x"], 2, "--k: can't read 'x'"),
        (["eval", "log.jsonl", "--k", "0"], 2, "--k: values of k must be >= 1"),
        (["eval", "log.jsonl", "--objective", "best"], 2, "--objective: "),
        (["eval", "log.jsonl", "--threshold", "nan"], 2, "--threshold must be a finite number"),
        (["eval", "log.jsonl", "--threshold", "inf"], 2, "--threshold must be a finite number"),
        (["eval", "log.jsonl", "--confidence", "95"], 2, "--confidence must be in (0, 1)"),
        (["eval", "log.jsonl", "--format-in", "jsonl"], 2, "--format-in must be one of human-eval"),
        (["eval", "log.jsonl", "--extrapolate", "many"], 2, "--extrapolate: "),
        (["eval", "log.jsonl", "--too-few", "skip"], 2, "--too-few"),
        (["eval", "log.jsonl", "--colour"], 2, "--colour"),
        (["eval", "none.jsonl"], 1, "none.jsonl"),
        (["eval", "empty.jsonl"], 1, "empty.jsonl"),
        (["eval", "notes.txt"], 1, "notes.txt is no log of a known form"),
        (["eval", "log.jsonl", "--k", "3"], 1, "log.jsonl have fewer than k = 3 samples"),
        (["eval", "log.jsonl", "--reward", "score"], 1, "score"),
        (["eval", "log.jsonl", "--html", "log.jsonl/page.html"], 1, "log.jsonl"),
        (["compare"], 2, "two runs or more"),
        (["compare", "log.jsonl"], 2, "two runs or more are compared, got 1"),
        (["compare", "log.jsonl", "other.jsonl", "--names", "a"], 2, "2 runs, got 1"),
        (["compare", "log.jsonl", "other.jsonl", "--names", "a", "a"], 2, "names must differ"),
        (["compare", "log.jsonl", "other.jsonl", "--baseline", "b"], 2, "log, other; got 'b'"),
        (["compare", "log.jsonl", "log.jsonl"], 2, "names must differ"),
        (["compare", "log.jsonl", "other.jsonl"], 1, "--unmatched drop"),
        (["compare", "log.jsonl", "apart.jsonl"], 1, "'log' has 'p0', 'apart' has 'p9'"),
        (["compare", "log.jsonl", "none.jsonl"], 1, "none.jsonl"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
):
    log("log.jsonl", [[1, 0], [0, 1]])
    log("other.jsonl", [[1, 0], [0, 1], [1, 1]])
    log("apart.jsonl", [[1, 0]], first=9)
    Path("empty.jsonl").write_text("")
    Path("notes.txt").write_text("Dear diary,\nnothing was measured today.\n")
    assert pkpo(*arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_runs_and_steps_are_chosen_or_pooled_by_flags(capsys: pytest.CaptureFixture[str]):
    rows = [
        {"problem": f"p{i}", "reward": int(model == "b"), "model": model, "step": step}
        for i in range(8)
        for model in ("a", "b")
        for step in (1, 2)
    ]
    Path("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert pkpo("eval", "log.jsonl") == 1
    message = capsys.readouterr().err
    assert "\n  model: a, b  (--run model=a)\n  step: 1, 2  (--step 1)\n" in message
    assert "(--pool model --pool step)" in message
    for flags, value, samples in (
        (["--run", "model=a", "--step", "1"], 0.0, 8),
        (["--run", "b", "--step", "last"], 1.0, 8),
        (["--run", "model=b", "--pool", "step"], 1.0, 16),
        (["--step", "2", "--pool", "model"], 0.5, 16),
        (["--pool", "all"], 0.5, 32),
    ):
        assert pkpo("eval", "log.jsonl", "--k", "1", "--format", "json", *flags) == 0
        found = document(capsys)
        assert (found["estimates"][0]["value"], found["num_samples"]) == (value, samples)


def test_csv_is_data_alone(capsys: pytest.CaptureFixture[str]):
    path = random_log("log.jsonl", 0, 2.0)
    assert pkpo("eval", path, "--k", "1,8", "--format", "csv") == 0
    captured = capsys.readouterr()
    assert "pkpo: 60 problems, 480 samples" in captured.err
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert pkpo("eval", path, "--k", "1,8", "--format", "json") == 0
    estimates = document(capsys)["estimates"]
    assert [row["name"] for row in rows] == ["pass@1", "pass@8"]
    for row, estimate in zip(rows, estimates):
        assert float(row["value"]) == estimate["value"]
        for part in ("fixed", "population"):
            assert row[f"{part}_kind"] == "interval"
            for end in ("lower", "upper"):
                assert float(row[f"{part}_{end}"]) == estimate[part][end]


def test_markdown_and_text_show_what_json_holds(capsys: pytest.CaptureFixture[str]):
    path = random_log("log.jsonl", 0, 2.0)
    assert pkpo("eval", path, "--k", "1", "--format", "json") == 0
    (row,) = document(capsys)["estimates"]
    low, high = row["fixed"]["lower"], row["fixed"]["upper"]
    assert row["fixed"]["standard_error"] > 0.005  # one decimal
    value, interval = f"{100 * row['value']:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"
    assert pkpo("eval", path, "--k", "1", "--format", "md") == 0
    assert f"| pass@1 | {value} | {interval} |" in capsys.readouterr().out
    assert pkpo("eval", path, "--k", "1") == 0
    assert re.search(
        rf"^pass@1 +{re.escape(value)} +{interval} ", capsys.readouterr().out, re.MULTILINE
    )


def test_every_field_of_json_is_documented(capsys: pytest.CaptureFixture[str]):
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "eval.md").read_text("utf-8")))
    one, two = random_log("one.jsonl", 0, 1.0), random_log("two.jsonl", 1, 2.0)
    rows = "problem,reward,text\na,1,x\na,0,x\nb,1,y\nb,?,y\n"
    Path("clusters.csv").write_text(rows)
    for arguments in (
        ["eval", one, "--extrapolate", "16"],
        ["eval", "clusters.csv", "--cluster", "text", "--on-bad-line", "count"],
        ["compare", one, two],
    ):
        assert pkpo(*arguments, "--format", "json") == 0
        found = document(capsys)
        for names in (found.pop("readings", {}), found.pop("samples", {})):
            found[f"{len(found)}"] = list(names.values()) if set(names) == {"one", "two"} else names
        keys = set(_keys(found)) - set(map(str, range(99)))
        assert keys <= documented, keys - documented


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in _keys(inner))]
    return [key for inner in value for key in _keys(inner)] if isinstance(value, list) else []


def test_the_same_command_prints_the_same(capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(5)
    path = log("log.jsonl", rng.normal(size=(20, 6)).round(4).tolist())
    outputs = []
    for seed in (0, 0, 1):
        assert pkpo("eval", path, "--k", "1-4", "--simultaneous", "--seed", seed) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_simultaneous_intervals_are_wider(capsys: pytest.CaptureFixture[str]):
    path = random_log("log.jsonl", 0, 2.0)
    widths = []
    for flags in ([], ["--simultaneous"]):
        assert pkpo("eval", path, *flags, "--format", "json") == 0
        rows = document(capsys)["estimates"]
        widths.append([row["fixed"]["upper"] - row["fixed"]["lower"] for row in rows])
    assert all(wide > narrow for narrow, wide in zip(*widths))


def test_a_comparison_says_who_is_better_and_from_where(capsys: pytest.CaptureFixture[str]):
    base, better = random_log("base.jsonl", 0, 3.0), random_log("better.jsonl", 1, 0.4)
    assert pkpo("compare", base, better, "--names", "old", "new one") == 0
    out = capsys.readouterr().out
    assert "These problems: new one is better than old at every k asked for." in out
    assert "Problems like these: new one is better than old at every k asked for." in out
    assert "60 problems in common, 0 left out" in out
    assert pkpo("compare", base, better, "--format", "json") == 0
    found = document(capsys)
    values = {}
    for path in (base, better):
        assert pkpo("eval", path, "--format", "json") == 0
        values[path.stem] = {row["k"]: row["value"] for row in document(capsys)["estimates"]}
    for row in found["differences"]:
        assert (row["run"], row["baseline"]) == ("better", "base")
        gain = values["better"][row["k"]] - values["base"][row["k"]]
        assert row["difference"] == pytest.approx(gain)
        fixed = row["fixed"]
        assert fixed["simultaneous"]["lower"] < fixed["interval"]["lower"] < gain
    flags = ["--baseline", "better", "--format", "json"]
    assert pkpo("compare", base, better, *flags) == 0
    for row, swapped in zip(found["differences"], document(capsys)["differences"]):
        assert swapped["run"] == "base"
        assert swapped["difference"] == pytest.approx(-row["difference"])


def test_runs_that_are_alike_cant_be_told_apart(capsys: pytest.CaptureFixture[str]):
    one, two = random_log("one.jsonl", 10, 1.0), random_log("two.jsonl", 11, 1.0)
    for flags in ([], ["--k", "2"]):
        assert pkpo("compare", one, two, *flags) == 0
        out = capsys.readouterr().out
        assert "These problems: can't tell two and one apart" in out
        assert "*" not in out.replace("* marks", "")


def test_three_runs_each_against_the_first(capsys: pytest.CaptureFixture[str]):
    paths = [random_log(f"{name}.jsonl", seed, 1.0) for seed, name in enumerate("abc")]
    assert pkpo("compare", *paths, "--k", "1,8", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = [(row["run"], row["baseline"], row["name"]) for row in rows]
    assert found == [(run, "a", name) for run in "bc" for name in ("pass@1", "pass@8")]


def test_problems_that_moved_are_named(capsys: pytest.CaptureFixture[str]):
    steady = [[1, 0] * 8] * 6
    one = log("one.jsonl", [[0] * 16, [1] * 16, *steady])
    two = log("two.jsonl", [[1] * 16, [0] * 16, *steady])
    assert pkpo("compare", one, two, "--k", "1") == 0
    out = capsys.readouterr().out
    assert "by two alone 1 problem, by one alone 1" in out
    assert re.search(r"^p0 +gained +0 +1 ", out, re.MULTILINE)
    assert re.search(r"^p1 +lost +1 +0 ", out, re.MULTILINE)


def test_unmatched_problems_are_left_out_on_demand(capsys: pytest.CaptureFixture[str]):
    one = log("one.jsonl", [[1, 0], [0, 1], [1, 1]])
    two = log("two.jsonl", [[0, 1], [1, 1], [0, 0]], first=1)
    assert pkpo("compare", one, two, "--unmatched", "drop", "--format", "json") == 0
    found = document(capsys)
    assert (found["num_problems"], found["num_unmatched"]) == (2, 2)
    assert found["differences"][0]["difference"] == 0


def test_names_come_from_what_tells_the_paths_apart():
    assert short_names(["a/x/log.jsonl", "b/x/log.jsonl"]) == ("a", "b")
    assert short_names(["a/run.jsonl.gz", "b/walk.eval"]) == ("run", "walk")
    assert short_names(["log.json", "log.eval"]) == ("log.json", "log.eval")
    assert short_names(["base/*.eval", "new/*.eval"]) == ("base", "new")
    assert short_names(["x/same", "same"]) == ("x", "same")


class Page(HTMLParser):
    """What a page would load, its scripts, its pictures and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_other_file(capsys: pytest.CaptureFixture[str]):
    name = "<script>alert(1)</script> & co"
    rows = [{"problem": name, "reward": i % 2} for i in range(4)]
    rows += [{"problem": f"p{p}", "reward": int(i < p % 5)} for p in range(20) for i in range(4)]
    for path in ("one.jsonl", "two.jsonl"):
        Path(path).write_text("\n".join(map(json.dumps, rows)))
    assert pkpo("eval", "one.jsonl", "--html", "one.html", "--extrapolate", "64") == 0
    assert "pkpo: wrote one.html" in capsys.readouterr().err
    assert pkpo("compare", "one.jsonl", "two.jsonl", "--html", "deep/both.html") == 0
    for path, pictures in (("one.html", 2), ("deep/both.html", 3)):
        text = Path(path).read_text(encoding="utf-8")
        page = Page(text)
        assert "script" not in page.tags
        assert page.tags.count("img") == pictures
        assert all(link.startswith("data:image/png;base64,") for link in page.links)
        assert "@import" not in text
        assert "url(" not in text
        assert name in page.text
        assert "pass@4" in page.text
    assert "A model, not an estimate" in Page(Path("one.html").read_text("utf-8")).text


def test_pictures_are_png_and_svg_and_always_the_same(capsys: pytest.CaptureFixture[str]):
    one, two = random_log("one.jsonl", 0, 1.0), random_log("two.jsonl", 1, 2.0)
    for folder in ("first", "second"):
        assert pkpo("eval", one, "--figures", f"{folder}/eval") == 0
        assert pkpo("compare", one, two, "--figures", f"{folder}/compare") == 0
    files = sorted(str(p.relative_to("first")) for p in Path("first").rglob("*.*"))
    assert files == [
        *(f"compare/{n}.{e}" for n in ("differences", "pass_at_k", "solve_rates") for e in KINDS),
        *(f"eval/{n}.{e}" for n in ("pass_at_k", "solve_rates") for e in KINDS),
    ]
    for file in files:
        content = Path("first", file).read_bytes()
        assert content == Path("second", file).read_bytes()
        if file.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert ElementTree.fromstring(content).tag.endswith("svg")


KINDS = ("png", "svg")


def test_no_pytorch(tmp_path: Path):
    log = LOGS / "human_eval_results.jsonl"
    code = (
        "import sys\n"
        "from pkpo.cli.commands import run\n"
        "from pkpo.report import style\n"
        "style.DPI = 30\n"
        "flags = ['--html', 'page.html', '--figures', 'figures', '--format', 'json']\n"
        f"assert run(['eval', {str(log)!r}, *flags]) == 0\n"
        f"runs = [{str(log)!r}] * 2\n"
        "assert run(['compare', *runs, '--names', 'a', 'b', *flags]) == 0\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'transformers', 'trl', 'tokenizers'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize(
    "arguments", [["eval", str(LOGS / "human_eval_results.jsonl")], ["eval", "--help"]]
)
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str]):
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run([*PKPO, *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert result.returncode == 0
    assert result.stderr == b""


def test_colours_on_a_terminal_and_none_in_a_pipe():
    log = LOGS / "human_eval_results.jsonl"
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "120"}
    piped = subprocess.run([*PKPO, "eval", log], capture_output=True, env=environment, check=True)
    assert b"\x1b" not in piped.stdout + piped.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PKPO, "eval", log], stdout=theirs, stderr=theirs, env=environment) as p:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        assert p.wait() == 0
    os.close(ours)
    assert b"\x1b[1mpass@1" in shown
    assert "─────".encode() in shown


def test_what_the_page_on_these_commands_shows_is_what_they_print():
    made = runpy.run_path(str(ROOT / "docs" / "make_eval_page.py"))["made"]
    page = (ROOT / "docs" / "eval.md").read_text("utf-8")
    assert made(page) == page
