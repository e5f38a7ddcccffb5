r"""Mathematics with one final answer, judged by the package math-verify.

Answers are parsed as LaTeX by its grammar, never evaluated as Python. Where math-verify alone
is wrong, by this module's rules:

- Units that are both given and both known must agree: 10 cm is not 10 m, though it is 10.
- 12\,345 is 12345, and \varnothing is \emptyset.
- An answer of more than 500 characters is none.

Left as it is: 50\% is 50 as well as 0.5, a list without brackets has no order, and what only a
deeper look shows to be equal (e^{i\pi} and -1) counts as different.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.base import RewardType, Split, Task, Verdict
from pkpo.tasks.rows import Row, load_rows, split_rows, text_of

_BOXES = re.compile(r"\\(?:boxed|fbox)\s*\{")
_SAID = re.compile(r"(?:final answer|answer)\s*(?:is|:|=)[:\s]*([^\n]+)", re.IGNORECASE)
_INLINE = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)")
_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_UNIT = re.compile(
    r"\d\s*(?:\\[,; ]|~)*\s*\\(?:text|mathrm|mbox)\{\s*(\w+)\.?\s*\}\s*(\^\{?\d\}?)?"
)
_MOST_READ, _MOST_BOXES, _LONGEST, _SECONDS = 20_000, 20, 500, 5
_UNITS = {
    name: unit
    for unit, names in {
        "mm": "millimeter", "cm": "centimeter", "m": "meter metre", "km": "kilometer kilometre",
        "in": "inch inche", "ft": "foot feet", "mi": "mile", "yd": "yard", "g": "gram",
        "kg": "kilogram", "l": "liter litre", "ml": "milliliter", "h": "hour hr", "min": "minute",
        "s": "second sec", "day": "day", "week": "week", "year": "year", "dollar": "dollar",
        "cent": "cent", "degree": "degree",
    }.items()
    for name in (unit, *names.split())
}  # fmt: skip


def final_answer(text: str) -> str | None:
    r"""The answer that a solution ends with: what its last \boxed holds; or else what stands
    behind its last "####", in that line; or behind its last "answer is"; or else the last
    formula or number of its last line. None if there is nothing of these.

    >>> final_answer("So $x = \\boxed{\\frac{1}{2}}$. Done."), final_answer("9 - 4 = 5\n#### 5")
    ('\\frac{1}{2}', '5')
    """
    text = text[-_MOST_READ:]
    for start in reversed([found.end() for found in _BOXES.finditer(text)][-_MOST_BOXES:]):
        if (end := _closing(text, start)) is not None:
            return text[start:end].strip() or None
    if "####" in text:
        return text.rpartition("####")[2].strip().partition("\n")[0].strip() or None
    said = _SAID.findall(text)
    last = said[-1] if said else next(filter(str.strip, reversed(text.splitlines())), "")
    if formulas := _INLINE.findall(last):
        return "".join(formulas[-1]).strip() or None
    if said:
        return last.strip().rstrip(".*").strip() or None
    numbers = _NUMBER.findall(last)
    return numbers[-1] if numbers else None


def _closing(text: str, start: int) -> int | None:
    """Where the brace that was opened before `start` is closed."""
    depth = 1
    for place in range(start, len(text)):
        escaped = text[place - 1] == "\\" and text[place - 2] != "\\"
        depth += 0 if escaped else (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return None


def equivalent(gold: str, answer: str) -> bool:
    """Whether an answer in LaTeX is the right one, by the rules of this module.

    Cost: milliseconds, a second the first time; seconds for an answer made to be slow, and
    without end for one made to hang outside the main thread, where there are no alarms.

    Raises:
        MissingExtraError: math-verify isn't installed.
    """
    with needing("the task math", "math"):
        from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    units = {unit for text in (gold, answer) if (unit := _unit(text)) is not None}
    if len(units) > 1:
        return False
    alarmed = threading.current_thread() is threading.main_thread()
    seconds: Any = _SECONDS if alarmed else None
    as_latex = [LatexExtractionConfig()]
    right, given = (
        parse(rf"\boxed{{{_spelt(text)}}}", as_latex, parsing_timeout=seconds)
        for text in (gold, answer)
    )
    return bool(right and given) and verify(right, given, timeout_seconds=seconds)


def _unit(text: str) -> tuple[str, str] | None:
    found = _UNIT.search(text)
    if found is None:
        return None
    name = found[1].lower()
    unit = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    return None if unit is None else (unit, re.sub(r"\D", "", found[2] or ""))


def _spelt(text: str) -> str:
    text = re.sub(r"(?<=\d)(\\[,!;: ]|\{,\})(?=\d{3}(?!\d))", "", text.strip().strip("$"))
    return text.replace(r"\varnothing", r"\emptyset")


class MathTask(Task):
    r"""Problems of MATH's or GSM8K's form, from a file or a data set.

    MATH's form: `problem` and `solution`, whose last \boxed is the answer, or `answer` itself.
    GSM8K's: `question` and `answer`, with "#### " before the final number. A problem's id is its
    `unique_id`, `id` or `task_id`, or else its number. Its split is what its data set or a field
    `split` says, or else follows from the SHA-256 of its question. A problem that asks the same
    as one of test, or as one of validation, is left out of the rest.

    Args:
        path: of a JSON Lines file, gzipped or not.
        dataset: instead of `path`, what `datasets.load_dataset` takes, such as openai/gsm8k.
        config: of the data set, such as main.
        test, validation: shares of the problems whose split follows from their question.

    Raises:
        InvalidInputError: a damaged row, a duplicate id, or no file.
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
    ) -> None:
        rows = list(_problems(load_rows(path, dataset, config)))
        self._problems = split_rows(rows, lambda problem: problem[1], (test, validation))
        self.splits = tuple(self._problems)

    def _of(self, split: Split) -> tuple[tuple[str, str, str], ...]:
        if split not in self._problems:
            raise InvalidInputError(
                f"math has no problems in split {split!r}; it has {', '.join(self.splits)}"
            )
        return self._problems[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self._of(split))

    def question(self, split: Split, problem: int) -> str:
        return f"{self._of(split)[problem][1]}\n\nPut your final answer in \\boxed{{}}."

    def reference(self, split: Split, problem: int) -> str:
        return rf"\boxed{{{self._of(split)[problem][2]}}}"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        answer, gold = final_answer(text), self._of(split)[problem][2]
        if answer is None or len(answer) > _LONGEST:
            return Verdict(0.0, "no answer" if answer is None else "no answer that short")
        right = answer == gold or equivalent(gold, answer)
        return Verdict(float(right), f"{answer[:80]} is {'' if right else 'not '}{gold[:80]}")


def _problems(
    rows: Iterator[tuple[str, Row]],
) -> Iterator[tuple[Row, tuple[str, str, str]]]:
    """Each row with its problem's name, text and answer."""
    names: set[str] = set()
    for number, (place, row) in enumerate(rows):
        name = next((str(row[k]) for k in ("unique_id", "id", "task_id") if k in row), str(number))
        if name in names:
            raise InvalidInputError(f"{place}: the id {name!r} stands there twice")
        names.add(name)
        if "problem" in row:
            asked = text_of(row, "problem", place)
            field = "answer" if "answer" in row else "solution"
            text = text_of(row, field, place)
            gold = text if field == "answer" else final_answer(text) if _BOXES.search(text) else ""
        else:
            asked, field = text_of(row, "question", place), "answer"
            gold = text_of(row, field, place).rpartition("####")[2].replace(",", "")
        if not gold or not gold.strip():
            raise InvalidInputError(f"{place}: no final answer in {field}")
        yield row, (name, asked, gold.strip())
