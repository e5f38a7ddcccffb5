"""Results on disk.

OUT/topics/NAME/*.csv, *.md        a table each
OUT/topics/NAME/*.png, *.pdf       a figure each
OUT/topics/NAME/result.json        everything else; written last, so it marks the rest complete
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.files import remove_leftovers, write_atomically
from pkpo.report.style import to_png
from reproduction.json_objects import JsonObject, read_json
from reproduction.made_by import versions
from reproduction.results import Claim, Drawing, Result, Table, Verdict
from reproduction.text_tables import to_csv, to_markdown
from reproduction.topics import Topic

RESULT = "result.json"

_SUFFIXES = (".csv", ".md", ".png", ".pdf")
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class StoredDrawing:
    """A figure on disk; words as in `reproduction.results.Drawing`."""

    name: str
    title: str
    caption: str
    alt: str
    png: Path
    pdf: Path


@dataclass(frozen=True)
class Stored:
    """A topic's result as it was written.

    Args:
        name, title, place: of the topic.
        quick: whether it was made with the smaller settings.
        command: that makes it again.
        seconds: that making it took.
        source: `source_digest` of the code that made it.
        inputs: digest of what else it was made from; "" for none.
        versions: of Python and the packages, by name.
        settings, tables, drawings, claims, notes: as in `Result`.
    """

    name: str
    title: str
    place: str
    quick: bool
    command: str
    seconds: float
    source: str
    inputs: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    tables: tuple[Table, ...]
    drawings: tuple[StoredDrawing, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]


def topic_folder(out: Path, name: str) -> Path:
    """Where the topic of that name has its files."""
    return out / "topics" / name


def write_result(
    folder: Path,
    topic: Topic,
    result: Result,
    *,
    quick: bool,
    command: str,
    seconds: float,
    source: str,
    inputs: str = "",
) -> None:
    """Write a result's files, result.json last, in place of an earlier result's.

    A process killed on the way leaves a folder without result.json.

    Args:
        folder: of this topic alone; no other process writes there.
        topic: what the result is of.
        result: the tables, figures and claims.
        quick, command, seconds, source, inputs: see `Stored`.

    Raises:
        InvalidInputError: a name can't be a file's or is there twice, or the settings aren't
            JSON values.
        OSError: a file can't be written.
    """
    _check_names("table", topic, (table.name for table in result.tables))
    _check_names("figure", topic, (drawing.name for drawing in result.drawings))
    record = {
        "name": topic.name,
        "title": topic.title,
        "place": topic.place,
        "quick": quick,
        "command": command,
        "seconds": seconds,
        "source": source,
        "inputs": inputs,
        "versions": versions(),
        "settings": dict(result.settings),
        "tables": [{**asdict(table), "bold": sorted(table.bold)} for table in result.tables],
        "drawings": [_words(drawing) for drawing in result.drawings],
        "claims": [asdict(claim) for claim in result.claims],
        "notes": list(result.notes),
    }
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"topic {topic.name}: settings must be JSON values, without NaN or infinity: {error}"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    for name, content in _files(result):
        _write(folder / name, content)
    _write(folder / RESULT, text.encode("utf-8"))


def read_result(folder: Path) -> Stored | None:
    """What `write_result` left in `folder`; None where no result is complete.

    Raises:
        RunDirectoryError: result.json is damaged, or a file of a table or figure is missing;
            names the file.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    record = read_json(path)
    versions_record = record.child("versions")
    stored = Stored(
        name=record.text("name"),
        title=record.text("title"),
        place=record.text("place"),
        quick=record.flag("quick"),
        command=record.text("command"),
        seconds=record.number("seconds"),
        source=record.text("source"),
        inputs=record.text("inputs"),
        versions={name: versions_record.text(name) for name in versions_record.values},
        settings=dict(record.child("settings").values),
        tables=tuple(_read_table(item) for item in _objects(record, "tables")),
        drawings=tuple(_read_drawing(item, folder) for item in _objects(record, "drawings")),
        claims=tuple(_read_claim(item) for item in _objects(record, "claims")),
        notes=record.texts("notes"),
    )
    expected = [folder / f"{table.name}{end}" for table in stored.tables for end in (".csv", ".md")]
    expected += [file for drawing in stored.drawings for file in (drawing.png, drawing.pdf)]
    for file in expected:
        if not file.is_file():
            raise RunDirectoryError(f"{file}: the file is missing, though {path} names it")
    return stored


