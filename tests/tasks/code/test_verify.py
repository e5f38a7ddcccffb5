"""Canonical solutions score 1, what is not one scores less."""

import ast
import random

import pytest

from pkpo.errors import InvalidInputError
from pkpo.sandbox.checks import Checks
from pkpo.sandbox.limits import Limits
from pkpo.tasks.code.problems import CodeProblem, human_eval
from pkpo.tasks.code.verify import verify

LIMITS = Limits(wall_seconds=20, cpu_seconds=5)


def completion(problem: CodeProblem) -> str:
    return problem.solution[len(problem.prompt) :]


def test_every_canonical_solution_of_human_eval_scores_one() -> None:
    problems = human_eval()
    scored = verify([(p, completion(p)) for p in problems], limits=LIMITS)
    assert [(p.id, s.reason) for p, s in zip(problems, scored) if s.reward != 1.0] == []


def mutants(problem: CodeProblem) -> list[str]:
    """The solution with one thing changed that its tests must see."""
    name = problem.entry_point
    return [
        f"{problem.solution}\n\n_right = {name}\n\n\ndef {name}(*a):\n    {line}\n"
        for line in ("return None", "raise ValueError", "return [_right(*a)]", "return not _right")
    ]


def test_mutants_score_below_one() -> None:
    problems = random.Random(0).sample(human_eval(), 12)
    pairs = [(p, f"```python\n{m}```") for p in problems for m in mutants(p)]
    scored = verify(pairs, limits=LIMITS)
    assert [p.id for (p, _), s in zip(pairs, scored) if s.reward == 1.0] == []


def problem(*tests: str) -> CodeProblem:
    return CodeProblem("p", "", "", "", Checks(tests), "")


def test_shares_of_tests() -> None:
    asked = problem("assert f(1) == 1", "assert f(2) == 4", "assert f(3) == 9", "assert g() == 1")
    pairs = [(asked, "def f(x): return x * x"), (asked, "def f(x): return x"), (asked, "1 +")]
    assert [s.reward for s in verify(pairs, reward="tests", limits=LIMITS)] == [0.75, 0.25, 0.0]
    assert [s.reward for s in verify(pairs, limits=LIMITS)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("test", "program"),
    [
        ("assert f([3, 1]) == [1, 3]", "def f(x): return sorted(x)"),
        ("assert list(f(3)) == [0, 1, 2]", "def f(n): yield from range(n)"),
        ("assert list(f('ab')) == ['A', 'B']", "def f(s): return map(str.upper, s)"),
        ("assert f({1: 'a'}) == {'a': 1}", "def f(d): return {v: k for k, v in d.items()}"),
        ("assert f((1, 2)) == (2, 1)", "def f(t): return t[::-1]"),
        ("assert f() == {1, 2}", "def f(): return {1, 2}"),
        ("assert f() == {'a': 1}", "import collections\ndef f(): return collections.Counter('a')"),
        ("assert abs(f() - 1 / 3) < 1e-12", "def f(): return 1 / 3"),
        ("assert f() == 2 ** 5000", "def f(): return 2 ** 5000"),
        ("assert f() == 1 + 2j", "def f(): return 1 + 2j"),
        ("assert f() is None", "def f(): pass"),
        ("assert f() is True", "def f(): return True"),
        ("assert f() == b'x'", "def f(): return b'x'"),
        ("assert f() == float('inf')", "def f(): return float('inf')"),
        ("assert f('é\\U0001f600') == 'É\\U0001f600'", "def f(s): return s.upper()"),
        ("assert f() == [[], {}, ()]", "def f(): return [[], {}, ()]"),
        ("x = [2, 1]\nf(x)\nassert x == [1, 2]", "def f(x): x.sort()"),
        ("assert f(g(2)) == 5", "def g(x): return 2 * x\ndef f(x): return x + 1"),
        ("assert f(2, b=3) == 8", "def f(a, *, b): return a ** b"),
        (
            "try:\n    f(0)\n    assert False\nexcept Exception:\n    assert f(1) == 1",
            "def f(x): return 1 / x",
        ),
    ],
)
def test_values_cross_the_wall_as_they_are(test: str, program: str) -> None:
    [scored] = verify([(problem(test), program)], limits=LIMITS)
    assert scored.reason == "passed"


def test_progress_is_reported() -> None:
    seen: list[None] = []
    asked = problem("assert f() == 1")
    verify([(asked, "def f(): return 1")] * 5, limits=LIMITS, done=lambda: seen.append(None))
    assert len(seen) == 5


def test_tests_that_cannot_be_parsed_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="can't be parsed"):
        problem("assert (")
    assert ast.parse("assert 1")
