"""What an answer to a reasoning-gym item scores, without ever running the answer.

`ANSWER_RULES` says for every data set which answers its verifier may see: those of a grammar
in which nothing but numbers, signs and quoted letters can be written, and no longer than what
is scored in a fraction of a second. `REFUSED` names the rest. verifiers.toml has both.
"""

from __future__ import annotations

import ast
import copy
import difflib
import importlib.metadata
import operator
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pkpo.errors import InvalidInputError, needing

_VERIFIERS = tomllib.loads(Path(__file__).with_name("verifiers.toml").read_text(encoding="utf-8"))
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def countdown_score(text: str, metadata: Mapping[str, Any]) -> float | None:
    """What countdown's `score_answer` gives, from exact fractions instead of SymPy.

    Args:
        text: an answer that countdown's rule in `ANSWER_RULES` accepts.
        metadata: the item's, with `numbers` and `target`.

    Returns:
        0.01 if it is no expression; 0.05 if it uses other numbers or misses the target;
        1.0 if |value - target| <= 1e-6 + 1e-5 * |target|, NumPy's `isclose` as the
        dataset calls it. None for a division by zero, for nesting too deep to parse and
        within rounding of that tolerance.

    Cost: about 20 microseconds.
    """
    try:
        value = _exact_value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        return 0.01
    except (ZeroDivisionError, RecursionError, MemoryError):
        return None
    if value is None:
        return 0.01
    if sorted(map(int, re.findall(r"\d+", text))) != sorted(metadata["numbers"]):
        return 0.05
    distance = float(abs(value - metadata["target"]))
    tolerance = 1e-6 + 1e-5 * abs(metadata["target"])
    if abs(distance - tolerance) < 1e-9 * (1 + abs(metadata["target"])):
        return None
    return 1.0 if distance < tolerance else 0.05


def _exact_value(node: ast.expr) -> Fraction | None:
    number = node.value if isinstance(node, ast.Constant) else None
    if isinstance(number, int):
        return Fraction(number)
    if isinstance(node, ast.UnaryOp):
        operand = _exact_value(node.operand)
        return -operand if operand is not None and isinstance(node.op, ast.USub) else operand
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _exact_value(node.left), _exact_value(node.right)
    if left is None or right is None:
        return None
    return _OPERATIONS[type(node.op)](left, right)


@dataclass(frozen=True)
class AnswerRule:
    """Which answers to one dataset its `score_answer` may see.

    Args:
        grammar: regular expression that the answer must match from end to end, white space
            around it apart; `.` matches newlines.
        max_length: of the answer, in characters.
        accepts: (answer, metadata) -> whether an answer within the grammar may be scored.
        quick_score: (answer, metadata) -> `score_answer`'s value, or None where only
            `score_answer` can tell.
    """

    grammar: str = ".*"
    max_length: int = 100_000
    accepts: Callable[[str, Mapping[str, Any]], bool] = lambda answer, metadata: True
    quick_score: Callable[[str, Mapping[str, Any]], float | None] | None = None

    def admits(self, answer: str, metadata: Mapping[str, Any]) -> bool:
        """Whether `score_answer` may see the answer."""
        return (
            len(answer) <= self.max_length
            and re.fullmatch(self.grammar, answer.strip(), re.DOTALL) is not None
            and self.accepts(answer, metadata)
        )


def _is_balanced(answer: str, metadata: Mapping[str, Any]) -> bool:
    depth = 0
    for character in answer:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def _names_pegs(answer: str, metadata: Mapping[str, Any]) -> bool:
    return all(1 <= int(peg) <= metadata["num_pegs"] for peg in re.findall(r"Peg (\d+)", answer))


def _read_rules() -> dict[str, AnswerRule]:
    parts: dict[str, str] = {}

    def filled(grammar: str) -> str:
        return re.sub("{([A-Z]+)}", lambda found: parts[found[1]], grammar)

    for name, grammar in _VERIFIERS["parts"].items():
        parts[name] = filled(grammar)
    checks: dict[str, dict[str, Any]] = {
        "countdown": {"quick_score": countdown_score},
        "propositional_logic": {"accepts": _is_balanced},
        "tower_of_hanoi": {"accepts": _names_pegs},
    }
    rules = dict.fromkeys(_VERIFIERS["comparing"].split(), AnswerRule())
    for name, rule in _VERIFIERS["rules"].items():
        texts = {key: filled(value) for key, value in rule.items() if isinstance(value, str)}
        rules[name] = AnswerRule(**rule | texts | checks.get(name, {}))
    return rules


ANSWER_RULES: Mapping[str, AnswerRule] = _read_rules()
"""What may be scored, by data set. The others are in `REFUSED`."""

REFUSED: Mapping[str, str] = _VERIFIERS["refused"]
"""Why a data set is no task, by data set."""


def create_dataset(name: str, settings: Mapping[str, Any]) -> Any:
    """The reasoning-gym dataset `name` built from its keyword arguments `settings`.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
        InvalidInputError: it knows no such dataset or option, its verifier would run an
            answer or take for ever over one, or the version is one whose verifiers were
            not read.
    """
    with needing("the task reasoning-gym", "reasoning-gym"), warnings.catch_warnings():
        # Of cellpylib's source, where it is compiled first.
        warnings.simplefilter("ignore", SyntaxWarning)
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    installed, read = importlib.metadata.version("reasoning-gym"), _VERIFIERS["version"]
    if installed != read:
        raise InvalidInputError(
            f"reasoning-gym {installed} is installed, but only {read} is known not to "
            f"run what a model wrote: pip install 'reasoning-gym=={read}'"
        )
    if name in REFUSED:
        raise InvalidInputError(f"reasoning-gym's {name} is no task, for {REFUSED[name]}")
    if name not in ANSWER_RULES:
        similar = difflib.get_close_matches(name, ANSWER_RULES, n=3)
        raise InvalidInputError(
            f"unknown reasoning-gym dataset {name!r}"
            + (f"; did you mean {' or '.join(similar)}?" if similar else "")
            + f" There are: {', '.join(sorted(ANSWER_RULES.keys() & DATASETS.keys()))}"
        )
    try:
        return reasoning_gym.create_dataset(name, **settings)
    except (AssertionError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} rejects the options: {error}") from error


class Scorer:
    """A reasoning-gym dataset and the scores of answers to its items.

    Nothing that an answer does outlasts it: within `ANSWER_RULES` no answer is code, and
    the verifier, some of which write to the item, gets a copy of it.

    Args:
        name: the dataset's name in reasoning-gym.
        settings: keyword arguments of `reasoning_gym.create_dataset`.
        fast_check: whether to try a rule's `quick_score` first.

    Raises:
        MissingExtraError, InvalidInputError: as `create_dataset`.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], *, fast_check: bool) -> None:
        self.dataset = create_dataset(name, settings)
        self._rule = ANSWER_RULES[name]
        self._fast_check = fast_check

    def score(self, entry: Mapping[str, Any], answer: str) -> float:
        """`score_answer`'s value clipped to [0, 1]; 0 for an answer that the dataset's rule
        does not admit, or if scoring raises or gives NaN."""
        rule, score = self._rule, None
        if not rule.admits(answer, entry["metadata"]):
            return 0.0
        if self._fast_check and rule.quick_score is not None:
            score = rule.quick_score(answer, entry["metadata"])
        if score is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    score = float(self.dataset.score_answer(answer, copy.deepcopy(entry)))
                except Exception:
                    return 0.0
        return min(max(score, 0.0), 1.0) if score == score else 0.0
