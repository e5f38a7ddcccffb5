"""What a result was made by: versions and code."""

from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import pkpo

_DECIDING = (
    "core",
    "engines/embedded",
    "evaluate",
    "execution",
    "report",
    "reproduce",
    "tasks",
    "train",
)
"""Folders of the package whose code decides results."""

_NOT_DECIDING = (
    "reproduce/driver.py",
    "reproduce/ledger.py",
    "reproduce/page.py",
    "reproduce/page_parts.py",
)
"""Files in them that run topics or show results."""


def versions() -> dict[str, str]:
    """Of Python, this package, and the packages that decide its numbers and figures."""
    found = {"python": sys.version.split()[0], "pkpo": pkpo.__version__}
    for name in ("numpy", "torch", "matplotlib"):
        try:
            found[name] = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return found


def source_digest(package: Path | None = None) -> str:
    """SHA-256 of the code that decides results, the same on every machine.

    Args:
        package: folder of the package; the running one's by default.
    """
    root = package or Path(pkpo.__file__).parent
    paths = (path for folder in _DECIDING for path in (root / folder).rglob("*.py"))
    digest = hashlib.sha256()
    for name in sorted({path.relative_to(root).as_posix() for path in paths} - {*_NOT_DECIDING}):
        content = (root / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
