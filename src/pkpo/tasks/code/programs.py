"""The program in what a model wrote."""

from __future__ import annotations

import ast
import re
import textwrap

from pkpo.tasks.code.problems import CodeProblem, parse

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S)
_CODE = re.compile(r"(from|import|def|class|async)\b|@\w|[A-Za-z_]\w*\s*(:[^=]*)?=")
_MOST_LINES = 1000
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def program_of(problem: CodeProblem, completion: str) -> str:
    """The program that a completion stands for, as the field's harnesses read it.

    What follows "</think>" counts where that stands. Of fenced code, the first block that defines
    the function that is wanted, or else the text before the blocks if it does or goes on with the
    prompt, or else the first block. Code that defines it follows what the prompt defines before
    it; other code goes on with the prompt. What a model writes after the function (a new
    conversation, calls, asserts, a truncated line) is left out.

    Args:
        problem: that was asked.
        completion: at most the first 1,000 lines count.
    """
    code = _code(problem, completion.rpartition("</think>")[2])
    code = "\n".join(code.splitlines()[:_MOST_LINES])
    if not problem.beginning:
        source = _parsable(_from_definition(code))
    elif _defines(problem, code):
        source = _parsable(f"{_before(problem)}\n{_from_definition(code)}")
    else:
        source = _continued(problem, code)
    return _without_what_follows(problem, source)


def _code(problem: CodeProblem, text: str) -> str:
    fences = list(_FENCE.finditer(text))
    if not fences:
        return text
    blocks, before = [fence.group(2) for fence in fences], text[: fences[0].start()]
    if defining := [code for code in (*blocks, before) if _defines(problem, code)]:
        return defining[0]
    return before if before.lstrip("\n").startswith((" ", "\t")) else blocks[0]


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


def _continued(problem: CodeProblem, code: str) -> str:
    """The prompt and code as the body of its function: indented, unless its first line is, or the
    first line alone, of which can be parsed to a later line."""
    least = len(problem.beginning.splitlines())
    lines = [line for line in code.splitlines() if line.strip()]
    if not lines or lines[0][0] in " \t":
        return _parsable(problem.beginning + code, least)
    bodies = textwrap.indent(code, "    "), f"    {code.lstrip()}"
    sources = [_parsable(problem.beginning + body, least) for body in bodies]
    return max(sources, key=lambda s: 0 if _body(s) is None else len(s.splitlines()))


def _body(source: str) -> list[ast.stmt] | None:
    """The statements of a source that can be parsed."""
    try:
        return parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _without_what_follows(problem: CodeProblem, source: str) -> str:
    """A program without what is after its last definition of a function that is wanted, other than
    imports, definitions, and assignments to names that those use."""
    body = _body(source) or []
    wanted = {problem.entry_point} if problem.entry_point else problem.checks.names
    places = [place for place, node in enumerate(body) if _bound(node) & wanted]
    if not places:
        return source
    until, after = body[: places[-1] + 1], body[places[-1] + 1 :]
    kept = [node for node in after if isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom))]
    used = {n.id for node in until + kept for n in ast.walk(node) if isinstance(n, ast.Name)}
    lines = source.split("\n")
    made = lines[: until[-1].end_lineno]
    for node in after:
        if node in kept or _bound(node) & used:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            made += lines[first - 1 : node.end_lineno]
    return "\n".join(made) + "\n"


def _bound(node: ast.stmt) -> set[str]:
    """Names that a statement gives a value to, at its top."""
    if isinstance(node, _DEFINITIONS):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


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
