"""Problems of mathematics in files of the forms of MATH and GSM8K, judged by their answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.base import RewardType, Split, Task, Verdict, last_answer
from pkpo.tasks.equivalence import MOST_CHARACTERS, OutOfTimeError, equal, load, time_limit
from pkpo.tasks.rows import Row, load_rows, split_rows, text_of

BOXED_FORMAT = (
    r"Reason step by step. End with the answer alone in \boxed{}; only the last \boxed{} is read."
)
"""What a question tells of the form of its answer."""

_SHOWN = 80

_BRACES = re.compile(r"(?P<box>\\{1,2}(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
_LISTED = re.compile(r"[\s$]*(?:[,;][\s$]*(?:and|or)?|(?:\\text\{\s*)?(?:and|or)(?:\s*\})?)[\s$]*")
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
_PHRASE = re.compile(
    r"answer(?: is|:| =)[ \t:*]*(\$[^$\n]+\$|\\\([^\n]+?\\\)|[^\s:*][^\n]*)", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!]\s+[A-Z].*", re.DOTALL)
_LINE_OF_MATHS = re.compile(r"\$[^$]+\$|[-+]?\$?[\d.,/]*\d%?", re.ASCII)


def find_answer(text: str) -> str | None:
    r"""The answer in a completion, without what marks it; None if there is none.

    The first of these that the completion has, and of several the last: what stands between
    <answer> and </answer>; a `\boxed{}` that is closed, together with those that only a comma,
    "and" or "or" stands between; what follows "####"; what follows "the answer is" or "answer:";
    a last line that is nothing but a number or $...$.

    Cost: linear in the text.

    >>> find_answer(r"\boxed{3}? No, so $\boxed{-2}$ and $\boxed{\frac{1}{2}}$.")
    '-2,\\frac{1}{2}'
    >>> find_answer("6 * 7 = 42\n#### 42")
    '42'
    """
    if "</answer>" in text and "<answer>" in text:
        text = last_answer(text) or ""
        return _stripped(_boxed(text) or text)
    if (inside := _boxed(text)) is not None:
        return _stripped(inside)
    for pattern in (_HASHES, _PHRASE):
        if found := pattern.findall(text):
            return _stripped(_SENTENCE_END.sub("", found[-1]))
    line = last_answer(text) or ""
    return _stripped(line) if _LINE_OF_MATHS.fullmatch(line) else None


def _boxed(text: str) -> str | None:
    """What the last box holds, or the last boxes if they are one list."""
    opened: list[tuple[int, int] | None] = []
    boxes: list[tuple[int, int, str]] = []
    for mark in _BRACES.finditer(text):
        if mark["box"]:
            opened.append(mark.span())
        elif mark[0] == "{":
            opened.append(None)
        elif mark[0] == "}" and opened:
            start = opened.pop()
            if start and not (boxes and boxes[-1][0] > start[0]):
                boxes.append((start[0], mark.end(), text[start[1] : mark.start()]))
    if not boxes:
        return None
    start, _, inside = boxes.pop()
    answers = [inside]
    while boxes and 0 <= start - boxes[-1][1] < 40:
        if not _LISTED.fullmatch(text, boxes[-1][1], start):
            break
        start, _, inside = boxes.pop()
        answers.append(inside)
    return ",".join(reversed(answers))


def _stripped(text: str) -> str | None:
    """An answer without what is around it: dollars, brackets of displayed mathematics, a full
    stop, bold type."""
    text = text.strip().strip("*").strip()
    if text.endswith((".", ",")) and not text.endswith("\\,"):
        text = text[:-1].rstrip()
    for left, right in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inside = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and inside and left not in inside:
            return inside.strip() or None
    return text or None


@dataclass(frozen=True)
class _Problem:
    """`place`: in the data, for messages. `solution`: with the answer, or ""."""

    place: str
    id: str
    question: str
    answer: str
    solution: str


class MathTask(Task):
    r"""Problems whose answer is a number, an expression, a set, a matrix or a word.

    A row has the form of

    - MATH: `problem`, and `answer` or a `solution` with `\boxed{}`; maybe `unique_id`;
    - GSM8K: `question`, and `answer`, which ends with a line "#### 42".

    The reward is 1 if the answer in a completion (`find_answer`) is equal
    to the right one (`pkpo.tasks.equivalence.equal`), else 0.

    A problem's split is what its data set or a field `split` says, or the name of its file if that
    is test or validation. The rest, and of data with a train split alone what it lacks, follows
    from the SHA-256 of the question. A problem that asks the same as one of test, or as one of
    validation, whatever its white space and case, is left out of the rest.

    Args:
        path: of a JSON Lines file, gzipped or not, a JSON file with a list, or a Parquet file.
        dataset: instead of `path`, what `datasets.load_dataset` takes: a name such as
            openai/gsm8k, or a folder.
        config: of the data set, such as main.
        test, validation: shares of the problems whose split follows from their question.
        seconds: for judging one completion; one that takes longer gets 0.
        check: whether a solution that leads to another answer than the row's is an error.

    Raises:
        MissingExtraError: math-verify, or `datasets` where it is needed, is not installed.
        InvalidInputError: a damaged row, a duplicate id, a solution that leads to another answer,
            or no file.
    """

    name = "math"
    reward_type: RewardType = "binary"

    def __init__(
        self,
        path: str | None = None,
        dataset: str | None = None,
        config: str | None = None,
        test: float = 0.1,
        validation: float = 0.1,
        seconds: float = 5.0,
        check: bool = True,
    ) -> None:
        if not 0 < seconds < float("inf"):
            raise InvalidInputError(f"seconds must be positive, got {seconds}")
        with needing("the task math", "math", "math_verify"):
            rows = list(_rows(path, dataset, config))
        self.seconds = seconds
        given = {split for split, _ in rows}
        if "train" in given:
            test *= "test" not in given
            validation *= "validation" not in given
        labelled = [({"split": "" if split == "train" else split}, p) for split, p in rows]
        self._problems = split_rows(labelled, _content, (test, validation))
        self.splits = tuple(self._problems)
        if check:
            for _, problem in rows:
                _check(problem)

    def _of(self, split: Split) -> tuple[_Problem, ...]:
        self.require_split(split)
        return self._problems[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        """`unique_id` or `id` of the rows; without, split or file and place in it."""
        return tuple(problem.id for problem in self._of(split))

    def question(self, split: Split, problem: int) -> str:
        return f"{self._of(split)[problem].question.strip()}\n\n{BOXED_FORMAT}"

    def reference(self, split: Split, problem: int) -> str:
        """The data's solution, which its answer follows if it marks none."""
        found = self._of(split)[problem]
        if _is_marked(found.solution):
            return found.solution
        return rf"{found.solution}\boxed{{{found.answer}}}"

    def answer(self, split: Split, problem: int, text: str) -> str:
        return find_answer(text) or ""

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


