"""Whether two answers to a problem of mathematics are equal, without running either as code.

Equality is that of the package math-verify, which hands what it reads to SymPy. Two of their
ways end in running a text: SymPy's parser is `eval`, and an infinite sum is compiled with the
names of its symbols as they were written. So only LaTeX of a small grammar gets there, without
sums, operators' names, or names that are no words; the rest is compared as text.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Any

from pkpo.errors import needing
from pkpo.tasks.verification import VerificationError

MOST_CHARACTERS = 1000
"""Longer answers are wrong."""

_SPELLINGS = [
    (re.compile(pattern), new)
    for pattern, new in [
        (r"[−–]", "-"),
        (r"[×·⋅]", r"\\times "),
        (r"÷", r"\\div "),
        (r"π", r"\\pi "),
        (r"∞", r"\\infty "),
        (r"≤", r"\\le "),
        (r"≥", r"\\ge "),
        (r"∪", r"\\cup "),
        (r"±", r"\\pm "),
        (r"√\s*(\d+|[a-z])", r"\\sqrt{\1}"),
        (r"√|(?<![A-Za-z\\])sqrt(?![A-Za-z])", r"\\sqrt"),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![A-Za-z\\])(pi|infinity|infty)(?![A-Za-z])", r"\\\1 "),
        (r"\\infinity", r"\\infty"),
        (r"\\varnothing", r"\\emptyset"),
        (r"(?<=\d)\s*(?:\^\s*\{?\s*\\circ\s*\}?|°|\\degree)", ""),
        (r"\\\$|[$€£¥]|\\(?:displaystyle|left|right|[bB]igg?[lr]?)(?![A-Za-z])", ""),
        (r"(?<!\\)\\[!;:]|(?<=\d)\\,(?=\d{3})|\{,\}(?=\d)", ""),
        (r"\{,\}", ","),
        (r"(?<!\\)\\[, ]|~|\\q?quad(?![A-Za-z])|\s", " "),
        (r"(\\\\)\s*\[[^\[\]]{0,9}\]", r"\1"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\\(?:geqslant|geq)(?![A-Za-z])", r"\\ge"),
        (r"\\(?:leqslant|leq)(?![A-Za-z])", r"\\le"),
        (r"\\frac\s*([A-Za-z\d])\s*([A-Za-z\d])", r"\\frac{\1}{\2}"),
        (r"\\(?:text(?:bf|it|rm|sf|normal)|math(?:rm|bf|it|sf)|mbox)\s*\{", r"\\text{"),
        (r"^\{(.*)\}$", r"\1"),
        (r"^([-+]?\d+) (\d+)/(\d+)$", r"\1\\frac{\2}{\3}"),
        (r" +", " "),
    ]
]
_WORD = re.compile(r"\\text\{([^{}]*)\}")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?) ?(?:(?P<whole>\d{1,3}(?:[, ]\d{3})+|\d*)(?P<point>\.?)(?P<places>\d*)"
    r"(?:\\overline\{(?P<repeated>\d+)\})?|(?P<above>\d+) ?/ ?(?P<below>\d+)"
    r"|\\frac ?\{(?P<top>-?\d+)\} ?\{(?P<bottom>-?\d+)\})"
    r"(?: ?\\text\{(?P<unit>[^{}\\]*)\}| (?P<word>[A-Za-z]{4}[A-Za-z .-]*))?"
    r"(?:(?<=\})\^ ?\{?\d\}?)?",
    re.ASCII,
)
_MULTIPLES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_NO_UNIT = re.compile(r"dozen|percent|pct|(?:and|or|mod|times)\b")

_UNIT = re.compile(
    r"(?:\\text\{ ?|(?<=\d) ?)(?P<name>[A-Za-z]+)\.? ?\}?(?:\^ ?\{?(?P<power>\d)\}?)?$", re.ASCII
)
_UNITS = {
    name: unit
    for unit, names in {
        "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre",
        "km": "kilometer kilometre", "in": "inch inche", "ft": "foot feet", "mi": "mile",
        "yd": "yard", "g": "gram", "kg": "kilogram", "l": "liter litre", "ml": "milliliter",
        "h": "hour hr", "min": "minute", "s": "second sec", "day": "day", "week": "week",
        "month": "month", "year": "year", "dollar": "dollar", "cent": "cent",
    }.items()
    for name in (unit, *names.split())
}  # fmt: skip

_COMMANDS = """
    frac sqrt binom cdot times div pm mp infty circ sin cos tan cot sec csc arcsin arccos arctan
    sinh cosh tanh log ln exp le ge lt gt ne neq approx in cup cap setminus emptyset varnothing
    lfloor rfloor lceil rceil lvert rvert alpha beta gamma delta epsilon varepsilon zeta eta theta
    kappa lambda mu nu xi pi rho sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi
    Sigma Phi Psi Omega
