"""What the scripts of examples/ would launch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def arguments_of(script: Path, **variables: str) -> list[str]:
    """The command line that a script would start, an argument each."""
    done = subprocess.run(
        ["bash", script],
        env={**os.environ, **variables, "LAUNCH": r"printf %s\n"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
