"""Objectives as text: the inverse of `str(objective)`, for configs, logs and flags."""

from __future__ import annotations

import operator
import re

from pkpo.core.objectives import (
    Objective,
    log_pass,
    max_at,
    mean_reward,
    min_at,
    order_statistics,
    top_mean,
)
from pkpo.errors import InvalidInputError

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(
    rf"""\s*(?P<sign>[+-])?\s*
    (?:(?P<factor>{_NUMBER})\s*\*\s*)?
    (?:(?P<at>max@|pass@|min@|pass\^)\s*(?P<k>\d+)
      |(?P<mean>mean)\b
      |(?P<call>top_mean|order_statistics|log_pass)\s*\((?P<args>[^()]*)\))\s*""",
    re.VERBOSE,
)
FORMS = (
    "max@K (or pass@K, or the integer K alone), min@K (or pass^K), mean, top_mean(M, K), "
    "order_statistics(C1, ..., CK), log_pass(T), and sums such as '0.5*max@8 + 0.5*mean'"
)


def _build(match: re.Match[str]) -> Objective:
    if match["mean"]:
        return mean_reward()
    if match["at"]:
        k = int(match["k"])
        return max_at(k) if match["at"] in ("max@", "pass@") else min_at(k)
    arguments = [part.strip() for part in match["args"].split(",")]
    if match["call"] == "order_statistics":
        return order_statistics([float(part) for part in arguments])
    numbers = [int(part) for part in arguments]
    return log_pass(*numbers) if match["call"] == "log_pass" else top_mean(*numbers)


def parse_objective(text: str) -> Objective:
    """The objective that `text` names; the inverse of `str`.

    Args:
        text: a sum of terms, each with an optional factor: max@K (or pass@K), min@K (or
            pass^K), mean, top_mean(M, K), order_statistics(C1, ..., CK), log_pass(T).
            An integer alone means max@K.

    Raises:
        InvalidInputError: the text is none of these; the message lists the forms.

    >>> parse_objective("0.5*max@8 + 0.5*mean")
    Objective('0.5*max@8 + 0.5*mean')
    >>> parse_objective("pass^4") == min_at(4)
    True
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"an objective's text must be a str, got {text!r}")
    if re.fullmatch(r"\s*\d+\s*", text):
        return max_at(int(text))
    total: Objective | None = None
    position = 0
    while position < len(text) or total is None:
        match = _TERM.match(text, position)
        if match is None or (total is not None and not match["sign"]):
            raise InvalidInputError(
                f"can't read the objective {text!r} at position {position}; allowed: {FORMS}"
            )
        try:
            term = _build(match)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"can't read {match[0].strip()!r} in the objective {text!r}: {error}; "
                f"allowed: {FORMS}"
            ) from error
        factor = float(match["factor"] or 1) * (-1 if match["sign"] == "-" else 1)
        # Zero weights may cancel to nothing, which only the whole sum can tell.
        pairs = tuple((factor * weight, inner) for weight, inner in term.terms)
        total = Objective(pairs) if total is None else Objective(total.terms + pairs)
        position = match.end()
    return total


def as_objective(value: Objective | int | str) -> Objective:
    """`value` itself, max@value for an integer, or the parsed text.

    Raises:
        InvalidInputError: none of these.
    """
    if isinstance(value, Objective):
        return value
    if isinstance(value, str):
        return parse_objective(value)
    try:
        if isinstance(value, bool):
            raise TypeError
        return max_at(operator.index(value))
    except TypeError:
        raise InvalidInputError(
            f"an objective must be an Objective, an integer k or text, got {value!r}"
        ) from None
