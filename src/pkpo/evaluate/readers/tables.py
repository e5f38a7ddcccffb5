"""Tables with one sample a row: the problem in one column, the reward in another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import polars as pl

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import POLARS_ERRORS, Log, csv_header, rows, value_at
from pkpo.evaluate.readers.names import known_columns, of_file, other_columns
from pkpo.evaluate.readers.tally import (
    MAY,
    ONE,
    RUN,
    SET,
    STEP,
    Reading,
    Sample,
    digest,
    gathered,
    one_by_one,
    stands_for,
    with_file,
)
from pkpo.evaluate.readers.values import BadValueError, setting_of

_PLACE = "\0place"
_EXACT = 2**53
# What polars makes of half a pair of surrogates, and of an integer of more than 64 bits.
_MISREAD_JSON = re.compile(r"\x00|\\u0000|Static\(")
_MISREAD = r"\x00|^Static\("
_MEMBER = re.compile(r"\w+(\.[A-Za-z_]\w*)+", re.ASCII)
_SAMPLE_IDS = ("sample_id", "completion_id", "epoch")
_TRL_OWN = {"step", "prompt", "completion", "advantage", "image", "images"}
_OTHER_KINDS = {"zip": "a zip archive", "json": "one JSON document"}


def table(
    problem: str,
    reward: str | Callable[[Log], str],
    step: str | None = None,
    of_path: Callable[[Path], Mapping[str, Any]] = lambda path: {},
) -> Callable[[Log, Reading], pl.DataFrame]:
    """What reads tables with these columns, where the caller names no others.

    Args:
        problem: the column of problem ids.
        reward: the column of rewards, or what picks it.
        step: a column of training steps, if it is there.
        of_path: what the file's path and what lies beside it say of its samples.

    Cost: one pass of polars over the columns; a pass in Python besides where some row isn't
    plainly good.
    """

    def read(log: Log, reading: Reading) -> pl.DataFrame:
        wanted = reading.wanted
        if not log.is_table:
            kind = _OTHER_KINDS.get(log.kind, log.kind)
            raise LogError(f"{log.path} is no table of samples: it is {kind}")
        own = {
            "problem": wanted.problem or problem,
            "reward": wanted.reward or (reward if isinstance(reward, str) else reward(log)),
            "cluster": wanted.cluster,
            "step": step if step and log.has(step) else None,
            "sample": wanted.sample or next((name for name in _SAMPLE_IDS if log.has(name)), None),
        }
        columns = {name: column for name, column in own.items() if column is not None}
        for name, column in columns.items():
            if not log.has(column):
                raise LogError(
                    f"{log.path} has no column {column!r} to take the {name} from; its columns "
                    f"are {log.shown()}"
                )
        taken = {column for name, column in columns.items() if name != "cluster"}
        columns |= known_columns(log, taken, wanted)
        said = dict(of_path(log.path))
        if own["step"] is None:  # others write what their rewards are made of
            taken |= {*columns.values()}
            columns |= other_columns(log, taken, wanted)
            said |= of_file(log, taken, wanted)
        return with_file(_read(log, columns, reading), said)

    return read


def trl_reward(log: Log) -> str:
    """The one column of numbers that isn't TRL's own."""
    kinds = log.schema
    found = [
        name
        for name in log.columns
        if name not in _TRL_OWN and (kinds[name].is_numeric() or kinds[name] == pl.Boolean)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise LogError(f"{log.path}: no column of rewards; its columns are {log.shown()}")
    raise LogError(
        f"{log.path}: several columns of rewards ({', '.join(found)}): choose one with reward= "
        f"(--reward)"
    )


def _read(log: Log, named: Mapping[str, str], reading: Reading) -> pl.DataFrame:
    """The tally of columns by what they hold, their names in it; `step` holds integers."""
    tally = _grouped(log, named)
    if tally is not None:
        return tally
    needed = {name: column for name, column in named.items() if not _is_known(name)}
    optional = {name: c for name, c in named.items() if name not in ("problem", "reward")}

    def samples_of(place: int, row: Mapping[str, Any]) -> Iterator[Sample]:
        for column in needed.values():
            if column not in row:
                there = ", ".join(list(row)[:12]) or "nothing"
                raise BadValueError(f"no {column!r}; it has {there}")
        known = {name: value_at(row, column) for name, column in optional.items()}
        yield row[named["problem"]], row[named["reward"]], known

    outer = {_outer(log, column) for column in named.values()}
    return one_by_one(log, reading, rows(log, outer), samples_of)


def _outer(log: Log, column: str) -> str:
    """The column of a row that holds a value."""
    inside = column in log.inner
    return next(c for c in log.outer if column.startswith(f"{c}.")) if inside else column


def _is_known(name: str) -> bool:
    """Whether it says of a run or a problem what a row may leave out."""
    return name.startswith((RUN, SET, ONE, MAY))


def _grouped(log: Log, named: Mapping[str, str]) -> pl.DataFrame | None:
    """By polars, or None if anything in the file needs a closer look."""
    try:
        scanned = _scan(log, named)
        if scanned is None:
            return None
        kinds = scanned.collect_schema()
        if not {_outer(log, column) for column in named.values()} <= set(kinds):
            return None
        chats = [name for name in named if name.startswith(ONE) and _holds_chats(log, named[name])]
        read_as = [
            (pl.struct(column).struct.json_encode() if log.kind == "parquet" else pl.col(column))
            if name in chats
            else _inside(log, column)
            if column in log.inner
            else _read_as(name, column, kinds[column])
            for name, column in named.items()
        ]
        read_as = [expression.alias(name) for name, expression in zip(named, read_as)]
        place = (pl.col(_PLACE).cast(pl.Int64) + 1).alias("first")
        tally = gathered(scanned.select(*read_as, place)).collect(engine="streaming")
        tally = tally.with_columns(_of_chats(tally[name], log.kind) for name in chats)
        tally = tally.with_columns(
            _as_text(tally[name]) for name in named if name != "reward" and not name.startswith(MAY)
        )
        inside = [name for name, column in named.items() if column in log.inner]
        if not all(_is_settled(text) for name in inside for text in tally[name].unique()):
            return None
    except POLARS_ERRORS:
        return None
    rewards = tally["rewards"].explode()
    if rewards.null_count() or not rewards.is_finite().all() or (tally["problem"] == "").any():
        return None
    for name in named:
        if name == "reward" or name.startswith(MAY):
            continue
        text = tally[name]
        misread = text == "0" if name.startswith(ONE) else text.str.contains(_MISREAD)
        if misread.any() or (text.null_count() and not _is_known(name)):
            return None
    return tally.rename({"step": STEP}) if "step" in named else tally


def _read_as(name: str, column: str, kind: pl.DataType) -> pl.Expr:
    """A column as a tally has it; null where a text is no number."""
    if name == "step":
        return pl.col(column).cast(pl.Int64, strict=False)
    if name.startswith(ONE):
        text = pl.col(column).cast(pl.String)
        misread = text.str.contains("\0", literal=True)
        return pl.when(misread).then(pl.lit(0, pl.UInt64)).otherwise(digest(text))
    if name.startswith(MAY):
        return stands_for(column)
    if name != "reward":
        return pl.col(column)
    if kind != pl.String:
        return pl.col(column).cast(pl.Float64)
    words = pl.col(column).str.strip_chars().str.to_lowercase()
    return words.replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)


def _inside(log: Log, column: str) -> pl.Expr:
    """A member of objects, from the JSON that polars writes of them."""
    text, member = pl.col(_outer(log, column)), column.partition(".")[2]
    keys = text.str.count_matches(f'"{member.rpartition(".")[2]}": ', literal=True)
    misread = (keys > 1) | ~text.str.starts_with("{") | text.str.contains(r"[\x00-\x1f]")
    return pl.when(misread).then(pl.lit("\0")).otherwise(text.str.json_path_match(f"$.{member}"))


def _is_settled(text: str | None) -> bool:
    """Whether a member's text is a setting's, be it of a string or of a number."""
    try:
        return text is None or setting_of(json.loads(text)) == text
    except ValueError:
        return True


def _holds_chats(log: Log, column: str) -> bool:
    """Whether a column of texts has JSON lists for some."""
    return any(isinstance(value, list) for value in log.values(column))


def _of_chats(texts: pl.Series, kind: str) -> pl.Series:
    """The digests of chats, from JSON that polars wrote."""
    known = texts.unique().drop_nulls().to_list()
    if any(_MISREAD_JSON.search(text) for text in known):
        raise pl.exceptions.ComputeError("JSON may be misread")
    if kind == "parquet":
        values = [next(iter(json.loads(text).values())) for text in known]
    elif all(text.startswith("[") for text in known):
        values = [json.loads(text) for text in known]
    else:
        raise pl.exceptions.ComputeError("not all texts are chats")
    alike = pl.Series(texts.name, list(map(setting_of, values)), dtype=pl.String)
    digests = alike.to_frame().select(digest(pl.col(texts.name))).to_series()
    return texts.replace_strict(known, digests, default=None, return_dtype=pl.UInt64)


def _as_text(values: pl.Series) -> pl.Series:
    """Ids and settings as the exact way has them."""
    if values.dtype.is_float():
        if (values.abs() >= _EXACT).any():
            raise pl.exceptions.ComputeError("an integer may have lost digits")
        known = values.unique().to_list()
        texts = list(map(setting_of, known))
        return values.replace_strict(known, texts, return_dtype=pl.String)
    text = values.cast(pl.String)
    return text.replace("", None) if _is_known(values.name) else text


def _scan(log: Log, named: Mapping[str, str]) -> pl.LazyFrame | None:
    place: dict[str, Any] = {"row_index_name": _PLACE}
    if log.kind == "json":
        return None
    if log.kind == "csv":
        mark, header = csv_header(log.local)
        if len(set(header)) != len(header) or _has_lone_returns(log.local):
            return None
        scanned = pl.scan_csv(log.local, separator=mark, infer_schema=False, glob=False, **place)
        # Polars looks at the fields it was asked for: rows too long or short escape it unless
        # that is all of them.
        return scanned.map_batches(_of_whole_rows, projection_pushdown=False, streamable=True)
    inner = [column for column in named.values() if column in log.inner]
    if any(log.kind == "parquet" or not _MEMBER.fullmatch(column) for column in inner):
        return None
    if log.kind == "parquet":
        known = all(_is_plain(name, log.schema[column]) for name, column in named.items())
        return pl.scan_parquet(log.local, glob=False, **place) if known else None
    kinds = {
        _outer(log, c): pl.String if c in inner else _json_kind(name, log.values(c))
        for name, c in named.items()
    }
    if None in kinds.values():
        return None
    return pl.scan_ndjson(log.local, schema=kinds, **place)


def _has_lone_returns(local: Path) -> bool:
    """Whether a carriage return stands without a line feed: a line's end, but not to polars."""
    with local.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return re.search(rb"\r(?!\n)", content) is not None


