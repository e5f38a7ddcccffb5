"""Problems of mathematics in files of the forms of MATH and GSM8K, judged by their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.base import RewardType, Split, Task, Verdict
from pkpo.tasks.equivalence import (
    MOST_CHARACTERS,
    OutOfTimeError,
    equal,
    find_answer,
    load,
    time_limit,
)

BOXED_FORMAT = (
    r"Reason step by step. End with the answer alone in \boxed{}; only the last \boxed{} is read."
)
"""What a question tells of the form of its answer."""

_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_HELD_OUT: tuple[Split, ...] = ("test", "validation")
_FILES = (".jsonl", ".json", ".parquet")
_SHOWN = 80


@dataclass(frozen=True)
class _Problem:
    """`place`: in the data, for messages. `solution`: with the answer, or ""."""

    id: str
    place: str
    question: str
    answer: str
    solution: str

    @property
    def content(self) -> str:
        return " ".join(self.question.split()).casefold()


class MathTask(Task):
    r"""Problems whose answer is a number, an expression, a set, a matrix or a word.

    A row has the form of

    - MATH: `problem`, and `answer` or a `solution` with `\boxed{}`; maybe `unique_id`;
    - GSM8K: `question`, and `answer`, which ends with a line "#### 42".

    The reward is 1 if the answer in a completion (`pkpo.tasks.equivalence.find_answer`) is equal
    to the right one (`pkpo.tasks.equivalence.equal`), else 0.

    Splits are the data's own. Of a train split, or a file that isn't named after a split, each
    problem goes by SHA-256 of its question: 10% to test if there is none, 10% to validation if
    there is none. A question that two splits ask stays in the first of test, validation, train
    alone, whatever its white space and case; `left_out` counts the others.

    Args:
        data: a file (JSON Lines, JSON or Parquet), a folder or a name on the Hub that `datasets`
            can load, or such by split, as {"train": "a.jsonl", "test": "b.jsonl"}.
        config: of a name on the Hub that has several, as "main" of openai/gsm8k.
        seconds: for judging one completion; one that takes longer gets 0.
        check: whether the solutions of the data must lead to its answers.

    Raises:
        MissingExtraError: math-verify, or datasets for what isn't JSON, is not installed.
        InvalidInputError: the data can't be read, a row is damaged, an id stands there twice,
            or a solution leads to another answer; names file, row and field.
    """

    reward_type: RewardType = "binary"

    def __init__(
        self,
        data: str | Mapping[str, str],
        *,
        config: str | None = None,
        seconds: float = 5.0,
        check: bool = True,
    ) -> None:
        if not 0 < seconds < float("inf"):
            raise InvalidInputError(f"{seconds=} must be positive")
        with needing("the task math", "math", "math_verify"):
            pass
        self.name = "math"
        self.seconds = seconds
        self._problems, self.left_out = _kept_apart(_read(data, config))
        self.splits = tuple(split for split in ("train", *_HELD_OUT[::-1]) if self._problems[split])
        if check:
            for problem in (p for split in self.splits for p in self._problems[split]):
                _check(problem)

    def _of(self, split: Split) -> list[_Problem]:
        if split not in self.splits:
            raise InvalidInputError(
                f"the task math has no split {split!r} in this data; there are: "
                f"{', '.join(self.splits)}"
            )
        return self._problems[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        """`unique_id` or `id` of the rows; without, split or file and number of the row."""
        return tuple(problem.id for problem in self._of(split))

    def question(self, split: Split, problem: int) -> str:
        return f"{self._of(split)[problem].question.strip()}\n\n{BOXED_FORMAT}"

    def reference(self, split: Split, problem: int) -> str:
        """The data's solution if it has one, else its answer."""
        found = self._of(split)[problem]
        return found.solution or rf"\boxed{{{found.answer}}}"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """See the class; the reason names both answers.

        Raises:
            VerificationError: it isn't called in the main thread of a process.
        """
        gold, answer = self._of(split)[problem].answer, None
        load()
        try:
            with time_limit(self.seconds):
                answer = find_answer(text)
                right = answer is not None and equal(gold, answer)
        except OutOfTimeError:
            return Verdict(0.0, f"timed out after {self.seconds:g} s over {_shown(answer)}")
        if answer is None:
            return Verdict(0.0, "no answer found")
        if right:
            return Verdict(1.0, f"{_shown(answer)} equals {_shown(gold)}")
        if len(answer) > MOST_CHARACTERS:
            return Verdict(0.0, f"an answer of {len(answer)} characters, {_shown(answer)}")
        return Verdict(0.0, f"got {_shown(answer)}, expected {_shown(gold)}")


def _shown(text: str | None) -> str:
    text = "the completion" if text is None else " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check(problem: _Problem) -> None:
    found = find_answer(problem.solution)
    if found is not None and not equal(problem.answer, found):
        raise InvalidInputError(
            f"{problem.place}: the solution of {problem.id} leads to {_shown(found)}, but its "
            f"answer is {_shown(problem.answer)}"
        )


