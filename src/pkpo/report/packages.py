"""The check that the packages of the `train` extra are there."""

from __future__ import annotations

from importlib import import_module

from pkpo.errors import needing


def require_packages(*names: str) -> None:
    """Imports each package.

    Args:
        names: import names, such as "matplotlib".

    Raises:
        MissingExtraError, BrokenPackageError: as `pkpo.errors.needing`.
    """
    with needing("the report", "train"):
        for name in names:
            import_module(name)
