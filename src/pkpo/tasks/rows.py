"""Rows of problems, from files and from data sets of the package `datasets`, and their splits."""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pkpo.errors import InvalidInputError, needing
from pkpo.tasks.base import Split

Row = Mapping[str, Any]
_Problem = TypeVar("_Problem")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a file, each with its place: JSON Lines, gzipped or not; a list in a file *.json; or
    a file *.parquet.

    Raises:
        InvalidInputError: a row is no JSON object, or there is none.
        MissingExtraError: the package `datasets`, for Parquet, is missing.
        OSError: the file can't be read.
    """
    rows: Any
    if path.suffix == ".json":
        try:
            rows = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{path}: not JSON: {error}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidInputError(f"{path}: not a list of objects")
    elif path.suffix == ".parquet":
        rows = _loaded(str(path), "parquet", data_files=str(path), split="train")
    else:
        yield from json_rows(path.read_bytes(), str(path))
        return
    for number, row in enumerate(rows, start=1):
        yield f"{path}, row {number}", row


def _loaded(what: str, *args: Any, **kwargs: Any) -> Any:
    """What `datasets.load_dataset` gives."""
    with needing("problems of a data set", "datasets"):
        import datasets
    try:
        return datasets.load_dataset(*args, **kwargs)
    except Exception as error:
        raise InvalidInputError(f"{what} can't be loaded: {error}") from error


def json_rows(
    data: bytes, name: str, on_bad: Callable[[str], object] | None = None
) -> Iterator[tuple[str, Row]]:
    """Rows of the content of a JSON Lines file; see `read_rows`.

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
            if b"\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            row, wrong = None, "not Unicode: half of a surrogate pair"
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

    Of a data set, "dev" and "valid" are validation, and splits of other names than those of a task
    are left out with a warning.

    Raises:
        InvalidInputError: neither or both are named, or the data set can't be loaded, or it has
            none of the splits.
        MissingExtraError: the package `datasets` is missing.
    """
    if (path is None) == (dataset is None):
        raise InvalidInputError("give one of path=FILE and dataset=NAME")
    if path is not None:
        yield from read_rows(Path(path))
        return
    found: Any = _loaded(f"data set {dataset!r}", dataset, config)
    splits = {name: "validation" if name in ("dev", "valid") else name for name in found}
    others = [name for name, split in splits.items() if split not in get_args(Split)]
    if len(others) == len(splits):
        raise InvalidInputError(
            f"data set {dataset!r} has none of the splits {', '.join(get_args(Split))}, but "
            f"{', '.join(others) or 'no other'}"
        )
    if others:
        warnings.warn(f"data set {dataset!r}: left out {', '.join(others)}", stacklevel=2)
    for name, rows in found.items():
        if name not in others:
            for number, row in enumerate(rows):
                yield f"{dataset}, {name}, row {number}", {**row, "split": splits[name]}


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
