"""inspect_ai: .eval archives and .json logs. An epoch is a sample of its problem."""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.tally import ONE, RUN, SET, Reading, Sample, chosen, fields, one_by_one
from pkpo.evaluate.readers.values import BadValueError, object_of, within

_SAMPLES, _SUMMARIES = "samples/", "summaries.json"
_HEADERS = ("header.json", "_journal/start.json")
_ZSTANDARD = 93
_LOCAL_HEADER = 30
# Settings of how a model is called that don't change what it answers, or not in distribution.
_SAME_POLICY = {
    "adaptive_connections", "attempt_timeout", "batch", "cache", "cache_prompt", "extra_headers",
    "logprobs", "max_connections", "max_retries", "prompt_logprobs", "seed", "stream_idle_timeout",
    "timeout", "top_logprobs",
}  # fmt: skip
_LIMITS = {
    "cost_limit", "message_limit", "time_limit", "token_limit", "turn_limit", "working_limit",
}  # fmt: skip
_KEPT = ("id", "epoch", "uuid", "input", "choices", "target", "scores", "score", "error")
_THIN = 5000  # summaries hold a little more of a text than this
_MEDIA = re.compile(r"\((Image|Audio|Video|Document|Data)\)")  # what summaries have in its place
# As inspect_ai's value_to_float has it.
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def is_archive(log: Log) -> bool:
    """Whether it is an .eval archive."""
    return log.kind == "zip" and any(name in log.columns for name in _HEADERS)


def read(log: Log, reading: Reading) -> pl.DataFrame:
    """The samples of a log; their scorer is chosen where there are several."""
    document = log.document
    if log.kind == "zip":
        try:
            document = _from_archive(log)
        except (zipfile.BadZipFile, zstandard.ZstdError, zlib.error, struct.error) as error:
            raise LogError(f"{log.path} is damaged: {error}") from error
    samples = document.get("samples")
    if not isinstance(samples, list):
        raise LogError(f"{log.path} holds no samples, only a summary of them")
    if document.get("status") not in ("success", None):
        reading.note(f"{log.path} is the log of a run whose status is {document['status']!r}.")
    spec = object_of(document.get("eval"))
    run = str(spec.get("run_id", log.number))
    scorers = {name: None for sample in samples for name in _values(object_of(sample))}
    scorer = chosen(log, "score", [*scorers], reading.wanted.reward, no="scores of")

    def samples_of(place: int, sample: Any) -> Iterator[Sample]:
        if not isinstance(sample, dict):
            raise BadValueError(f"not an object but a {type(sample).__name__}")
        values = _values(sample)
        if scorer not in values:
            called = f"(id {sample.get('id')!r}, epoch {sample.get('epoch')})"
            raise BadValueError(f"{called} {_why_unscored(sample, scorer)}")
        identity = sample.get("uuid") or f"{run}/{sample.get('id')}/{sample.get('epoch')}"
        known = {"sample": identity, **fields(ONE, _asked(sample))}
        yield sample.get("id"), _number(values[scorer]), known

    of_file = _of_run(spec, object_of(document.get("plan"))) | {f"{ONE}metric": scorer}
    return one_by_one(log, reading, enumerate(samples, 1), samples_of, of_file, "sample")


def _of_run(spec: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Model, settings and solver of a run, its task and data set."""
    dataset, config = within(spec, "dataset"), within(spec, "config")
    return {
        f"{RUN}model": spec.get("model"),
        f"{RUN}model_base_url": spec.get("model_base_url"),
        **fields(RUN, spec.get("model_generate_config"), but=_SAME_POLICY),
        **fields(RUN, plan.get("config"), but=_SAME_POLICY),
        **fields(RUN, config, but=config.keys() - _LIMITS),
        **fields(f"{RUN}model_args.", spec.get("model_args")),
        **fields(f"{RUN}model_roles.", spec.get("model_roles")),
        **fields(f"{RUN}task_args.", spec.get("task_args")),
        f"{RUN}task_version": spec.get("task_version"),
        f"{RUN}solver": plan.get("steps"),
        f"{SET}task": spec.get("task"),
        f"{SET}dataset": dataset.get("name") or dataset.get("location"),
    }


def _asked(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What a sample's problem is: of texts as much as summaries have."""
    given, target = sample.get("input"), sample.get("target")
    messages = given if isinstance(given, list) else [{"content": given}]
    contents = [object_of(message).get("content") for message in messages]
    parts = [p for c in contents for p in (c if isinstance(c, list) else [{"text": c}])]
    texts = [object_of(part).get("text") for part in parts]
    others = [part for part, text in zip(parts, texts) if part and not isinstance(text, str)]
    return {
        "input": "\n".join(text[:_THIN] for text in texts if isinstance(text, str)),
        "choices": sample.get("choices") or None,
        "target": target[:_THIN] if isinstance(target, str) else target or None,
        "media": [part for part in others if part != {"text": None}] or None,
    }


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


def _number(value: Any) -> Any:
    """inspect_ai's letters and words as numbers, and all else as it is."""
    if isinstance(value, str):
        return _LETTERS.get(value, _WORDS.get(value.lower(), value))
    return value


def _from_archive(log: Log) -> dict[str, Any]:
    """The log's document, its samples as their summaries if these leave nothing out."""

    def entry(name: str) -> Any:
        try:
            return json.loads(_content(archive, log.local, name))
        except ValueError as error:
            raise LogError(f"{log.path}, {name}: not complete JSON: {error}") from error

    with zipfile.ZipFile(log.local) as archive:
        names = archive.namelist()
        document = entry(next(name for name in _HEADERS if name in names))
        entries = [name for name in names if name.startswith(_SAMPLES) and name.endswith(".json")]
        summaries = entry(_SUMMARIES) if _SUMMARIES in names else None
        whole = summaries if isinstance(summaries, list) and len(summaries) == len(entries) else []
        if whole and not any(map(_leaves_out_media, whole)):
            return document | {"samples": whole}
        # The rest of a sample, its events and messages, is much the most of it.
        samples = ({key: s[key] for key in _KEPT if key in s} for s in map(entry, entries))
        return document | {"samples": list(samples)}


def _leaves_out_media(summary: Any) -> bool:
    given = object_of(summary).get("input")
    return isinstance(given, list) and bool(_MEDIA.search(json.dumps(given)))


def _content(archive: zipfile.ZipFile, local: Path, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != _ZSTANDARD:
        return archive.read(info)
    with local.open("rb") as source:
        source.seek(info.header_offset)
        lengths = source.read(_LOCAL_HEADER)[26:]
        source.seek(sum(struct.unpack("<HH", lengths)), 1)
        packed = source.read(info.compress_size)
    content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    if zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile(f"bad checksum of {name}")
    return content
