from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .tiny import save_model

    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session", autouse=True)
def _modules_are_no_garbage() -> Iterator[None]:
    """A training collects garbage, and going through all imports takes most of its time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
