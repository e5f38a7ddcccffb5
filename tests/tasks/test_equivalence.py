"""Which answers of mathematics are equal, where they stand in a text, and what is never run."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("math_verify")

from math_verify import parse, verify

from pkpo.tasks.equivalence import OutOfTimeError, equal, load, time_limit
from pkpo.tasks.mathematics import find_answer
from tests.tasks.made_up import refusal_in_a_thread

TABLE = tomllib.loads(Path(__file__).with_name("math_answers.toml").read_text(encoding="utf-8"))
ANSWERS = [
    pytest.param(row[0], row[1], kind in ("right", "too_lenient"), id=f"{theme}-{kind}-{place}")
    for theme, kinds in TABLE.items()
    for kind, rows in kinds.items()
    for place, row in enumerate(rows)
]

# A name that SymPy compiles into the terms of an infinite sum.
COMPILED = r"\sum_{n=0}^{\infty}\frac{\text{print.__self__.exit}n+1}{n!}+\pi"
CALLS = [
    "__import__('os').system('touch {mark}')",
    "(lambda: open('{mark}', 'w'))()",
    "open('{mark}','w').write('1')",
    "().__class__.__base__.__subclasses__()",
    "exec('open(chr(47))')",
    "[x for x in (1,)][0].real.__class__",
    "print.__self__.exit",
    "3*__import__('os').getpid()",
    "eval(chr(49))",
    "Integer.__new__.__globals__",
    "S('{mark}')",
    "@open",
    "f'{{open}}'",
    "1;import os",
    "x:=open",
]
WRITTEN = [
    "{}",
    r"\text{{{}}}",
    r"\mathrm{{{}}}",
    r"\operatorname{{{}}}(1)",
    r"\variable{{{}}}",
    r"\overline{{{}}}",
    r"x_{{{}}}",
    r"5 + \text{{{}}}",
    r"\sum_{{n=0}}^{{\infty}}\frac{{\text{{{}}}n+1}}{{n!}}+\pi",
    r"\{{{}, 1\}}",
]
COSTLY = [
    "9^{9^{9^9}}",
    "9^9^9^9^9^9",
    "(((9^{999})^{999})^{999})^{999}",
    "x^{9^{9^{9^9}}}",
    "(9^{9^{9^9}}, 1)",
    "9^{99999999}",
    "9^{9!}",
    "99999999!",
    "9!!!",
    "((9!)!)!",
    r"\binom{1000000000}{500000000}",
    r"\sqrt[9^{9^{9}}]{2}",
    "1e999999999",
    r"\frac{1}{10^{999999999}}",
    "9" * 900,
    "9" * 1_000_000,
    "(" * 400 + "1" + ")" * 400,
    r"\sqrt{" * 100 + "2" + "}" * 100,
    r"\frac{1}{" * 90 + "2" + "}" * 90,
    "-" * 900 + "1",
    "|" * 900,
    r"\operatorname{eye}(99999)",
    r"\begin{vmatrix}" + r"a&b\\" * 90 + r"\end{vmatrix}",
    r"\text{" + "a" * 900 + "}",
    "\0" * 900,
    "٣" * 900,
    r"\$" * 400,
    "^" * 900,
    "_" * 900,
    "1 " * 450,
]


def test_the_table_is_as_large_as_is_said() -> None:
    assert len(ANSWERS) >= 300
    assert sum(len(kinds.get(k, [])) for kinds in TABLE.values() for k in ("right", "wrong")) >= 290


@pytest.mark.parametrize(("gold", "answer", "expected"), ANSWERS)
def test_answers_of_the_table(gold: str, answer: str, expected: bool) -> None:
    found = find_answer(f"So we get $\\boxed{{{answer}}}$.")
    assert found is not None
    assert equal(gold, found) is expected


@pytest.mark.parametrize(
    "answer", ["nan", r"\infty-\infty", "", "?", r"\frac{0}{0}", "x=x", r"\text{}"]
)
def test_no_answer_is_right_whatever_was_asked(answer: str) -> None:
    golds = [kinds["right"][0][0] for kinds in TABLE.values()]
    assert not any(equal(gold, answer) for gold in golds)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3}? No: $\boxed{4}$.", "4"),
        (r"$\boxed{\frac{1}{\sqrt{2}}}$ {", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{ \{1, 2\} }", r"\{1, 2\}"),
        (r"\fbox{7}", "7"),
        (r"\\boxed{7}", "7"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1,2"),
        (r"\boxed{1}, \boxed{2}, or \boxed{3}.", "1,2,3"),
        (r"\boxed{1} \boxed{2}", "2"),
        (r"\boxed{1}. Or is it 2, and is \boxed{3} one?", "3"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"\boxed{5", None),
        (r"\boxed{5} \boxed{}", None),
        (r"\boxed{1} <answer>2</answer> \boxed{3}", "2"),
        (r"<answer> \boxed{2} </answer>", "2"),
        ("<answer>2<answer>", None),
        ("6 * 7 = 42\n#### 42", "42"),
        ("#### 41\nWait.\n#### 1,042\nDone.", "1,042"),
        (r"\boxed{5} #### 6", "5"),
        ("The answer is 5. I hope that it is correct.", "5"),
        ("The answer is $5$, because of x.", "5"),
        (r"Final answer: \(\frac12\).", r"\frac12"),
        ("**Answer:** 5", "5"),
        ("the answer is 3.5", "3.5"),
        ("first\n42\n", "42"),
        ("$x+1$", "x+1"),
        ("I think that 42", None),
        ("", None),
        (" \n\t", None),
        ("####", None),
    ],
)
def test_where_the_answer_stands(text: str, answer: str | None) -> None:
    assert find_answer(text) == answer


@pytest.mark.parametrize(
    "unit",
    [
        "\\",
        "{",
        "}",
        r"\boxed{",
        r"\boxed{1}, ",
        "#",
        "####\t",
        "answer is ",
        "<answer>",
        "$",
        ". ",
    ],
)
def test_finding_an_answer_is_linear_in_the_text(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    start = time.process_time()
    find_answer(text)
    assert time.process_time() - start < 2


def test_an_answer_of_many_guesses_is_wrong() -> None:
    boxes = ", ".join(f"\\boxed{{{i}}}" for i in range(20))
    found = find_answer(boxes)
    assert found is not None
    assert not equal("7", found)
    assert not equal("19", found)
    assert find_answer(" ".join(f"\\boxed{{{i}}}" for i in range(20))) == "19"


_events: list[tuple[str, str]] | None = None
_HARMLESS = r"from sympy import \*|(Integer|Float|Rational) \('?[\d.]+'? ?\)"


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _events is None:
        return
    if event == "compile" and args[0] is not None and not os.path.exists(str(args[1])):
        source = args[0] if isinstance(args[0], bytes) else str(args[0]).encode()
        _events.append((event, source.decode().strip()))
    elif event.startswith(("os.system", "os.exec", "os.posix_spawn", "subprocess", "socket")) or (
        event == "open" and "w" in str(args[1])
    ):
        _events.append((event, str(args)))


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """What is compiled, opened for writing or started inside, numbers apart."""
    global _events
    found: list[tuple[str, str]] = []
    _events = found
    try:
        yield found
    finally:
        _events = None


@pytest.fixture(scope="module", autouse=True)
def audit() -> None:
    load()
    sys.addaudithook(_audit)


def test_what_is_watched_shows_that_math_verify_alone_runs_what_was_written() -> None:
    with watched() as events:
        verify(parse(r"$\pi$"), parse(f"${COMPILED}$"), timeout_seconds=None)
    assert any("print.__self__.exit*" in source for _, source in events)


@pytest.mark.parametrize("written", WRITTEN)
def test_nothing_that_was_written_is_run(written: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with watched() as events:
        for call in CALLS:
            answer = written.format(call.format(mark=mark))
            for text in (f"\\boxed{{{answer}}}", f"#### {answer}", answer):
                found = find_answer(text)
                for gold in (r"\pi", "1", "x^2", r"\{1,2\}"):
                    assert found is None or not equal(gold, found)
    run = {source for _, source in events if not re.fullmatch(_HARMLESS, source)}
    assert run == set()
    assert not mark.exists()


@pytest.mark.parametrize("answer", COSTLY, ids=[answer[:20].strip("\0") for answer in COSTLY])
def test_costly_answers_are_wrong_without_being_computed(answer: str) -> None:
    load()
    with time_limit(4.0):
        for gold in ("7", "x^2"):
            assert not equal(gold, answer)


def test_a_limit_stops_what_swallows_exceptions_and_leaves_the_handler_as_it_was() -> None:
    def stubborn() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        with pytest.raises(OutOfTimeError), time_limit(0.05):
            stubborn()
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_another_thread_has_no_limit_and_says_so() -> None:
    def judge() -> None:
        with time_limit(1.0):
            pass

    assert "main thread" in refusal_in_a_thread(judge)
