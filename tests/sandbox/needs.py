"""What tests need to run programs."""

from __future__ import annotations

from functools import cache

import pytest

from pkpo.sandbox.program import run
from pkpo.sandbox.wall import SandboxUnavailableError


@cache
def missing() -> str:
    """Why programs can't be run here, or nothing."""
    try:
        run("")
    except SandboxUnavailableError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(missing()), reason=missing())