def is_current(folder: Path, *, quick: bool, source: str, inputs: str = "") -> bool:
    """Whether the result in `folder` is what making it now would give.

    It was made with the same settings, code, versions of packages and inputs, and is whole.
    """
    try:
        stored = read_result(folder)
    except RunDirectoryError:
        return False
    return (
        stored is not None
        and (stored.quick, stored.source, stored.inputs) == (quick, source, inputs)
        and stored.versions == versions()
    )


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF with its fonts inside; the same figure always gives the same bytes."""
    buffer = io.BytesIO()
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", metadata=nothing)
    return buffer.getvalue()


def _check_names(kind: str, topic: Topic, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not _FILE_NAME.fullmatch(name):
            raise InvalidInputError(
                f"topic {topic.name}: the name of {kind} {name!r} must be of a-z, 0-9, _ and -"
            )
        if name in seen:
            raise InvalidInputError(f"topic {topic.name}: two {kind}s have the name {name!r}")
        seen.add(name)


def _words(drawing: Drawing) -> dict[str, str]:
    return {key: getattr(drawing, key) for key in ("name", "title", "caption", "alt")}


def _files(result: Result) -> Iterator[tuple[str, bytes]]:
    for table in result.tables:
        yield f"{table.name}.csv", to_csv(table).encode("utf-8")
        yield f"{table.name}.md", to_markdown(table).encode("utf-8")
    for drawing in result.drawings:
        yield f"{drawing.name}.png", to_png(drawing.figure)
        yield f"{drawing.name}.pdf", to_pdf(drawing.figure)


def _clear(folder: Path) -> None:
    """Remove an earlier result, what marks it as complete first."""
    (folder / RESULT).unlink(missing_ok=True)
    remove_leftovers(folder)
    for path in folder.iterdir():
        if path.suffix in _SUFFIXES and path.is_file():
            path.unlink()


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _objects(record: JsonObject, key: str) -> list[JsonObject]:
    items = record.items(key)
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            record.fail(f"{key!r}[{i}] must be an object")
    return [JsonObject(item, f"{record.place}, in {key!r}[{i}]") for i, item in enumerate(items)]


def _read_table(record: JsonObject) -> Table:
    headers = record.texts("headers")
    rows = []
    for i, row in enumerate(record.items("rows")):
        if not _texts(row) or len(row) != len(headers):
            record.fail(f"'rows'[{i}] must be {len(headers)} strings")
        rows.append(tuple(row))
    bold = set()
    for i, pair in enumerate(record.items("bold")):
        match pair:
            case [int(row), int(column)]:
                bold.add((row, column))
            case _:
                record.fail(f"'bold'[{i}] must be a row and a column")
    return Table(
        name=record.text("name"),
        title=record.text("title"),
        headers=headers,
        rows=tuple(rows),
        notes=record.texts("notes"),
        bold=frozenset(bold),
    )


def _texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _read_drawing(record: JsonObject, folder: Path) -> StoredDrawing:
    name = record.text("name")
    return StoredDrawing(
        name=name,
        title=record.text("title"),
        caption=record.text("caption"),
        alt=record.text("alt"),
        png=folder / f"{name}.png",
        pdf=folder / f"{name}.pdf",
    )


def _read_claim(record: JsonObject) -> Claim:
    verdict = record.text("verdict")
    if verdict not in list(Verdict):
        allowed = ", ".join(map(repr, map(str, Verdict)))
        record.fail(f"'verdict' must be one of {allowed}, not {verdict!r}")
    texts = {key: record.text(key) for key in ("paper", "place", "statement", "rule", "found")}
    return Claim(**texts, verdict=Verdict(verdict))
