"""Problems of mathematics from files, and what completions of them are worth."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks import mathematics
from pkpo.tasks.base import Split, check_splits
from pkpo.tasks.mathematics import MathTask
from pkpo.tasks.registry import build_task
from pkpo.tasks.verification import verify
from tests.tasks.made_up import refusal_in_a_thread

pytest.importorskip("math_verify")

MATH = {
    "problem": "What is $\\frac{1}{2}+\\frac{1}{4}$?",
    "solution": "It is $\\frac{2}{4}+\\frac{1}{4}=\\boxed{\\frac{3}{4}}$.",
    "level": "Level 1",
    "type": "Prealgebra",
}
MATH_500 = {**MATH, "answer": "\\frac{3}{4}", "unique_id": "test/prealgebra/1.json"}
GSM8K = {
    "question": "Natalia sold 48 clips in April and half as many in May. How many in all?",
    "answer": "In May 48/2 = <<48/2=24>>24. In all 48+24 = <<48+24=72>>72.\n#### 72",
}


def written(path: Path, *rows: object) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def sums(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {i} + {i}?", "answer": f"#### {2 * i}"}
        for i in range(start, start + count)
    ]


def test_the_form_of_math(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", MATH, {**MATH_500, "problem": "Another?"}))
    assert task.splits == ("test",)
    assert task.ids("test") == ("test/1", "test/prealgebra/1.json")
    question = task.question("test", 0)
    assert question.startswith(MATH["problem"])
    assert r"\boxed{}" in question
    assert task.messages("test", 0) == [{"role": "user", "content": question}]
    assert task.reference("test", 0) == MATH["solution"]
    assert task.reward_type == "binary"


def test_the_form_of_gsm8k(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", GSM8K))
    assert task.ids("test") == ("test/1",)
    assert task.reference("test", 0) == GSM8K["answer"]
    assert task.judge("test", 0, "so 72 clips\n#### 72").reward == 1


@pytest.mark.parametrize("answer", [204, "204", 204.0])
def test_an_answer_may_be_a_number_and_a_solution_need_not_mark_it(
    tmp_path: Path, answer: object
) -> None:
    row = {"problem": "Q?", "solution": "A walk takes 204 minutes.\n\n", "answer": answer}
    task = MathTask(written(tmp_path / "test.jsonl", row))
    reference = task.reference("test", 0)
    assert reference.startswith("A walk")
    assert task.judge("test", 0, reference).reward == 1


@pytest.mark.parametrize(
    ("completion", "reward", "reason"),
    [
        (r"So $\boxed{3/4}$.", 1, r"3/4 equals \frac{3}{4}"),
        (r"\boxed{\frac{6}{8}}", 1, r"\frac{6}{8} equals \frac{3}{4}"),
        (r"\boxed{5}", 0, r"got 5, expected \frac{3}{4}"),
        (r"\boxed{3/4}, or rather \boxed{0.8}", 0, r"got 0.8, expected \frac{3}{4}"),
        ("I don't know.", 0, "no answer found"),
        ("", 0, "no answer found"),
        (r"\boxed{3/", 0, "no answer found"),
        (rf"\boxed{{{'9' * 5000}}}", 0, f"an answer of 5000 characters, {'9' * 80}..."),
        (r"\boxed{9^{9^{9^9}}}", 0, r"got 9^{9^{9^9}}, expected \frac{3}{4}"),
    ],
)
def test_verdicts_say_what_was_found(
    tmp_path: Path, completion: str, reward: float, reason: str
) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", MATH_500))
    verdict = task.judge("test", 0, completion)
    assert (verdict.reward, verdict.reason) == (reward, reason)


def test_solutions_are_told_apart_by_their_answers(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", GSM8K))
    texts = "We get \\boxed{5}.", "Thus the answer is $\\boxed{5}$", "#### 5", "So 6.\n#### 6"
    assert [task.answer("test", 0, text) for text in texts] == ["5", "5", "5", "6"]


def test_judging_that_takes_too_long_costs_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(gold: str, answer: str) -> bool:
        while True:
            pass

    task = MathTask(written(tmp_path / "test.jsonl", MATH_500), seconds=0.1)
    monkeypatch.setattr(mathematics, "equal", endless)
    verdict = task.judge("test", 0, r"\boxed{7}")
    assert (verdict.reward, verdict.reason) == (0, "timed out after 0.1 s over 7")


def test_another_thread_is_refused(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", MATH_500))
    assert "main thread" in refusal_in_a_thread(lambda: task.judge("test", 0, r"\boxed{7}"))


def test_workers_judge_it(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", MATH_500, GSM8K))
    assert pickle.loads(pickle.dumps(task)).ids("test") == task.ids("test")
    pairs = [(0, r"\boxed{.75}"), (1, r"\boxed{9^{9^9}}"), (1, r"\boxed{72 \text{ clips}}")]
    verdicts = verify(task, "test", pairs, workers=1)
    assert [verdict.reward for verdict in verdicts] == [1, 0, 1]


def test_a_file_is_split_by_its_questions_whatever_their_order(tmp_path: Path) -> None:
    rows = [{**row, "id": f"sum-{i}"} for i, row in enumerate(sums(400))]
    task = MathTask(written(tmp_path / "sums.jsonl", *rows))
    other = MathTask(written(tmp_path / "other.jsonl", *reversed(rows)))
    check_splits(task)
    assert task.splits == ("train", "validation", "test")
    for split in task.splits:
        assert set(task.ids(split)) == set(other.ids(split))
    assert 20 < len(task.ids("test")) < 60
    assert 20 < len(task.ids("validation")) < 60
    assert sum(len(task.ids(split)) for split in task.splits) == 400
    assert MathTask(str(tmp_path / "sums.jsonl"), test=1.0, validation=0.0).splits == ("test",)


def test_what_data_with_a_train_split_lacks_comes_from_that(tmp_path: Path) -> None:
    rows = [{**row, "split": "train"} for row in sums(200)]
    rows += [{**row, "split": "test"} for row in sums(50, start=1000)]
    task = MathTask(written(tmp_path / "sums.jsonl", *rows))
    check_splits(task)
    assert len(task.ids("test")) == 50
    assert 5 < len(task.ids("validation")) < 40
    assert len(task.ids("train")) == 200 - len(task.ids("validation"))


def test_what_a_held_out_split_asks_is_left_out_of_train(tmp_path: Path) -> None:
    rows = [
        {**GSM8K, "split": "test"},
        {**GSM8K, "split": "train", "question": f" {GSM8K['question'].upper()}\n"},
        {**MATH, "split": "train"},
        {**MATH, "split": "validation", "problem": "Else?"},
    ]
    task = MathTask(written(tmp_path / "data.jsonl", *rows))
    check_splits(task)
    assert [len(task.ids(split)) for split in ("train", "validation", "test")] == [1, 1, 1]


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps([MATH, GSM8K]))
    assert MathTask(str(tmp_path / "test.json")).ids("test") == ("test/1", "test/2")
    (tmp_path / "validation.jsonl.gz").write_bytes(gzip.compress(json.dumps(MATH).encode()))
    assert MathTask(str(tmp_path / "validation.jsonl.gz")).ids("validation") == ("validation/1",)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    written(folder / "train.jsonl", *sums(40))
    written(folder / "test.jsonl", *sums(5, start=100))
    task = MathTask(dataset=str(folder))
    check_splits(task)
    assert task.ids("test")[0] == "test/1"
    assert len(task.ids("test")) == 5
    assert len(task.ids("train")) + len(task.ids("validation")) == 40

    datasets.Dataset.from_list(
        [MATH_500, {**MATH_500, "unique_id": "b", "problem": "?"}]
    ).to_parquet(str(tmp_path / "test.parquet"))
    task = MathTask(str(tmp_path / "test.parquet"))
    assert task.ids("test") == ("test/prealgebra/1.json", "b")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], "line 1: not JSON"),
        ([MATH, "[]"], "line 2: not an object"),
        ([MATH, {"a": 1}], "line 2: data/2 has neither problem nor question; there are a"),
        ([{**MATH, "problem": None}], "line 1: problem must be text, got None"),
        ([{**MATH, "problem": " "}], "line 1: problem is empty"),
        ([{**MATH, "solution": 3}], "line 1: solution must be text, got 3"),
        ([{**MATH, "solution": "It is 3."}], r"line 1: no answer, and no \\boxed{} in solution"),
        ([{**MATH, "answer": ["3"]}], "line 1: answer must be text"),
        ([{**MATH, "answer": True}], "line 1: answer must be text, got True"),
        ([{**MATH, "answer": ""}], "line 1: answer is empty"),
        ([{**MATH, "answer": "7" * 2000}], "line 1: answer has more than 1000 characters"),
        (
            [MATH, {**MATH_500, "answer": "4/3"}],
            r"line 2: the solution of test/prealgebra/1.json leads to \\frac\{3\}\{4\}, but "
            "its answer is 4/3",
        ),
        ([{**GSM8K, "answer": "It is 72."}], "line 1: answer doesn't end with '####' and a number"),
        ([{**GSM8K, "answer": "It is\n#### "}], "line 1: answer doesn't end with '####'"),
        (
            [MATH_500, GSM8K, MATH_500],
            "line 3: the id 'test/prealgebra/1.json' is that of .*line 1",
        ),
        ([{**GSM8K, "split": "exam"}], "no split 'exam'; there are train, validation, test"),
        ([], "empty"),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, rows: list[object], message: str) -> None:
    path = written(tmp_path / "data.jsonl", *rows)
    with pytest.raises(InvalidInputError, match=message):
        MathTask(path)


def test_a_solution_that_leads_elsewhere_can_be_let_pass(tmp_path: Path) -> None:
    path = written(tmp_path / "test.jsonl", {**MATH_500, "answer": "4/3"})
    assert MathTask(path, check=False).ids("test") == ("test/prealgebra/1.json",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of path=FILE and dataset=NAME"),
        ({"path": "a.json", "dataset": "b"}, "one of path=FILE and dataset=NAME"),
        ({"path": "DATA", "seconds": 0}, "seconds must be positive"),
        ({"path": "DATA", "seconds": float("inf")}, "seconds must be positive"),
        ({"path": "DATA", "test": 0.9, "validation": 0.2}, "shares of test and validation"),
        ({"path": "LIST"}, "not a list of objects"),
        ({"path": "TORN"}, "not JSON"),
        ({"path": "DATA", "levels": 3}, "no option 'levels'"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "LIST.json").write_text("[1]")
    (tmp_path / "TORN.json").write_text("[{")
    written(tmp_path / "DATA.jsonl", MATH)
    paths = {path.stem: str(path) for path in tmp_path.iterdir()}
    given = {
        key: paths.get(value, value) if isinstance(value, str) else value
        for key, value in options.items()
    }
    with pytest.raises(InvalidInputError, match=message):
        build_task("math", given)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    task = MathTask(written(tmp_path / "test.jsonl", MATH))
    split: Split = "train"
    for use in (task.ids, lambda s: task.question(s, 0), lambda s: task.judge(s, 0, "1")):
        with pytest.raises(InvalidInputError, match="no problems in split 'train'; it has test"):
            use(split)
