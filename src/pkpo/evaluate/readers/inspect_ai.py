"""inspect_ai: .eval archives and .json logs. An epoch is a sample of its problem."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import zstandard

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Collector, Reading
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile

_SAMPLES, _SUMMARIES = "samples/", "summaries.json"
_HEADERS = ("header.json", "_journal/start.json")
_ZSTANDARD = 93
_LOCAL_HEADER = 30
# As inspect_ai's value_to_float has it.
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class InspectAI:
    """See `Form`."""

    name = "inspect_ai"
    looks_like = "an .eval archive, or JSON with eval and samples"

    def matches(self, head: Head) -> bool:
        """See `Form`."""
        if head.kind == "zip":
            return any(name in head.columns for name in _HEADERS)
        return head.kind == "json" and head.has("eval", "samples") and "status" in head.columns

    def read(self, file: LogFile, head: Head, reading: Reading) -> pl.DataFrame:
        """See `Form`."""
        if file.kind == "zip":
            try:
                log, samples = _from_archive(file)
            except (zipfile.BadZipFile, zstandard.ZstdError, zlib.error, struct.error) as error:
                raise LogError(f"{file.path} is damaged: {error}") from error
        else:
            log, samples = head.document, head.document.get("samples")
        if not isinstance(samples, list):
            raise LogError(f"{file.path} holds no samples, only a summary of them")
        if log.get("status") not in ("success", None):
            reading.note(f"{file.path} is the log of a run whose status is {log['status']!r}.")
        return _tally(file, log, samples, reading)


def _tally(
    file: LogFile, log: Mapping[str, Any], samples: list[Any], reading: Reading
) -> pl.DataFrame:
    spec = log.get("eval")
    spec = spec if isinstance(spec, dict) else {}
    task, run = str(spec.get("task", "")), str(spec.get("run_id", file.number))
    scorer = _scorer(file, samples, reading.wanted.reward)
    collector = Collector(reading, file.path, "sample")
    for place, sample in enumerate(samples, start=1):
        if not isinstance(sample, dict):
            collector.bad(place, f"not an object but a {type(sample).__name__}")
            continue
        values = _values(sample)
        if scorer not in values:
            collector.bad(place, f"{_called(sample)} {_why_unscored(sample, scorer)}")
            continue
        identity = sample.get("uuid") or f"{run}/{sample.get('id')}/{sample.get('epoch')}"
        reward = _number(values[scorer])
        collector.add(place, sample.get("id"), reward, task=task, sample=identity)
    return collector.tally()


def _called(sample: Mapping[str, Any]) -> str:
    return f"(id {sample.get('id')!r}, epoch {sample.get('epoch')})"


def _why_unscored(sample: Mapping[str, Any], scorer: str | None) -> str:
    error = sample.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        return f"failed and has no score: {str(message)[:120]}"
    return f"has no score of {scorer!r}" if scorer else "has no score"


def _values(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Each scorer's value; those of one that gives several as SCORER/NAME."""
    scores = sample.get("scores")
    if not isinstance(scores, dict):
        scores = {"score": sample["score"]} if isinstance(sample.get("score"), dict) else {}
    values: dict[str, Any] = {}
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            values |= {f"{name}/{key}": part for key, part in value.items()}
        else:
            values[name] = value
    return values


def _scorer(file: LogFile, samples: list[Any], wanted: str | None) -> str | None:
    found = {
        name: None for sample in samples if isinstance(sample, dict) for name in _values(sample)
    }
    if wanted is not None:
        if wanted not in found:
            there = ", ".join(found) or "none"
            raise LogError(f"{file.path} has no scores of {wanted!r}; it has {there}")
        return wanted
    if len(found) > 1:
        raise LogError(
            f"{file.path} has several scores ({', '.join(found)}): choose one with reward= "
            f"(--reward)"
        )
    return next(iter(found), None)


def _number(value: Any) -> Any:
    """inspect_ai's letters and words as numbers, and all else as it is."""
    if isinstance(value, str):
        return _LETTERS.get(value, _WORDS.get(value.lower(), value))
    return value


def _from_archive(file: LogFile) -> tuple[dict[str, Any], list[Any]]:
    with zipfile.ZipFile(file.local) as archive:
        names = archive.namelist()
        header = next(name for name in _HEADERS if name in names)
        log = _entry(archive, file, header)
        entries = [name for name in names if name.startswith(_SAMPLES) and name.endswith(".json")]
        if _SUMMARIES in names:
            summaries = _entry(archive, file, _SUMMARIES)
            if isinstance(summaries, list) and len(summaries) == len(entries):
                return log, summaries
        return log, list(_entries(archive, file, entries))


def _entries(archive: zipfile.ZipFile, file: LogFile, names: list[str]) -> Iterator[Any]:
    for name in names:
        sample = _entry(archive, file, name)
        # The rest of a sample, its events and messages, is much the most of it.
        keys = ("id", "epoch", "uuid", "scores", "score", "error")
        yield {key: sample[key] for key in keys if key in sample}


def _entry(archive: zipfile.ZipFile, file: LogFile, name: str) -> Any:
    try:
        return json.loads(_content(archive, file, name))
    except ValueError as error:
        raise LogError(f"{file.path}, {name}: not complete JSON: {error}") from error


def _content(archive: zipfile.ZipFile, file: LogFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != _ZSTANDARD:
        return archive.read(info)
    with file.local.open("rb") as source:
        source.seek(info.header_offset)
        lengths = source.read(_LOCAL_HEADER)[26:]
        source.seek(sum(struct.unpack("<HH", lengths)), 1)
        packed = source.read(info.compress_size)
    content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    if zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile(f"bad checksum of {name}")
    return content
