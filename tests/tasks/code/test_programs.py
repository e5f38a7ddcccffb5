"""Reading programs out of what models write."""

import ast

import pytest

from pkpo.sandbox.checks import Checks
from pkpo.tasks.code.problems import CodeProblem
from pkpo.tasks.code.programs import program_of

PROMPT = '''from typing import List


def helper(x):
    """Adds one."""
    return x + 1


def twice(xs: List[int]) -> List[int]:
    """Every number twice as large.

    >>> twice([1, 2])
    [2, 4]
    """
'''
PROBLEM = CodeProblem(
    id="twice",
    prompt=PROMPT,
    beginning=PROMPT,
    entry_point="twice",
    checks=Checks(("assert twice([1, 2]) == [2, 4]",)),
    solution="",
)
MBPP = CodeProblem(
    id="1",
    prompt="Write a function to double numbers.\n",
    beginning="",
    entry_point="",
    checks=Checks(("assert twice([1, 2]) == [2, 4]",)),
    solution="",
)

BODY = "    return [2 * x for x in xs]\n"
WHOLE = "from typing import List\n\ndef twice(xs: List[int]) -> List[int]:\n" + BODY

COMPLETIONS = {
    "a body": BODY,
    "a body that isn't indented": "return [2 * x for x in xs]",
    "a body after an empty line": "\n" + BODY,
    "a body and a new function": BODY + "\n\ndef other():\n    pass\n",
    "a body and a truncated function": BODY + "\n\ndef other(:\n    whi",
    "a body and a cut line": BODY + "    print('never en",
    "a body and a conversation": BODY + "\n\nUser: thanks!\nAssistant: you're welcome",
    "the whole function": WHOLE,
    "the function with the prompt before it": PROMPT + BODY,
    "a function that uses what the prompt defines": (
        "def twice(xs):\n    return [helper(x) + x - 1 for x in xs]"
    ),
    "fenced": f"Here you are:\n```python\n{WHOLE}```\nIt doubles.",
    "fenced without a language": f"```\n{WHOLE}```",
    "fenced and capital": f"```Python\n{WHOLE}```",
    "fenced with tildes": f"~~~python\n{WHOLE}~~~",
    "fenced, the end is missing": f"Sure!\n```python\n{WHOLE}",
    "fenced body": f"```python\n{BODY}```",
    "fenced body that isn't indented": "```python\nreturn [2 * x for x in xs]\n```",
    "two blocks, the second defines it": (
        f"First run:\n```bash\npip install x\n```\nThen:\n```python\n{WHOLE}```"
    ),
    "two blocks, the second calls it": (
        f"```python\n{WHOLE}```\nTry it:\n```python\nprint(twice([1]))\n```"
    ),
    "windows line ends": f"```python\r\n{WHOLE}```".replace("\n", "\r\n").replace("\r\r", "\r"),
    "fence in a list": (
        "1. So:\n   ```python\n   def twice(xs):\n       return [2 * x for x in xs]\n   ```"
    ),
    "preamble without a fence": f"Here is the function:\n{WHOLE}",
    "a lambda": "twice = lambda xs: [2 * x for x in xs]",
    "a class beside it": f"class Tool:\n    pass\n\n\n{WHOLE}",
    "a body and a conversation that could be Python": BODY + "\n\nHuman: thanks\nAssistant: bye",
    "a body and the end of a block": BODY + "```\n\nThis doubles.",
    "a body whose first line alone isn't indented": (
        "ys = [2 * x for x in xs]\n    return ys\n\nprint('never"
    ),
    "thoughts with another block": (
        f"<think>\n```python\ndef twice(xs):\n    return xs\n```\n</think>\n```\n{WHOLE}```"
    ),
    "the end of a block after it": WHOLE + "```\nThis doubles.",
    "marks of examples": f"[BEGIN]\n{WHOLE}[DONE]\n",
    "asserts and a loop after it": WHOLE + "assert twice([1]) == 3\nwhile True:\n    input()\n",
    "what it needs after it": (
        "def twice(xs):\n    return [FACTOR * x for x in same(xs)]\n\n\n"
        "FACTOR: int = 2\nRESULT = input()\n\n\n"
        "@staticmethod\ndef same(xs):\n    return xs\n"
    ),
    "a main guard": WHOLE + "\n\nif __name__ == '__main__':\n    print(twice([1]))\n",
}


def result_of(program: str):
    names: dict = {"__name__": "program"}
    exec(compile(program, "<program>", "exec"), names)
    return names["twice"]([1, 2])


@pytest.mark.parametrize("name", COMPLETIONS)
def test_the_program_is_found(name: str) -> None:
    assert result_of(program_of(PROBLEM, COMPLETIONS[name])) == [2, 4]


@pytest.mark.parametrize(
    "name", [n for n in COMPLETIONS if "body" not in n and "prompt defines" not in n]
)
def test_the_program_is_found_where_the_prompt_is_a_sentence(name: str) -> None:
    assert result_of(program_of(MBPP, COMPLETIONS[name])) == [2, 4]


@pytest.mark.parametrize(
    "completion",
    [
        "",
        " ",
        "\n\n",
        "I can't do that.",
        "```",
        "```python\n```",
        "\0",
        "\ud800",
        "def",
        "(" * 5000,
    ],
)
def test_what_holds_no_program_is_no_program(completion: str) -> None:
    for problem in (PROBLEM, MBPP):
        program = program_of(problem, completion)
        try:
            ast.parse(program)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        with pytest.raises((KeyError, NameError, TypeError, AssertionError)):
            assert result_of(program) == [2, 4]


def test_long_completions_are_cut() -> None:
    program = program_of(PROBLEM, BODY + "    x = 1\n" * 10_000)
    assert len(program.splitlines()) < 1100
