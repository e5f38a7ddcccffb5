"""The errors that pkpo raises, one small tree.

Every class is also a built-in error, so callers who know nothing of pkpo can
catch `ValueError`, `RuntimeError` or `ImportError` as they would elsewhere.
"""

from __future__ import annotations


class PkpoError(Exception):
    """Base class of every error raised on purpose by pkpo."""


class InvalidInputError(PkpoError, ValueError):
    """A value has the wrong type, shape or range; the message names the place."""


class UndefinedEstimateError(PkpoError, ValueError):
    """No unbiased value exists for these arguments, such as pass@8 from 4 samples."""


class DivergenceError(PkpoError, ArithmeticError):
    """A policy's loss, gradient, weights or probabilities are no longer finite."""


class RunDirectoryError(PkpoError, RuntimeError):
    """A run directory exists already, is missing, or holds something unreadable."""


class LogError(PkpoError, ValueError):
    """A log of samples is damaged, of no known form, or can be read in more than one way."""


class MissingExtraError(PkpoError, ImportError):
    """A part of pkpo needs packages that the base install leaves out."""

    def __init__(self, feature: str, extra: str, missing: str) -> None:
        self._given = (feature, extra, missing)
        super().__init__(
            f"{feature} needs the package {missing!r}, which the base install leaves out; "
            f"install it with: pip install 'pkpo[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), self._given