def _is_marked(solution: str) -> bool:
    return r"\boxed" in solution or "####" in solution


def _check(problem: _Problem) -> None:
    found = find_answer(problem.solution) if _is_marked(problem.solution) else problem.answer
    if found is None or not equal(problem.answer, found):
        raise InvalidInputError(
            f"{problem.place}: the solution of {problem.id} leads to {_shown(found or 'none')}, "
            f"but its answer is {_shown(problem.answer)}"
        )


def _content(problem: _Problem) -> str:
    return " ".join(problem.question.split()).casefold()


def _rows(
    path: str | None, dataset: str | None, config: str | None
) -> Iterator[tuple[str, _Problem]]:
    """Problems, and the splits that they are of where the data says it."""
    named = Path(path).name.partition(".")[0] if path else "row"
    counts: Counter[str] = Counter()
    places: dict[str, str] = {}
    for place, row in load_rows(path, dataset, config):
        split = row.get("split") or (named if named in ("test", "validation") else "")
        counts[split] += 1
        problem = _problem(row, place, f"{split or named}/{counts[split]}")
        if problem.id in places:
            raise InvalidInputError(
                f"{place}: the id {problem.id!r} is that of {places[problem.id]}"
            )
        places[problem.id] = place
        yield split, problem
    if not places:
        raise InvalidInputError(f"{path or dataset}: no problems in train, validation or test")


def _problem(row: Row, place: str, name: str) -> _Problem:
    """A row; `name` is for one without an id."""
    name = str(row.get("unique_id") or row.get("id") or name)
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        row = {**row, "answer": str(answer)}
    if "problem" in row:
        question = _text(row, "problem", place)
        solution = text_of(row, "solution", place) if row.get("solution") is not None else ""
        if answer is not None:
            answer = _text(row, "answer", place)
        elif r"\boxed" not in solution or (answer := find_answer(solution)) is None:
            raise InvalidInputError(f"{place}: no answer, and no \\boxed{{}} in solution")
    elif "question" in row:
        question, solution = _text(row, "question", place), _text(row, "answer", place)
        _, mark, answer = solution.rpartition("####")
        if not mark or not answer.strip():
            raise InvalidInputError(f"{place}: answer doesn't end with '####' and a number")
    else:
        raise InvalidInputError(
            f"{place}: {name} has neither problem nor question; there are {', '.join(row)}"
        )
    if len(answer) > MOST_CHARACTERS:
        raise InvalidInputError(f"{place}: answer has more than {MOST_CHARACTERS} characters")
    return _Problem(place, name, question, answer.strip(), solution)


def _text(row: Row, field: str, place: str) -> str:
    text = text_of(row, field, place).strip()
    if not text:
        raise InvalidInputError(f"{place}: {field} is empty")
    return text
