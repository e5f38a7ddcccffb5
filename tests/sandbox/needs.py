"""What tests need to run programs."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from pkpo.sandbox.program import run
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import SandboxUnavailableError, Wall, installed


@cache
def missing(wall: Wall = "auto") -> str:
    """Why programs can't be run here behind a wall, or nothing."""
    try:
        with Sandbox(wall) as sandbox:
            run("", sandbox=sandbox)
    except SandboxUnavailableError as error:
        return str(error)
    return ""


def _walls() -> dict[Wall, str]:
    """Bubblewrap, and the others that are installed, with why they don't work."""
    try:
        others = installed("auto")
    except SandboxUnavailableError:
        others = ()
    return {wall: missing(wall) for wall in ("bubblewrap", *others)}


WALLS: list[Any] = [
    pytest.param(wall, marks=pytest.mark.skipif(bool(why), reason=why), id=wall)
    for wall, why in _walls().items()
]
"""For fixtures and tests that are run behind every wall of this machine."""

needs_sandbox = pytest.mark.skipif(bool(missing()), reason=missing())