def _kept_apart(given: Mapping[Split, list[_Problem]]) -> tuple[dict[Split, list[_Problem]], int]:
    """Problems by split as `MathTask` says, and how many were left out."""
    missing = [split for split in _HELD_OUT if not given[split]]
    found: dict[Split, list[_Problem]] = {split: list(given[split]) for split in _HELD_OUT}
    found["train"] = []
    for problem in given["train"]:
        share = int(hashlib.sha256(problem.content.encode()).hexdigest(), 16) % 100 // 10
        found[missing[share] if share < len(missing) else "train"].append(problem)
    asked: dict[str, Split] = {}
    count = sum(map(len, found.values()))
    for split, problems in found.items():
        problems[:] = [p for p in problems if asked.setdefault(p.content, split) == split]
    return found, count - sum(map(len, found.values()))


def _read(data: str | Mapping[str, str], config: str | None) -> dict[Split, list[_Problem]]:
    sources = {"": data} if isinstance(data, str) else dict(data)
    if not sources or not all(isinstance(source, str) for source in sources.values()):
        raise InvalidInputError(f"data: a file or a name, or such by split; got {data!r:.80}")
    problems: dict[Split, list[_Problem]] = {"train": [], "validation": [], "test": []}
    places: dict[str, str] = {}
    for given, source in sources.items():
        for name, rows in _tables(source, config):
            split = _SPLITS.get(given or name)
            if split is None:
                raise InvalidInputError(
                    f"{source}: unknown split {given or name!r}; there are train, validation, test"
                )
            for number, (place, row) in enumerate(rows, start=1):
                problem = _problem(row, place, f"{given or name}/{number}")
                if problem.id in places:
                    raise InvalidInputError(
                        f"{place}: the id {problem.id!r} stands in {places[problem.id]} too"
                    )
                places[problem.id] = place
                problems[split].append(problem)
    if not places:
        raise InvalidInputError(f"{data}: no problems")
    return problems


def _tables(
    source: str, config: str | None
) -> Iterator[tuple[str, Iterable[tuple[str, Mapping[str, Any]]]]]:
    """Name of a split, and rows with their places."""
    path = Path(source)
    if path.suffix in _FILES and not path.is_file():
        raise InvalidInputError(f"{source}: no such file")
    named = path.stem if path.stem in _SPLITS else "train"
    if path.suffix in (".jsonl", ".json") and path.is_file():
        yield named, _json_rows(path)
        return
    with needing(f"reading {source}", "math", "datasets"):
        import datasets
    try:
        if path.is_file():
            found: Any = datasets.load_dataset("parquet", data_files={named: source})
        elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            found = datasets.load_from_disk(source)
        else:
            found = datasets.load_dataset(source, config)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InvalidInputError(f"{source}: {error}") from error
    tables = found if isinstance(found, Mapping) else {"train": found}
    for name, table in tables.items():
        rows = ((f"{source}, {name}, row {i}", row) for i, row in enumerate(table, start=1))
        yield str(name), rows


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    data = path.read_bytes()
    if data.lstrip().startswith(b"["):
        rows = _json(data, str(path))
        places = [f"{path}, item {i}" for i in range(1, len(rows) + 1)]
    else:
        lines = [(i, line) for i, line in enumerate(data.splitlines(), start=1) if line.strip()]
        places = [f"{path}, line {i}" for i, _ in lines]
        rows = (_json(line, place) for place, (_, line) in zip(places, lines))
    for place, row in zip(places, rows):
        if not isinstance(row, dict):
            raise InvalidInputError(f"{place}: not an object")
        yield place, row


def _json(data: bytes, place: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidInputError(f"{place}: not JSON: {error}") from error


def _problem(row: Mapping[str, Any], place: str, name: str) -> _Problem:
    """A row; `name` is for one without an id."""
    for field in ("unique_id", "id"):
        if row.get(field) not in (None, ""):
            name = str(row[field])
            break
    if "problem" in row:
        question, solution = _text(row, "problem", place), ""
        if row.get("solution") is not None:
            solution = _text(row, "solution", place)
        if row.get("answer") is not None:
            answer = _text(row, "answer", place)
        elif (boxed := find_answer(solution) if r"\boxed" in solution else None) is not None:
            answer = boxed
        else:
            raise InvalidInputError(f"{place}: no answer, and no \\boxed{{}} in solution")
    elif "question" in row:
        question, solution = _text(row, "question", place), _text(row, "answer", place)
        answer = solution.rpartition("####")[2].strip()
        if not answer or "####" not in solution:
            raise InvalidInputError(f"{place}: answer has no '####' with the answer after it")
    else:
        raise InvalidInputError(
            f"{place}: neither problem nor question; there are {', '.join(row)}"
        )
    if len(answer) > MOST_CHARACTERS:
        raise InvalidInputError(f"{place}: answer has more than {MOST_CHARACTERS} characters")
    return _Problem(name, place, question, answer, solution)


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool) and field == "answer":
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{place}: {field} must be text, got {value!r:.80}")
    return value.strip()
