"""Engines with an environment of their own (make test-NAME): elsewhere nothing is collected."""

from __future__ import annotations

import sys
import typing
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typing_extensions

_NEEDED = {
    "rllm": "rllm.trainer.algorithms.advantage",
    "skyrl": "skyrl.train.trainer",
    "slime": "pkpo.engines.slime.audit",
    "tinker": "tinker_cookbook.rl.train",
    "torchtitan": "torchtitan.components.loss",
    "tunix": "tunix.rl.grpo.grpo_learner",
    "verl": "verl.trainer.ppo.v1.utils",
}
_HERE = {name for name in _NEEDED if find_spec(name)}

collect_ignore_glob = [f"{name}/test_*" for name in _NEEDED.keys() - _HERE]

if "skyrl" in _HERE and sys.version_info < (3, 12):
    typing.TypedDict = typing_extensions.TypedDict  # its tinker/types.py asks for Python 3.12's

with warnings.catch_warnings(action="ignore"):
    for name in _HERE:
        import_module(_NEEDED[name])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They and what they import warn of things that are no fault of ours."""
    here = Path(__file__).parent
    for item in items:
        if not _NEEDED.keys().isdisjoint(item.path.parts) and here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
