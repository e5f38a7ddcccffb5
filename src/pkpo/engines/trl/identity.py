"""Which rows of a dataset are the same prompt."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pkpo.errors import InvalidInputError

Row = Mapping[str, Any]


def prompt_number(row: Row) -> int:
    """A number that stands for what a dataset row asks for: of its `prompt_id` where it has
    that column, else of all its columns, pictures and arrays by their content."""
    named = row.get("prompt_id")
    value = dict(row) if named is None else named
    text = json.dumps(value, sort_keys=True, default=_content)
    return int.from_bytes(_digest(text.encode()), "big") >> 1


def prompt_numbers(rows: Sequence[Row]) -> list[int]:
    """`prompt_number` of each row. Cost: that of the rows that differ from the one before."""
    numbers: list[int] = []
    for index, row in enumerate(rows):
        repeated = index > 0 and _same(rows[index - 1], row)
        numbers.append(numbers[-1] if repeated else prompt_number(row))
    return numbers


def check_repeats(rows: Sequence[Row], numbers: Sequence[int], n: int, start: int) -> None:
    """That rows of a group differ in no column beside the prompt.

    Args:
        rows: this process's part of the batch, from row `start` on.
        numbers: their prompt numbers.
        n: completions of a prompt.
        start: of the whole batch, in which each n rows should be one prompt.

    Raises:
        InvalidInputError: they do, as where a transform of the dataset draws at random.
    """
    for index in range(1, len(rows)):
        if (start + index) % n == 0 or numbers[index] == numbers[index - 1]:
            continue
        before, row = rows[index - 1], rows[index]
        differing = [
            name
            for name in row
            if prompt_number({"": row[name]}) != prompt_number({"": before.get(name)})
        ]
        if differing and "prompt" in row and "prompt" not in differing:
            raise InvalidInputError(
                f"completions {index - 1} and {index} of a generation batch belong to one prompt, "
                f"but their rows differ in {', '.join(differing)}: does the dataset draw it anew "
                "for each? A column prompt_id says which rows are the same prompt"
            )


def _same(row: Row, other: Row) -> bool:
    try:
        return row is other or bool(row == other)
    except (ValueError, RuntimeError):  # arrays, whose == is no bool
        return False


def _content(value: Any) -> Any:
    """What JSON has no form for, in a way that doesn't depend on where it is in memory."""
    if isinstance(value, Tensor):
        value = np.asarray(value.detach().cpu().tolist())
    if isinstance(value, bytes):
        return ["bytes", _digest(value).hex()]
    if not hasattr(value, "tobytes"):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    # An array or a picture.
    described = [str(getattr(value, name, None)) for name in ("shape", "dtype", "size", "mode")]
    palette = value.getpalette() if hasattr(value, "getpalette") else None
    return [type(value).__name__, *described, palette, _digest(value.tobytes()).hex()]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()
