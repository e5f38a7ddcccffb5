"""Rows of problems, from files and from data sets of the package `datasets`, and their splits."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.base import Split

Row = Mapping[str, Any]
_Problem = TypeVar("_Problem")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a JSON Lines file, gzipped or not, each with its place.

    Raises:
        InvalidInputError: a line is no JSON object, or there is none.
        OSError: the file can't be read.
    """
    return json_rows(path.read_bytes(), str(path))


def json_rows(
    data: bytes, name: str, on_bad: Callable[[str], object] | None = None
) -> Iterator[tuple[str, Row]]:
    """As `read_rows`, of the content of a file.

    Args:
        on_bad: is told of lines that are no objects, instead of an error.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError) as error:
            raise InvalidInputError(f"{name}: damaged: {error}") from error
    empty = True
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        place, empty = f"{name}, line {number}", False
        try:
            row, wrong = json.loads(line), "not an object"
        except (ValueError, RecursionError) as error:
            row, wrong = None, f"not JSON: {error}"
        if isinstance(row, dict):
            yield place, row
        elif on_bad is None:
            raise InvalidInputError(f"{place}: {wrong}")
        else:
            on_bad(f"{place}: {wrong}")
    if empty:
        raise InvalidInputError(f"{name}: empty")


def text_of(row: Row, field: str, place: str, default: str | None = None) -> str:
    """The text in a field.

    Raises:
        InvalidInputError: there is something else, or nothing and no `default`.
    """
    value = row.get(field, default)
    if not isinstance(value, str):
        raise InvalidInputError(f"{place}: {field} must be text, got {value!r:.80}")
    return value


def load_rows(
    path: str | None, dataset: str | None, config: str | None
) -> Iterator[tuple[str, Row]]:
    """Rows of a file, or of a data set's splits, whose rows then have a field `split`.

    Raises:
        InvalidInputError: neither or both are named, or the data set can't be loaded.
        MissingExtraError: the package `datasets` is missing.
    """
    if (path is None) == (dataset is None):
        raise InvalidInputError("give one of path=FILE and dataset=NAME")
    if path is not None:
        yield from read_rows(Path(path))
        return
    with needing("problems of a data set", "datasets"):
        import datasets
    try:
        found: Any = datasets.load_dataset(str(dataset), config)
    except Exception as error:
        raise InvalidInputError(f"data set {dataset!r} can't be loaded: {error}") from error
    for name, rows in found.items():
        split = "validation" if name in ("dev", "valid") else name
        if split in get_args(Split):
            for number, row in enumerate(rows):
                yield f"{dataset}, {name}, row {number}", {**row, "split": split}


def split_rows(
    rows: Sequence[tuple[Row, _Problem]],
    question: Callable[[_Problem], str],
    shares: tuple[float, float],
    own: Callable[[Row], Split | None] = lambda row: None,
) -> dict[Split, tuple[_Problem, ...]]:
    """Problems by split, of those splits that have any.

    A problem's split is what its row says in `split`, or else `own(row)`, or else follows from
    the SHA-256 of its question: `shares` of those go to test and validation. A problem that asks
    the same as one of test, or as one of validation, is left out of the others.

    Raises:
        InvalidInputError: a row names no split that there is, or shares out of range.
    """
    if min(shares) < 0 or sum(shares) > 1:
        raise InvalidInputError(f"shares of test and validation must be in [0, 1], got {shares}")
    found: dict[Split, list[_Problem]] = {"train": [], "validation": [], "test": []}
    for row, problem in rows:
        digest = hashlib.sha256(question(problem).encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        hashed = "test" if place < shares[0] else "train"
        hashed = "validation" if shares[0] <= place < sum(shares) else hashed
        split = row.get("split") or own(row) or hashed
        if split not in found:
            raise InvalidInputError(f"no split {split!r}; there are {', '.join(found)}")
        found[split].append(problem)
    kept: dict[Split, tuple[_Problem, ...]] = {}
    asked: set[str] = set()
    for split in ("test", "validation", "train"):
        kept[split] = tuple(p for p in found[split] if question(p) not in asked)
        asked.update(map(question, kept[split]))
    return {split: kept[split] for split in found if kept[split]}
