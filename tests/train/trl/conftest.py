from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl")


@pytest.fixture(scope="module", autouse=True)
def without_figures() -> Iterator[None]:
    """Which take most of a report's time."""
    from pkpo.report import write

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw_figures", lambda run: ())
        yield


@pytest.fixture(scope="session")
def warm_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warm start of the tiny task, as the embedded engine exports it."""
    from pkpo.train.embedded.warm_start import save_policy

    from ..tiny import make_config, make_policy, make_task

    folder = tmp_path_factory.mktemp("warm")
    policy = make_policy(make_config(), folder / "cache")
    save_policy(policy, folder / "model", make_task())
    return folder / "model"


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of plain language with a chat template."""
    from .small import save_text_model

    return save_text_model(tmp_path_factory.mktemp("text") / "model")
