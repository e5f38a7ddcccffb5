"""`pkpo tasks` and `pkpo verify`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pkpo.cli.commands import run
from pkpo.evaluate.read import read
from pkpo.tasks import registry

HEAVY = {"torch", "polars", "scipy", "matplotlib", "transformers", "trl", "reasoning_gym"}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and a task of a package that isn't installed."""
    monkeypatch.chdir(tmp_path)
    point = EntryPoint("obedient", "tests.tasks.made_up:Obedient", registry.GROUP)
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name="obedient": [point] if name == "obedient" else [],
    )


def completions(*texts: str, name: str = "c.jsonl") -> None:
    rows = [{"id": f"test-{i % 3}", "text": text} for i, text in enumerate(texts)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_tasks_are_listed_with_rewards_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "binary, grids, cells" in lines["grid-programs"]
    assert "train 12000, validation 500, test 500" in lines["grid-programs"]
    assert "all, tests" in lines["human-eval"]
    assert "test 164" in lines["human-eval"]
    assert "train 2000" in lines["reasoning-gym"]
    assert lines["obedient"].split()[1:6] == ["continuous", "train", "3,", "test", "3"]
    assert "code: give one of path=FILE and dataset=NAME" in lines["[1]"]


def test_a_task_is_shown_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    few = [f"num_{split}=4" for split in ("train", "validation", "test")]
    assert run(["tasks", "grid-programs", "--option", *few, "--split", "test", "--count", "2"]) == 0
    out = capsys.readouterr().out
    assert "binary reward; train 4, validation 4, test 4." in out
    assert "No two splits ask the same." in out
    assert "size: rows and columns of a grid." in out
    assert out.count("--- test-") == out.count("reward 1: every output grid is made") == 2
    assert out.count("no answer: reward 0: 0 operations; 1 to 3 are allowed") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tasks", "chess"], 1, "no task 'chess'; tasks: grid-programs"),
        (["tasks", "--split", "test"], 2, "of one task"),
        (["tasks", "obedient", "--option", "alike=true"], 1, "asks the same as"),
        (["tasks", "obedient", "--option", "size=3"], 1, "has no option 'size'"),
        (["verify", "obedient"], 2, "give a file of completions, or --references"),
        (["verify", "obedient", "c.jsonl", "--references"], 2, "give a file"),
        (["verify", "obedient", "c.jsonl", "--out", "./c.jsonl"], 2, "written over"),
        (["verify", "obedient", "lost.jsonl"], 1, "lost.jsonl"),
        (["verify", "obedient", "bad.jsonl"], 1, "bad.jsonl, line 2: not JSON"),
        (["verify", "obedient", "c.jsonl", "--split", "train"], 1, "no problem 'test-0'"),
        (["verify", "obedient", "c.jsonl", "--workers", "0"], 1, "must be positive"),
        (
            ["verify", "grid-programs", "c.jsonl", "--reward", "a", "--option", "reward=b"],
            2,
            "differ",
        ),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    completions("1")
    Path("bad.jsonl").write_text(Path("c.jsonl").read_text() + "{\n")
    assert run(arguments) == code
    assert message in capsys.readouterr().err


def test_a_log_of_verdicts_is_one_that_eval_reads(capsys: pytest.CaptureFixture[str]) -> None:
    completions("1", "0.5", "hang", "1", "0", "1")
    assert run(["verify", "obedient", "c.jsonl", "--timeout", "1", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("obedient: 3/6 right, of 3 problems\nmean reward 0.5833\n")
    assert "test-2        0  judging took more than 1 s" in out
    assert out.endswith("Log: c.jsonl.obedient.jsonl\n")
    result = read(["c.jsonl.obedient.jsonl"])
    assert result.samples.problems == ("test-0", "test-1", "test-2")
    assert result.samples.sizes_P.tolist() == [2, 2, 2]


def test_bad_lines_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    completions("1", "1")
    Path("c.jsonl").write_text(Path("c.jsonl").read_text() + "{\n")
    assert run(["verify", "obedient", "c.jsonl", "--on-bad-line", "skip", "--out", "l.jsonl"]) == 0
    said = capsys.readouterr()
    assert "obedient: 2/2 right, of 2 problems" in said.out
    assert "c.jsonl, line 3: not JSON" in said.err
    assert len(Path("l.jsonl").read_text().splitlines()) == 2


def test_a_task_is_checked_by_its_own_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["verify", "obedient", "--references", "--workers", "1"]) == 0
    assert capsys.readouterr().out.startswith("obedient: 6/6 right, of 6 problems\n")
    monkeypatch.setattr("tests.tasks.made_up.Obedient.reference", lambda *_: "0.5")
    assert run(["verify", "obedient", "--references", "--split", "test", "--workers", "1"]) == 1
    assert "0/3 right" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_neither_command_loads_what_is_heavy() -> None:
    completions("<answer>1</answer>")
    Path("c.jsonl").write_text(json.dumps({"id": "test-0", "completion": "rot90"}) + "\n")
    few = [f"num_{split}=1" for split in ("train", "validation", "test")]
    code = f"""
import sys
from pkpo.cli.commands import run
if __name__ == "__main__":
    assert run(["tasks"]) == 0
    assert run(["tasks", "grid-programs", "--option", *{few}]) == 0
    assert run(["verify", "grid-programs", "c.jsonl", "--workers", "1", "--option", *{few}]) == 0
    loaded = {{name.partition(".")[0] for name in sys.modules}}
    assert not loaded & {HEAVY!r}, loaded & {HEAVY!r}
"""
    Path("program.py").write_text(code)
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
