"""The check that the packages of the `train` extra are there."""

from __future__ import annotations

from importlib import import_module

from pkpo.errors import MissingExtraError


def require_packages(*names: str) -> None:
    """Imports each package.

    Args:
        names: import names, such as "matplotlib".

    Raises:
        MissingExtraError: for the first package that cannot be imported.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise MissingExtraError("the report", "train", name) from error
