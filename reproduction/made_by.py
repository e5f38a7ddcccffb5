"""What a result was made by: versions and code."""

from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import pkpo

_DECIDING = (
    "core",
    "offpolicy",
    "plans",
    "engines/embedded",
    "evaluate",
    "execution",
    "report",
    "tasks",
    "train",
)
"""Folders of the package whose code decides results."""

_NOT_DECIDING = ("driver.py", "ledger.py", "page.py", "page_parts.py", "__main__.py")
"""Files of the reproduction that run topics or show results."""


def versions() -> dict[str, str]:
    """Of Python, this package, and the packages that decide its numbers and figures."""
    found = {"python": sys.version.split()[0], "pkpo": pkpo.__version__}
    for name in ("numpy", "torch", "matplotlib"):
        try:
            found[name] = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return found


def source_digest(package: Path | None = None, checks: Path | None = None) -> str:
    """SHA-256 of the code that decides results, the same on every machine.

    Args:
        package: folder of the package; the running one's by default.
        checks: folder of the reproduction; the running one's by default.
    """
    root, here = package or Path(pkpo.__file__).parent, checks or Path(__file__).parent
    found = {
        path.relative_to(root).as_posix(): path
        for folder in _DECIDING
        for path in (root / folder).rglob("*.py")
    }
    for path in here.rglob("*.py"):
        name = path.relative_to(here).as_posix()
        if name not in _NOT_DECIDING and not name.startswith("tests/"):
            found[f"reproduction/{name}"] = path
    digest = hashlib.sha256()
    for name in sorted(found):
        content = found[name].read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
