"""Canonical solutions score 1, what is not one scores less; splits, rewards and reasons."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.sandbox.checks import Checks
from pkpo.tasks.base import Verdict, check_splits
from pkpo.tasks.code.problems import CodeProblem
from pkpo.tasks.code.task import CodeFileTask, CodeTask, HumanEvalTask
from pkpo.tasks.verification import verify
from tests.sandbox.needs import needs_sandbox
from tests.tasks.code.test_problems import HUMAN_EVAL, MBPP, written


@needs_sandbox
def test_every_canonical_solution_of_human_eval_scores_one() -> None:
    task = HumanEvalTask()
    problems = task.code_problems("test")
    bodies = [(i, p.solution[len(p.prompt) :]) for i, p in enumerate(problems)]
    found = verify(task, "test", bodies, workers=2)
    assert [(p.id, v.reason) for p, v in zip(problems, found) if v.reward != 1.0] == []
    assert len(found) == 164


def mutants(problem: CodeProblem) -> list[str]:
    """The solution with one thing changed that its tests must see."""
    name = problem.entry_point
    return [
        f"{problem.solution}\n\n_right = {name}\n\n\ndef {name}(*a):\n    {line}\n"
        for line in ("return None", "raise ValueError", "return [_right(*a)]", "return not _right")
    ]


@needs_sandbox
def test_solutions_are_told_apart_by_their_programs() -> None:
    task, name = HumanEvalTask(), HumanEvalTask().code_problems("test")[0].entry_point
    ends = "    return x + 1\n", "    x += 1\n    return x + 1\n"
    first, second = (f"def {name}(x):\n{end}" for end in ends)
    texts = first, f"Here it is.\n```python\n{first}```\nDone.", second
    answers = [task.answer("test", 0, text) for text in texts]
    assert answers[0] == answers[1] != answers[2]


def test_mutants_score_below_one() -> None:
    task = HumanEvalTask("tests")
    chosen = random.Random(0).sample(range(164), 12)
    problems = task.code_problems("test")
    pairs = [(i, f"```python\n{m}```") for i in chosen for m in mutants(problems[i])]
    found = verify(task, "test", pairs, workers=2)
    assert [problems[i].id for (i, _), v in zip(pairs, found) if v.reward == 1.0] == []


def task_of(*tests: str, **options: Any) -> CodeTask:
    problem = CodeProblem("p", "", "", "", Checks(tests), "")
    settings = {"reward": "all", "seconds": 5, "memory_mib": 512, "sandbox": "auto"} | options
    return CodeTask("made up", {"test": (problem,)}, **settings)


@needs_sandbox
def test_shares_of_tests_and_their_reasons() -> None:
    tests = ("assert f(1) == 1", "assert f(2) == 4", "assert f(3) == 9", "assert g() == 1")
    share, every = task_of(*tests, reward="tests"), task_of(*tests)
    assert (share.reward_type, every.reward_type) == ("continuous", "binary")
    texts = ["def f(x): return x * x\ndef g(): return 1", "def f(x): return x * x", "1 +"]
    assert [share.judge("test", 0, text).reward for text in texts] == [1.0, 0.75, 0.0]
    assert [every.judge("test", 0, text).reward for text in texts] == [1.0, 0.0, 0.0]
    assert every.judge("test", 0, texts[0]).reason == "4 of 4 tests passed"
    reason = every.judge("test", 0, texts[1]).reason
    assert reason.startswith("3 of 4 tests passed; NameError")
    assert reason.endswith("in assert g() == 1")


@needs_sandbox
@pytest.mark.parametrize(
    ("test", "program"),
    [
        ("assert f([3, 1]) == [1, 3]", "def f(x): return sorted(x)"),
        ("assert list(f(3)) == [0, 1, 2]", "def f(n): yield from range(n)"),
        ("assert list(f('ab')) == ['A', 'B']", "def f(s): return map(str.upper, s)"),
        ("assert f({1: 'a'}) == {'a': 1}", "def f(d): return {v: k for k, v in d.items()}"),
        ("assert f((1, 2)) == (2, 1)", "def f(t): return t[::-1]"),
        ("assert f() == {1, 2}", "def f(): return {1, 2}"),
        ("assert f() == {'a': 1}", "import collections\ndef f(): return collections.Counter('a')"),
        ("assert abs(f() - 1 / 3) < 1e-12", "def f(): return 1 / 3"),
        ("assert f() == 2 ** 5000", "def f(): return 2 ** 5000"),
        ("assert f() == 1 + 2j", "def f(): return 1 + 2j"),
        ("assert f() is None", "def f(): pass"),
        ("assert f() is True", "def f(): return True"),
        ("assert f() == b'x'", "def f(): return b'x'"),
        ("assert f() == float('inf')", "def f(): return float('inf')"),
        ("assert f('é\\U0001f600') == 'É\\U0001f600'", "def f(s): return s.upper()"),
        ("assert f() == [[], {}, ()]", "def f(): return [[], {}, ()]"),
        ("x = [2, 1]\nf(x)\nassert x == [1, 2]", "def f(x): x.sort()"),
        ("assert f(g(2)) == 5", "def g(x): return 2 * x\ndef f(x): return x + 1"),
        ("assert f(2, b=3) == 8", "def f(a, *, b): return a ** b"),
        (
            "try:\n    f(0)\n    assert False\nexcept Exception:\n    assert f(1) == 1",
            "def f(x): return 1 / x",
        ),
    ],
)
def test_values_cross_the_wall_as_they_are(test: str, program: str) -> None:
    assert task_of(test).judge("test", 0, program) == Verdict(1.0, "1 of 1 tests passed")


def test_tests_that_cannot_be_parsed_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="can't be parsed"):
        task_of("assert (")


def test_human_eval_is_a_test_alone() -> None:
    task = HumanEvalTask()
    check_splits(task)
    assert (task.splits, len(task.ids("test"))) == (("test",), 164)
    with pytest.raises(InvalidInputError, match="human-eval has no problems in split 'train'"):
        task.ids("train")
    prompt = task.question("test", 0)
    assert prompt.startswith("from typing import List")
    [message] = task.messages("test", 0)
    assert message["content"].endswith(f"```python\n{prompt}```")
    copy = pickle.loads(pickle.dumps(task))
    assert copy.code_problems("test") == task.code_problems("test")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reward": "some"}, "reward must be"), ({"sandbox": "none"}, "sandbox must be")]
    + [({name: 0}, "must be > 0") for name in ("seconds", "memory_mib")],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        HumanEvalTask(**options)


def numbered(*numbers: int | str, **fields: object) -> list[dict[str, Any]]:
    return [MBPP | {"task_id": n, "text": f"Task {n}."} | fields for n in numbers]


def test_mbpp_has_its_own_splits(tmp_path: Path) -> None:
    rows = numbered(2, 11, 510, 511, 600, 601, 974)
    task = CodeFileTask(str(written(tmp_path / "p.jsonl", *rows)))
    check_splits(task)
    assert {split: task.ids(split) for split in task.splits} == {
        "train": ("2", "601", "974"),
        "validation": ("511", "600"),
        "test": ("11", "510"),
    }
    assert task.reference("test", 0) == f"```python\n{MBPP['code']}\n```"
    [message] = task.messages("test", 0)
    assert message["content"] == task.question("test", 0)


def test_other_splits_follow_from_the_question_or_the_row(tmp_path: Path) -> None:
    rows = numbered(*(f"x{i}" for i in range(40)))
    path = written(tmp_path / "p.jsonl", *rows)
    few, many = (CodeFileTask(str(path), test=share, validation=0.2) for share in (0.3, 0.5))
    check_splits(few)
    assert set(few.ids("test")) < set(many.ids("test"))
    assert sum(len(few.ids(split)) for split in few.splits) == 40
    rows = [*numbered("a", split="test"), *numbered("b", split="train")]
    rows += numbered("c", text="Task a.", split="train")
    task = CodeFileTask(str(written(tmp_path / "p.jsonl", *rows)))
    check_splits(task)
    assert (task.ids("test"), task.ids("train")) == (("a",), ("b",))


def test_data_sets_bring_their_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    written(tmp_path / "train.jsonl", *numbered(11, 12))
    written(tmp_path / "test.jsonl", *numbered(13))
    task = CodeFileTask(dataset=str(tmp_path))
    assert {split: task.ids(split) for split in task.splits} == {
        "train": ("11", "12"),
        "test": ("13",),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of path=FILE and dataset=NAME"),
        ({"path": "p", "dataset": "d"}, "give one of"),
        ({"dataset": "/nothing/here"}, "can't be loaded"),
    ],
)
def test_where_the_problems_are_must_be_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        CodeFileTask(**options)


def test_bad_splits_are_refused(tmp_path: Path) -> None:
    path = str(written(tmp_path / "p.jsonl", HUMAN_EVAL))
    with pytest.raises(InvalidInputError, match=r"in \[0, 1\]"):
        CodeFileTask(path, test=0.7, validation=0.4)
    path = str(written(tmp_path / "p.jsonl", json.dumps(HUMAN_EVAL | {"split": "exam"})))
    with pytest.raises(InvalidInputError, match="no split 'exam'"):
        CodeFileTask(path)
