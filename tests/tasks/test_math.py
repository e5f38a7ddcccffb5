"""Final answers: where they stand, and which are as good as the right one."""

from __future__ import annotations

import json
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Verdict, check_splits
from pkpo.tasks.math import MathTask, equivalent, final_answer
from pkpo.tasks.verification import verify

TABLE = tomllib.loads(Path(__file__).with_name("math_answers.toml").read_text("utf-8"))
CASES = [
    (gold, answer, same == "equal")
    for same, kinds in TABLE.items()
    for pairs in kinds.values()
    for gold, answer in pairs
]


def test_the_table_is_large() -> None:
    assert len(CASES) >= 100
    assert min(sum(same for *_, same in CASES), sum(not same for *_, same in CASES)) >= 35


@pytest.mark.parametrize(("gold", "answer", "same"), CASES)
def test_equivalences_and_near_misses(gold: str, answer: str, same: bool) -> None:
    assert equivalent(gold, answer) is same


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"Hence $\boxed{5}$, as asked.", "5"),
        (r"\boxed{1} or rather \boxed{\frac{1}{\sqrt{2}}}.", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed {7}", "7"),
        (r"\fbox{3}", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{4} but then \boxed{5", "4"),
        (r"\boxed{}", None),
        ("9 * 3 = 27\n#### 27\n", "27"),
        ("#### 1,000\nI hope that helps!", "1,000"),
        ("The final answer is: $x^2$. I hope it is correct.", "x^2"),
        ("The answer is 42.", "42"),
        ("**Answer:** 42", "** 42"),
        ("So we have 3 + 4 = 7", "7"),
        ("It costs $1,250.50 in all.", "$1,250.50"),
        (r"Therefore \(x = 3\).", "x = 3"),
        ("7\n\nDone.", None),
        ("", None),
        ("\n \n", None),
    ],
)
def test_where_the_answer_stands(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_finding_the_answer_is_quick_in_hostile_text() -> None:
    assert final_answer("\\boxed{" * 100_000) is None
    assert final_answer("{" * 100_000 + "#### 5") == "5"


MATH = {
    "problem": "What is $1+1$?",
    "solution": r"It is $\boxed{2}$.",
    "level": "Level 1",
    "type": "Algebra",
}
GSM = {"question": "Ann has 600 apples and 434 more. How many?", "answer": "So 1034.\n#### 1,034"}


def written(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_both_forms_are_read_and_judged(tmp_path: Path) -> None:
    rows = [MATH | {"split": "test"}, GSM | {"split": "test"}]
    rows.append({"problem": "And $2/4$?", "answer": "\\frac12", "unique_id": "u", "split": "train"})
    task = MathTask(written(tmp_path / "p.jsonl", *rows))
    check_splits(task)
    assert {split: task.ids(split) for split in task.splits} == {
        "train": ("u",),
        "test": ("0", "1"),
    }
    assert task.question("test", 0).startswith("What is $1+1$?\n\nPut your final answer in \\boxed")
    assert [task.reference("test", i) for i in range(2)] == [r"\boxed{2}", r"\boxed{1034}"]
    assert task.judge("test", 0, "Sure: $1 + 1 = \\boxed{2.0}$!") == Verdict(1.0, "2.0 is 2")
    assert task.judge("test", 1, "#### 1034") == Verdict(1.0, "1034 is 1034")
    assert task.judge("test", 1, "#### 1035") == Verdict(0.0, "1035 is not 1034")
    assert task.judge("train", 0, "The answer is 0.5.").reward == 1.0
    assert task.judge("test", 0, "I don't know.") == Verdict(0.0, "no answer")
    long = task.judge("test", 0, rf"\boxed{{{'1+' * 300}1}}")
    assert long == Verdict(0.0, "no answer that short")
    with pytest.raises(InvalidInputError, match="math has no problems in split 'validation'"):
        task.ids("validation")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "?", "solution": "no box"}, "line 2: no final answer in solution"),
        ({"problem": "?"}, "line 2: solution must be text, got None"),
        ({"problem": 3, "answer": "1"}, "line 2: problem must be text, got 3"),
        ({"question": "?", "answer": ["1"]}, "line 2: answer must be text"),
        ({"question": "?", "answer": "#### "}, "line 2: no final answer in answer"),
        ({"text": "?"}, "line 2: question must be text, got None"),
        (GSM | {"id": 0}, "line 2: the id '0' stands there twice"),
        (GSM | {"split": "exam"}, "no split 'exam'"),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        MathTask(written(tmp_path / "p.jsonl", MATH, row))


def test_a_hang_costs_one_sample(tmp_path: Path) -> None:
    """What the alarm of a worker ends, and what its parent has to."""
    task = MathTask(written(tmp_path / "p.jsonl", MATH | {"split": "test"}))
    slow = r"\boxed{" + r"9^{9^{9^{9}}}!" + "}"
    pairs = [(0, r"\boxed{2}"), (0, slow), (0, "(" * 400), (0, r"\boxed{3}"), (0, "#### 2")]
    found = verify(task, "test", pairs, workers=1, timeout=60)
    assert [verdict.reward for verdict in found] == [1, 0, 0, 0, 1]


def test_answers_are_judged_outside_the_main_thread_too() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(equivalent("2", "2.0")))
    thread.start()
    thread.join()
    assert found == [True]
