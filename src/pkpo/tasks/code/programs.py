"""The program in what a model wrote."""

from __future__ import annotations

import ast
import re
import textwrap

from pkpo.tasks.code.problems import CodeProblem, parse

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S)
_CODE = re.compile(r"(from|import|def|class|async)\b|@\w|[A-Za-z_]\w*\s*(:[^=]*)?=")
_MOST_LINES = 1000


def program_of(problem: CodeProblem, completion: str) -> str:
    """The program that a completion stands for, as the field's harnesses read it.

    Of fenced code, the first block that defines the function that is wanted, or else the first
    block. Code that defines it follows what the prompt defines before it; other code goes on with
    the prompt. What a model writes after the function (a new conversation, calls, a truncated
    line) is left out as far as it keeps the program from being parsed.

    Args:
        problem: that was asked.
        completion: at most the first 1,000 lines count.
    """
    blocks = [match.group(2) for match in _FENCE.finditer(completion)]
    code = next((b for b in blocks if _defines(problem, b)), blocks[0] if blocks else completion)
    code = "\n".join(code.splitlines()[:_MOST_LINES])
    if not problem.beginning:
        return _parsable(_from_definition(code))
    if _defines(problem, code):
        return _parsable(f"{_before(problem)}\n{_from_definition(code)}")
    return _parsable(problem.beginning + _as_body(code), len(problem.beginning.splitlines()))


def _defines(problem: CodeProblem, code: str) -> bool:
    name = re.escape(problem.entry_point) if problem.entry_point else r"\w+"
    pattern = rf"^((async )?def {name}\b|{name}\s*=)"
    return re.search(pattern, textwrap.dedent(code), re.M) is not None


def _from_definition(code: str) -> str:
    """Code without a preamble that isn't any."""
    lines = textwrap.dedent(code).splitlines()
    first = next((i for i, line in enumerate(lines) if _CODE.match(line)), 0)
    return "\n".join(lines[first:])


def _before(problem: CodeProblem) -> str:
    """What the prompt defines and imports before the function that is wanted."""
    body = parse(problem.beginning).body
    wanted = (n for n in body if getattr(n, "name", "") != problem.entry_point)
    return "\n".join(map(ast.unparse, wanted))


def _as_body(code: str) -> str:
    """Code as the body of a function: indented, unless its first line is."""
    lines = [line for line in code.splitlines() if line.strip()]
    if not lines or lines[0][0] in " \t":
        return code
    return textwrap.indent(code, "    ")


def _parsable(source: str, least: int = 0) -> str:
    """The longest beginning of whole lines that can be parsed, of `least` lines or more; `source`
    itself if there is none."""
    lines = source.splitlines()
    size = len(lines)
    while size > least:
        text = "\n".join(lines[:size]) + "\n"
        try:
            parse(text)
        except SyntaxError as error:
            size = min(size - 1, max((error.lineno or size) - 1, least))
        except (ValueError, MemoryError, RecursionError):
            size -= 1
        else:
            return text
    return source
