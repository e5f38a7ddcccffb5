from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .forks import Attempts


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of warm starts."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attempts]:
    made = Attempts(tmp_path_factory.mktemp("attempts"))
    yield made
    made.close()
