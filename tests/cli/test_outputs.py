"""Files that are written, streams that fail, terminals that show little, and harmful names."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkpo.cli.commands import run
from pkpo.report import style

PKPO = [sys.executable, "-m", "pkpo"]
HARMFUL = "p\x1b[2J\x1b]0;title\x07\r\u202e\x9b31m\n\u2028"
BYTES_OF_NO_ENCODING = os.fsdecode(b"r\xff\xfe")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(style, "DPI", 30)


def log(path: str | Path, name: str = "p", solved: int | None = None) -> Path:
    """Twenty problems of four samples, all right or so many of each."""
    rows = [
        {"problem": f"{name}{i}", "reward": int(j < (i % 5 if solved is None else solved))}
        for i in range(20)
        for j in range(4)
    ]
    Path(path).write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return Path(path)


def shell(
    command: str, program: str = "-m pkpo", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """`pkpo` in a shell, which redirects."""
    return subprocess.run(
        ["bash", "-c", command.replace("pkpo", f"{sys.executable} {program}", 1)],
        capture_output=True,
        env=os.environ | environment,
        timeout=300,
    )


# What must not be overwritten


@pytest.mark.parametrize(
    "arguments",
    [
        "log.jsonl --html log.jsonl",
        "log.jsonl --html ./deep/../log.jsonl",
        "log.jsonl --html symbolic",
        "log.jsonl --html hard",
        "symbolic --html log.jsonl",
        "hard --html symbolic",
        "l*.jsonl --html log.jsonl",
        "** --html deep/nested.jsonl",
        "run --html run/arms/metrics.jsonl",
        "deep/pass_at_k.svg --figures deep",
        "deep/pass_at_k.svg --figures deep/../link",
        "log.jsonl --html deep/solve_rates.png --figures deep",
    ],
)
def test_an_output_that_is_an_input_is_refused_before_reading(
    arguments: str, capsys: pytest.CaptureFixture[str]
):
    Path("deep").mkdir()
    Path("run/arms").mkdir(parents=True)
    log("log.jsonl")
    content = Path("log.jsonl").read_bytes()
    copies = [Path("deep/nested.jsonl"), Path("deep/pass_at_k.svg"), Path("run/arms/metrics.jsonl")]
    for path in copies:
        path.write_bytes(content)
    Path("symbolic").symlink_to("log.jsonl")
    Path("hard").hardlink_to("log.jsonl")
    Path("link").symlink_to("deep")
    before = sorted(Path().rglob("*"))
    assert run(["eval", *arguments.split(), "--k", "1"]) == 2
    assert run(["compare", "other", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "pkpo: " in captured.err
    assert all(path.read_bytes() == content for path in [Path("log.jsonl"), *copies])
    assert sorted(Path().rglob("*")) == before


def test_stdout_that_is_appended_to_the_log_is_refused():
    log("log.jsonl")
    content = Path("log.jsonl").read_bytes()
    assert shell("pkpo eval log.jsonl --format csv >> log.jsonl").returncode == 2
    assert shell("pkpo eval - --html log.jsonl < log.jsonl").returncode == 2
    assert Path("log.jsonl").read_bytes() == content


def test_a_second_report_replaces_the_first(capsys: pytest.CaptureFixture[str]):
    log("log.jsonl")
    for _ in range(2):
        assert run(["eval", "log.jsonl", "--html", "page.html"]) == 0
    assert b"</html>" in Path("page.html").read_bytes()


def test_a_page_on_stdout_stands_behind_the_table_wherever_stdout_leads():
    log("log.jsonl")
    piped = shell("pkpo eval log.jsonl --html /dev/stdout")
    filed = shell("pkpo eval log.jsonl --html /dev/stdout > file")
    assert piped.returncode == filed.returncode == 0
    for content in (piped.stdout, Path("file").read_bytes()):
        assert content.startswith(b"log.jsonl, read as plain")
        assert content.endswith(b"</html>\n")


# Streams that fail


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("eval log.jsonl", ">&-"),
        ("eval log.jsonl", "> /dev/full"),
        ("eval log.jsonl", ">&- 2>&-"),
        ("compare log.jsonl log.jsonl --names a b", "> /dev/full 2>/dev/full"),
        ("--help", "> /dev/full"),
    ],
)
def test_results_that_can_t_be_printed_are_an_error_in_words(command: str, where: str):
    log("log.jsonl")
    done = shell(f"pkpo {command} {where}")
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    if "2>" not in where:
        assert done.stderr.startswith(b"pkpo: can't write to stdout: ")


def test_messages_that_can_t_be_printed_leave_the_results_alone():
    log("log.jsonl")
    for where in ("2>/dev/full", "2>&- <&-"):
        done = shell(f"pkpo eval log.jsonl --format csv {where}")
        assert done.returncode == 0
        assert [row["k"] for row in csv.DictReader(done.stdout.decode().splitlines())] == [
            "1",
            "2",
            "4",
        ]


TINY = (
    "train --option num_train=50 num_validation=10 num_test=20 size=2 num_examples=1 max_ops=2 "
    "lengths=[1,2] --hidden 16 --layers 1 --warm-start-steps 2 --prompts-per-step 8 --steps 2 "
    "--num-generations 4 --objectives 1 --workers 1 --out run"
)
QUICK = """
import sys
from pkpo import cli

