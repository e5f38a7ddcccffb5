"""What is said of packages that an extra brings; tests/cli/test_command_line.py has the rest."""

from __future__ import annotations

import pytest

from pkpo.errors import MissingExtraError, needing


def test_packages_are_looked_for_without_being_imported() -> None:
    with needing("this", "dev", "pytest", "this"):  # importing `this` would print a poem
        pass
    with (
        pytest.raises(MissingExtraError, match="this needs the package 'no_such_package'"),
        needing("this", "dev", "pytest", "no_such_package"),
    ):
        raise AssertionError
