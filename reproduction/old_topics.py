"""What topics that store no measures yet are made from."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    quick: bool
    runs: Path
