import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from libraries import library

__all__ = ["library"]

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What TRL and transformers say about each other's versions is no fault of ours."""
    for item in items:
        if item.path.is_relative_to(_HERE) and "trl" in item.path.relative_to(_HERE).parts:
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices are several times slower with more threads on busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def files_are_not_waited_for() -> Iterator[None]:
    """A job syncs dozens of files, for milliseconds each; that it does, and when, is seen in
    tests/train/interference.py. Processes of their own still wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which complains of a closed file too
        yield


@pytest.fixture(scope="session", autouse=True)
def modules_are_no_garbage() -> None:
    """A training collects garbage, and going through all imports takes most of its time; pytest
    does five times at its end."""
    gc.collect()
    gc.freeze()
