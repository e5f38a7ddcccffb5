"""What a topic gives, and its files: result.json, a CSV for each table, a PNG for each figure."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import pkpo
from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.files import remove_leftovers, write_atomically
from pkpo.report.style import to_png
from pkpo.tables import Table
from reproduction.measures import Measure, from_json

RESULT = "result.json"
_FILE_NAME = re.compile(r"[a-z0-9_-]+")
_SHOWING = ("driver.py", "ledger.py", "page.py", "__main__.py", "rules.py")
"""Files of the reproduction that run topics, judge or show results, and don't decide them."""


@dataclass(frozen=True)
class Drawing:
    """A figure with the words that go with it.

    Args:
        name: of its file, without a suffix.
        title: heading.
        caption: how to read it.
        alt: what a reader is told who cannot see it.
        figure: made with `pkpo.report.style.new_figure`.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


@dataclass(frozen=True)
class Result:
    """Everything that one topic gives.

    Args:
        measures: by name; claims are judged from them alone.
        tables: by the name of their file, without a suffix.
        drawings: in order.
        notes: sentences on what was left out or differs from the paper.
        settings: JSON values from which the numbers follow, seeds among them.
    """

    measures: Mapping[str, Measure]
    tables: Mapping[str, Table] = field(default_factory=dict)
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """A result as `write_result` left it.

    Args:
        name: of the topic.
        command: that makes it again.
        quick: whether it was made with the smaller settings.
        seconds: that making it took.
        source: digest of the code that made it, and of what it read.
        versions: of Python and packages.
        measures, tables, notes, settings: see `Result`.
        drawings: title, caption, alt and name of each.
    """

    name: str
    command: str
    quick: bool
    seconds: float
    source: str
    versions: Mapping[str, str]
    measures: Mapping[str, Measure]
    tables: Mapping[str, Table]
    drawings: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]


def topic_folder(out: Path, name: str) -> Path:
    """Where the topic of that name has its files."""
    return out / "topics" / name


def write_result(
    folder: Path,
    name: str,
    result: Result,
    *,
    quick: bool,
    command: str,
    seconds: float,
    source: str,
) -> None:
    """Write a result's files, result.json last, in place of an earlier result's.

    A process killed on the way leaves a folder without result.json.

    Raises:
        InvalidInputError: a name can't be a file's or is there twice, or the settings or measures
            aren't JSON values.
        OSError: a file can't be written.
    """
    _check_names(name, "table", list(result.tables))
    _check_names(name, "figure", [drawing.name for drawing in result.drawings])
    record = {
        "name": name,
        "command": command,
        "quick": quick,
        "seconds": round(seconds, 1),
        "source": source,
        "versions": versions(),
        "settings": dict(result.settings),
        "measures": {key: measure.to_json() for key, measure in result.measures.items()},
        "tables": {key: _table_record(table) for key, table in result.tables.items()},
        "drawings": [
            {key: getattr(drawing, key) for key in ("name", "title", "caption", "alt")}
            for drawing in result.drawings
        ],
        "notes": list(result.notes),
    }
    try:
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"topic {name}: settings and measures must be JSON values, without NaN or infinity: "
            f"{error}"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    for key, table in result.tables.items():
        write_text(folder / f"{key}.csv", table.to_csv())
    for drawing in result.drawings:
        png = to_png(drawing.figure)
        write_atomically(
            folder / f"{drawing.name}.png", lambda path, png=png: path.write_bytes(png)
        )
    write_text(folder / RESULT, text)


def read_result(folder: Path) -> Stored | None:
    """What `write_result` left in `folder`; None where no result is complete.

    Raises:
        RunDirectoryError: result.json is damaged, or a file it names is missing.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        tables = {key: _table(found) for key, found in record.pop("tables").items()}
        measures = {key: from_json(found) for key, found in record.pop("measures").items()}
        drawings, notes = tuple(record.pop("drawings")), tuple(record.pop("notes"))
        stored = Stored(**record, tables=tables, measures=measures, drawings=drawings, notes=notes)
        files = [f"{key}.csv" for key in tables] + [
            f"{drawing['name']}.png" for drawing in drawings
        ]
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
        raise RunDirectoryError(f"{path}: the file is damaged: {error}") from error
    for file in files:
        if not (folder / file).is_file():
            raise RunDirectoryError(f"{folder / file}: the file is missing, though {path} names it")
    return stored


def versions() -> dict[str, str]:
    """Of Python, this package, and the packages that decide its numbers and figures."""
    names = ("numpy", "scipy", "torch", "matplotlib")
    found = {name: metadata.version(name).split("+")[0] for name in names}
    return {"python": sys.version.split()[0], "pkpo": pkpo.__version__, **found}


def source_digest(inputs: Iterable[Path] = (), package: Path | None = None) -> str:
    """SHA-256 of the code that decides results, and of files that are read, on every machine alike.

    Args:
        inputs: files besides the code.
        package: folder of the package; the running one's by default.
    """
    here = Path(__file__).parent
    code = [
        path
        for path in here.rglob("*.py")
        if path.name not in _SHOWING and "tests" not in path.relative_to(here).parts
    ]
    roots = {package or Path(pkpo.__file__).parent: None, here: code}
    digest = hashlib.sha256()
    for root, paths in roots.items():
        for path in sorted(root.rglob("*.py") if paths is None else paths):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, the same on every system."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))


def _check_names(topic: str, kind: str, names: list[str]) -> None:
    for name in names:
        if not _FILE_NAME.fullmatch(name):
            raise InvalidInputError(
                f"topic {topic}: the name of {kind} {name!r} must be of a-z, 0-9, _ and -"
            )
        if names.count(name) > 1:
            raise InvalidInputError(f"topic {topic}: two {kind}s have the name {name!r}")


def _clear(folder: Path) -> None:
    """Remove an earlier result, what marks it as complete first."""
    (folder / RESULT).unlink(missing_ok=True)
    remove_leftovers(folder)
    for path in folder.iterdir():
        if path.suffix in (".csv", ".png") and path.is_file():
            path.unlink()


def _table_record(table: Table) -> dict[str, Any]:
    return {**asdict(table), "bold": sorted(table.bold), "words": sorted(table.words)}


def _table(record: dict[str, Any]) -> Table:
    bold = frozenset((row, column) for row, column in record.pop("bold"))
    rows = tuple(map(tuple, record.pop("rows")))
    headers, notes = tuple(record.pop("headers")), tuple(record.pop("notes"))
    words = frozenset(record.pop("words"))
    return Table(headers=headers, rows=rows, notes=notes, bold=bold, words=words, **record)
