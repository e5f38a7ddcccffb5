from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .tiny import save_model

    return save_model(tmp_path_factory.mktemp("model"))
