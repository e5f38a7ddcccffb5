"""Command lines as they are typed: every value of a repeated flag counts, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from pkpo.cli.errors import UsageError
from pkpo.errors import InvalidInputError

_Kind = Literal["positional", "switch", "one", "several", "each"]


def regrouped(flags: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """The arguments with every flag once, so that none of its values is lost.

    A flag of several values may have them after one mention, after several, or both:
    `--seeds 0 1` and `--seeds 0 --seeds 1`. Where that would leave a command without the paths
    that it needs, such a flag takes one value a mention: `--objective mean log.jsonl`. Unknown
    flags are left to the parser.

    Args:
        flags: a dataclass; its fields that are tuples take several values.
        arguments: those behind the subcommand.

    Raises:
        UsageError: a flag of one value is given again, or one of several without any.
    """
    kinds = kinds_of(flags)
    if any(_is_flag(token) and _name(token) not in kinds for token in _before_end(arguments)):
        return list(arguments)
    given, rest = _walk(kinds, arguments, greedy=True)
    if not rest and "positional" in kinds.values():
        given, rest = _walk(kinds, arguments, greedy=False)
    regrouped = []
    for name, mentions in given.items():
        values = [value for mention in mentions for value in mention]
        if kinds[name] in ("one", "switch") and len(mentions) > 1:
            which = f"takes one value; which of {', '.join(map(repr, values))}?"
            which = which if values else "is a switch"
            raise UsageError(f"{name} is given {len(mentions)} times, but {which}")
        if kinds[name] in ("several", "each") and not values:
            raise UsageError(f"{name} takes one value or more, got none")
        groups = [[value] for value in values] if kinds[name] == "each" else [values]
        for first, *more in filter(None, groups):
            regrouped += [f"{name}={first}"] if _is_flag(first) else [name, first]
            regrouped += more
        if not values:
            regrouped.append(name)
    return [*regrouped, "--", *rest] if any(map(_is_flag, rest)) else [*rest, *regrouped]


def kinds_of(flags: Callable[..., Any]) -> dict[str, _Kind]:
    """What each flag of a dataclass takes, by its name on the command line; the parser wants
    the values of "several" after one mention, and those of "each" after one each."""
    kinds: dict[str, _Kind] = {}
    for name, hint in get_type_hints(flags, include_extras=True).items():
        type_, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        flag = f"--{name.replace('_', '-')}"
        if tyro.conf.Positional in marks:
            kinds[name] = "positional"
        elif type_ is bool:
            kinds[flag] = "switch"
        elif tyro.conf.UseAppendAction in marks:
            kinds[flag] = "each"
        else:
            kinds[flag] = "several" if get_origin(type_) is tuple else "one"
    return kinds


def _walk(
    kinds: dict[str, _Kind], arguments: Sequence[str], *, greedy: bool
) -> tuple[dict[str, list[list[str]]], list[str]]:
    """The values of each mention of each flag, and those that belong to none."""
    given: dict[str, list[list[str]]] = {}
    rest: list[str] = []
    left = list(arguments)
    while left:
        token = left.pop(0)
        if token == "--":
            return given, rest + left
        if not _is_flag(token):
            rest.append(token)
            continue
        name, equals, value = _name(token), *token.partition("=")[1:]
        values = [value] if equals else []
        most = {"one": 1, "switch": 0}.get(kinds[name], len(left) + 1 if greedy else 1)
        while left and len(values) < most and left[0] != "--" and not _is_flag(left[0]):
            values.append(left.pop(0))
        given.setdefault(name, []).append(values)
    return given, rest


def _before_end(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _name(token: str) -> str:
    return token.partition("=")[0].replace("_", "-")


def _is_flag(token: str) -> bool:
    """Whether the parser takes a token for a flag: not "-" for stdin, and not "-1" or "-inf"."""
    word = token.lstrip("-")
    return word != token and word[:1].isalpha() and word.lower() not in ("inf", "infinity", "nan")


def read_options(texts: Sequence[str], flag: str = "--option") -> dict[str, Any]:
    """NAME=VALUE pairs; values are JSON where they parse as such, text otherwise."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInputError(
                f"{flag} takes NAME=VALUE, got {text!r}"
                + ("; `--option help` lists the names" if flag == "--option" else "")
            )
        if name in options:
            raise InvalidInputError(f"{flag} {name} is given twice")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options