def _of_whole_rows(batch: pl.DataFrame) -> pl.DataFrame:
    """The batch itself, unless its last field may be missing."""
    if batch[:, -1].null_count():
        raise pl.exceptions.ShapeError("a row may lack its last field")
    return batch


def _is_plain(name: str, kind: Any) -> bool:
    """Whether polars reads a column of this type as the exact way does."""
    if name == "step":
        return kind.is_integer()
    if name == "reward":
        return kind.is_numeric() or kind in (pl.Boolean, pl.String)
    if kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum):
        return True
    if name.startswith(ONE) and kind == pl.List:
        return True
    return _is_known(name) and (kind.is_float() or kind == pl.Boolean)


def _json_kind(name: str, values: Sequence[Any]) -> Any:
    """The type to read a JSON column as, from its first values; None for none that is safe.

    Of pl.Categorical polars takes text alone, of pl.String also numbers and objects.
    """
    if name.startswith(MAY):
        return pl.String
    if _is_known(name):
        values = [value for value in values if value is not None] or [""]
    whole = name.startswith(ONE)
    kind = {
        str: pl.String if whole or name == "reward" else pl.Categorical,
        list: pl.String if whole else None,
        bool: pl.Boolean,
        int: pl.Float64 if name == "reward" else pl.Int64,
        float: pl.Float64,
    }.get(type(values[0]) if values else None)
    return kind if kind and _is_plain(name, kind) else None
