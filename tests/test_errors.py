"""What is said of packages that an extra brings; tests/cli/test_command_line.py has the rest."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pkpo.engines.doctor import ENGINES
from pkpo.errors import MissingExtraError, install_command, needing


def test_packages_are_looked_for_without_being_imported() -> None:
    with needing("this", "dev", "pytest", "this"):  # importing `this` would print a poem
        pass
    with (
        pytest.raises(MissingExtraError, match="this needs the package 'no_such_package'"),
        needing("this", "dev", "pytest", "no_such_package"),
    ):
        raise AssertionError


def test_what_brings_an_engine_exists() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"].keys()
    for name in ENGINES.keys() - {"embedded"}:
        assert ("pip install git+https://" in install_command(name)) == (name not in extras), name
