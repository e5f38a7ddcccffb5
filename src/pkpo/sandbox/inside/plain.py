"""Plain values as JSON, in both directions. It runs inside the sandbox: standard library alone.

What crosses the wall is a copy made of built-in types, so nothing that untrusted code defined,
such as an `__eq__` that always agrees, comes along. A value of a subclass of a plain type crosses
as the plain value it holds; an iterator as the items it gives.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

MOST_ITEMS = 100_000
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))


class NotPlain(Exception):
    """A value that can't cross; the message names its type."""


def encode(value: Any) -> Any:
    """`value` as what `json.dumps` takes.

    Raises:
        NotPlain: it holds something other than numbers, text, bytes, None, lists, tuples, sets,
            dictionaries, ranges and iterators of these, or more than MOST_ITEMS items.
    """
    left = [MOST_ITEMS]
    try:
        return _encode(value, left)
    except RecursionError:
        raise NotPlain("a value that is nested too deeply") from None


def _encode(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise NotPlain(f"a value of more than {MOST_ITEMS:,} items")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return ["i", int.__format__(value, "x")]
    if isinstance(value, float):
        return ["f", float.hex(value)]
    if isinstance(value, complex):
        return ["c", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, (bytes, bytearray)):
        return ["b", bytes(value).hex()]
    if isinstance(value, dict):
        pairs = dict.items(value)
        return ["d", *([_encode(k, left), _encode(v, left)] for k, v in pairs)]
    for kind, name in ((list, "l"), (tuple, "t"), (frozenset, "z"), (set, "s"), (deque, "l")):
        if isinstance(value, kind):
            items: Iterator[Any] = kind.__iter__(value)  # pyright: ignore[reportArgumentType]
            return [name, *(_encode(item, left) for item in items)]
    if isinstance(value, range):
        return ["r", value.start, value.stop, value.step]
    if isinstance(value, _VIEWS) or hasattr(type(value), "__next__"):
        items = itertools.islice(iter(value), MOST_ITEMS + 1)
        return ["n", *(_encode(item, left) for item in items)]
    raise NotPlain(f"a value of type {type(value).__name__!r:.80}")


def decode(value: Any) -> Any:
    """The inverse of `encode`; iterators are iterators over a list."""
    if not isinstance(value, list):
        return value
    name, *rest = value
    if name == "i":
        return int(rest[0], 16)
    if name == "f":
        return float.fromhex(rest[0])
    if name == "c":
        return complex(float.fromhex(rest[0]), float.fromhex(rest[1]))
    if name == "b":
        return bytes.fromhex(rest[0])
    if name == "r":
        return range(*rest)
    if name == "d":
        return {decode(key): decode(item) for key, item in rest}
    items = [decode(item) for item in rest]
    return {"l": list, "t": tuple, "s": set, "z": frozenset, "n": iter}[name](items)
