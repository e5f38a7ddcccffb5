"""What a log's path, and what its tool wrote beside it, say of the run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pkpo.evaluate.readers.collect import RUN, SET

_PACKED = r"(\.gz|\.zst)?"


def fields(prefix: str, values: Any) -> dict[str, Any]:
    """A JSON object's members as fields; of anything else, none."""
    return {prefix + key: value for key, value in object_of(values).items()}


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def json_at(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, empty where it can't be read: it isn't the log."""
    try:
        return object_of(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def matched(pattern: str, path: Path) -> re.Match[str] | None:
    """Whether a file has the name that its tool gives it, packed or not."""
    return re.fullmatch(pattern + _PACKED, path.name)


def folder_of(pattern: str) -> Callable[[Path], dict[str, Any]]:
    """The folder as a run, for tools that write one run into a folder, under these names."""
    return lambda path: {f"{RUN}folder": str(path.parent)} if matched(pattern, path) else {}


def verifiers_metadata(path: Path) -> dict[str, Any]:
    """What metadata.json beside a results.jsonl says; else the folder."""
    known = json_at(path.parent / "metadata.json")
    if "model" not in known:
        return folder_of(r"results\.jsonl")(path)
    sampling = dict(object_of(known.get("sampling_args")))
    for name in ("n", "seed"):
        sampling.pop(name, None)
    return {
        f"{RUN}model": known["model"],
        f"{RUN}env_args": known.get("env_args"),
        f"{SET}env_id": known.get("env_id"),
        **fields(RUN, sampling),
    }
