from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("tunix") is None:  # it has an environment of its own: make test-tunix
    collect_ignore_glob = ["test_*"]
else:
    with warnings.catch_warnings(action="ignore"):
        import tunix.rl.grpo.grpo_learner  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tunix and what it imports warn of things that are no fault of ours."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore"))