"""
_GRAMMAR = re.compile(
    rf"(?:\\(?:{'|'.join(_COMMANDS.split())})(?![A-Za-z])|\\text\{{[A-Za-z\d ,()-]*\}}"
    r"|\\(?:begin|end)\{[pbB]?matrix\}|\\mathbb ?\{?[NZQRC]\}?|\\[\\{}%]"
    r"|[A-Za-z\d+*/=<>()\[\]{}|,.;:^_!&% -])*",
    re.ASCII,
)
_UNREADABLE = re.compile(
    r"(?<!_)\d +\d|(?<![A-Za-z}\]^_\\])\{ *-?\d|(?<![A-Za-z\\])[A-Za-z]{4}"
    r"|[)}!] *!.*!|!.*[)}!] *!|(?:[-+|] ?){4}",
    re.ASCII,
)
_NAMED = re.compile(r"\\(?:text|begin|end)\{[^{}]*\}")
_COUNTED = re.compile(r"\d+", re.ASCII)
_POWER = re.compile(r"(?P<base>[^\s]) *\^ *")
_MOST_COUNTED = 10_000
_NESTING = 20
_BASE = re.compile(r"\d_ *(?:\{(\d+)\}|(\d))", re.ASCII)
_MULTIPLIED = re.compile(r"(?<=[\d)])(?=\(|\\binom)|(?<=\))(?=\\frac)")
_IMAGINARY = re.compile(
    r"\\text\{[^{}]*\}|\\[A-Za-z]+|(?<![A-Za-z])([A-Za-hj-z]?)i([A-Za-z]?)(?![A-Za-z])"
)


def _spelled(text: str) -> str:
    """One spelling for several that mean the same."""
    for pattern, new in _SPELLINGS:
        text = pattern.sub(new, text)
    return text.strip()


def _letters(text: str) -> str:
    """What is compared as text: without the marks of words, white space but between digits, and
    the case of what isn't LaTeX."""
    text = re.sub(r"(?<!\d) | (?!\d)", "", _WORD.sub(r"\1", text))
    return text if "\\" in text else text.lower()


def _number(text: str) -> tuple[Fraction, int] | None:
    """A number, with or without a unit, and how many decimal places it has."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict(default="")
    unit = (part["unit"] or part["word"]).strip().lower()
    whole, places = re.sub("[, ]", "", part["whole"]), part["places"]
    if _NO_UNIT.match(unit) or (part["repeated"] and not part["point"]):
        return None
    if whole or places:
        value = Fraction(int(whole + places), 10 ** len(places))
        if repeated := part["repeated"]:
            value += Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(places))
    elif below := int(part["below"] or part["bottom"] or 0):
        value = Fraction(int(part["above"] or part["top"]), below)
    else:
        return None
    value *= 10 ** _MULTIPLES.get(unit.partition(" ")[0], 0)
    return -value if part["sign"] == "-" else value, len(places)


def _unit(text: str) -> tuple[str, str] | None:
    """A known unit at the end of a text, and its power."""
    found = _UNIT.search(text)
    name = found["name"].lower() if found else ""
    unit = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    return (unit, found["power"] or "") if found and unit else None


def _is_readable(text: str) -> bool:
    """Whether a text may go to math-verify: of the grammar, and with no number that would fill
    the memory."""
    if not _GRAMMAR.fullmatch(text) or _UNREADABLE.search(_NAMED.sub(",", text)):
        return False
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > _NESTING:
            return False
    counted = [text] if "!" in text or r"\binom" in text else []
    if counted and "^" in text:
        return False
    for power in _POWER.finditer(text):
        if not power["base"].isalpha():
            exponent = _group(text, power.end())
            if any(not inner["base"].isalpha() for inner in _POWER.finditer(exponent)):
                return False
            counted.append(exponent)
    product = 1
    for number in _COUNTED.findall(" ".join(counted)):
        product *= max(1, int(number))
    return product <= _MOST_COUNTED


def _group(text: str, start: int) -> str:
    """The {...} that begins at `start`, or else the characters up to the next mark."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth <= 0:
            rest = re.match(r"[\d.]*", text[place:], re.ASCII)
            return text[start : place + 1] + (rest[0] if rest else "")
    return text[start:]