def run(arguments, whole=cli.run):
    from pkpo.report import write
    write.draw_figures = lambda run: ()
    if sys.__stdout__ is not None:
        from pkpo.execution.pool import ThisProcess
        from pkpo.train import job
        job.LocalProcesses = lambda slots: ThisProcess(lambda: False)
    return whole(arguments)

if __name__ == "__main__":
    cli.run = run
    cli.main()
"""


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">&- 2>&- <&-", ""),
        pytest.param(
            "> /dev/full",
            "can't write to stdout: No space left on device",
            marks=pytest.mark.slow,
        ),
        pytest.param("| head -n 1", "", marks=pytest.mark.slow),
    ],
)
def test_training_goes_on_where_nobody_listens(where: str, said: str):
    """Worker processes, which import for seconds, are there where they inherit no streams."""
    Path("quick.py").write_text(QUICK)
    done = shell(f"set -o pipefail; pkpo {TINY} {where}", "quick.py", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert said in done.stderr.decode()
    assert Path("run/report.html").exists()
    assert len(Path("run/arms/k=1/seed_0/metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads(Path("run/config.json").read_text())["seeds"] == [0]


# Terminals that can't show everything


def test_what_a_terminal_can_t_show_is_spelt_out():
    log("log.jsonl", "problème ", solved=4)
    for encoding in ("ascii", "cp1252"):
        done = shell("pkpo eval log.jsonl", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b">= " in done.stdout
        done.stdout.decode(encoding)
        done = shell("pkpo eval log.jsonl --format json", PYTHONIOENCODING=encoding)
        problems = json.loads(done.stdout.decode(encoding))["samples"]["problems"]
        assert problems[0]["problem"].startswith("problème ")
    assert shell("pkpo train --help", PYTHONIOENCODING="ascii").returncode == 0
    assert shell("pkpo train --stpes 3", PYTHONIOENCODING="ascii").returncode == 2


def test_names_that_are_not_utf_8_are_no_error(capsysbinary: pytest.CaptureFixture[bytes]):
    folder = Path(BYTES_OF_NO_ENCODING)
    folder.mkdir()
    one, two = log(folder / f"{BYTES_OF_NO_ENCODING}.jsonl"), log("two.jsonl")
    page, figures = folder / "page", folder / "figures"
    for command in (["eval", str(one)], ["compare", str(one), str(two)]):
        drawn = ["--html", str(page), "--figures", str(figures)]
        for kind in ("table", "md", "json", "csv"):
            assert run([*command, "--format", kind, *(drawn if kind == "table" else [])]) == 0
            captured = capsysbinary.readouterr()
            captured.err.decode("utf-8")
            out = captured.out.decode("utf-8")
            if kind == "json" and command[0] == "eval":
                (path,) = json.loads(out)["reading"]["files"]
                assert os.fsencode(path) == os.fsencode(one)
        assert "r\\xff\\xfe" in page.read_text("utf-8")
        assert figures.is_dir()
    gone = subprocess.run([*PKPO, "eval", str(folder / "gone")], capture_output=True)
    assert gone.returncode == 1
    assert gone.stderr == b"pkpo: r\\xff\\xfe/gone doesn't exist\n"


def test_ids_and_names_can_t_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    unsafe = set(HARMFUL) - set("p[2J]0;title31m\n")
    steady = [{"problem": f"s{i}", "reward": j % 2} for i in range(6) for j in range(16)]
    for path, kinds in ((f"{HARMFUL[:7]}.jsonl", (0, 1)), ("two.jsonl", (1, 0))):
        rows = [{"problem": f"{HARMFUL}{i}", "reward": kinds[i]} for i in (0, 1) for _ in range(16)]
        Path(path).write_text("\n".join(map(json.dumps, [*rows, *steady])), encoding="utf-8")
    Path("bad.jsonl").write_text(
        json.dumps({"problem": HARMFUL, "reward": HARMFUL}) + "\n" + json.dumps(rows[0])
    )
    one = f"{HARMFUL[:7]}.jsonl"
    commands = [
        ["compare", one, "two.jsonl", "--k", "1", "--html", "page.html"],
        ["compare", one, "two.jsonl", "--k", "1", "--format", "md", "--names", HARMFUL, "b"],
        ["eval", one, "--html", "page.html"],
        ["eval", "bad.jsonl"],
        ["eval", "bad.jsonl", "--on-bad-line", "count"],
        ["eval", "two.jsonl", "--k", "99"],
        ["eval", "two.jsonl", "--reward", HARMFUL],
        ["eval", HARMFUL],
    ]
    for command in commands:
        run(command)
        captured = capsys.readouterr()
        assert not unsafe & set(captured.out + captured.err), command
    assert not unsafe & set(Path("page.html").read_text("utf-8"))
    assert run(["compare", one, "two.jsonl", "--k", "1"]) == 0
    moved = [line for line in capsys.readouterr().out.splitlines() if "gained" in line]
    assert any(
        line.startswith("p\\x1b[2J\\x1b]0;title\\x07\\x0d\\u202e\\x9b31m\\n") for line in moved
    )
    assert run(["eval", "two.jsonl", "--k", "1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["samples"]["problems"]
    assert f"{HARMFUL}0" in [problem["problem"] for problem in found]