def equal(gold: str, answer: str) -> bool:
    r"""Whether an answer is equal to the right one.

    - Texts that differ in white space, case, currency and LaTeX spelling are the same.
    - Units may be left out; those that both name and that are known must be the same.
    - Decimals are equal to a number that rounds to them, from six places on.
    - A percentage is equal to the number with and without the sign.
    - The base of a number counts where both name one.
    - Everything else is as math-verify has it, if the text is of the grammar.

    Args:
        gold: the right answer, as data has it.
        answer: without what marks it.

    Raises:
        MissingExtraError: math-verify is not installed.

    >>> equal(r"\frac{3}{4}", "0.75"), equal("1,000", "1000 apples"), equal("7", "-7")
    (True, True, False)
    """
    if max(len(gold), len(answer)) > MOST_CHARACTERS:
        return False
    gold, answer = _spelled(gold), _spelled(answer)
    if _letters(gold) == _letters(answer):
        return True
    units = {unit for text in (gold, answer) if (unit := _unit(text)) is not None}
    if len(units) > 1:
        return False
    places = max([6, *(len(found) for found in re.findall(r"\.(\d+)", f"{gold} {answer}"))])
    if (a := _number(gold)) is not None and (b := _number(answer)) is not None:
        rounded = a[1] + b[1] > 0 and round(a[0], places) == round(b[0], places)
        return a[0] == b[0] or rounded
    bases = [{a or b for a, b in _BASE.findall(text)} for text in (gold, answer)]
    if all(bases) and bases[0] != bases[1]:
        return False
    return _is_readable(gold) and _is_readable(answer) and _verified(gold, answer, places)


def _verified(gold: str, answer: str, places: int) -> bool:
    verify = _math_verify()[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = _read(gold), _read(answer)
        return (
            a is not None
            and b is not None
            and verify(
                a, b, float_rounding=places, allow_set_relation_comp=True, timeout_seconds=None
            )
            and not _are_far_apart(a, b)
        )


def _are_far_apart(a: Any, b: Any) -> bool:
    """Whether two numbers differ by more than rounding, which for math-verify all tiny ones
    don't."""
    if not (getattr(a, "is_number", False) and getattr(b, "is_number", False)):
        return False
    try:
        x, y = complex(a.evalf()), complex(b.evalf())
    except Exception:
        return False
    return abs(x - y) > 1e-5 * max(abs(x), abs(y)) and max(abs(x), abs(y)) < 1e-3


@lru_cache(maxsize=4096)
def _read(text: str) -> Any:
    """A text of the grammar as an object of SymPy; None if it can't be read."""
    latex2sympy, normalize, _ = _math_verify()
    text = _MULTIPLIED.sub(r"\\cdot ", text)
    text = _IMAGINARY.sub(lambda m: m[0] if m[1] is None else f"{m[1]} I {m[2]}", text)
    try:
        return latex2sympy(normalize(text), is_real=True, normalization_config=None)
    except Exception:
        return None


@lru_cache(maxsize=1)
def _math_verify() -> tuple[Any, Any, Any]:
    with needing("the task math", "math"):
        from latex2sympy2_extended import NormalizationConfig, latex2sympy, normalize_latex
        from math_verify import verify
    logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
    config = NormalizationConfig(units=True, malformed_operators=True, nits=True, boxed="none")
    return latex2sympy, lambda text: normalize_latex(text, config), verify


def load() -> None:
    """Import math-verify and use it once, which takes seconds.

    Raises:
        MissingExtraError: it is not installed.
    """
    if _read.cache_info().misses == 0:
        _verified("(x+1)^2", "x^2+2x+1", 6)


class OutOfTimeError(BaseException):
    """Raised where a computation is; no `except Exception` of a library catches it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop what runs inside after some time of the clock.

    Raises:
        OutOfTimeError: the time is up.
        VerificationError: it isn't the main thread of a process, which alone can be stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        raise VerificationError(
            "an answer of mathematics is judged in the main thread of a process alone, where it "
            "can be stopped; pkpo.tasks.verification judges in processes of its own"
        )

    def stop(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
