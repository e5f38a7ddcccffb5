"""The errors that pkpo raises, one small tree.

Every class is also a built-in error, so callers who know nothing of pkpo can
catch `ValueError`, `RuntimeError` or `ImportError` as they would elsewhere.
"""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path


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
            f"{feature} needs the package {missing!r}, which isn't installed; install it with: "
            f"{install_command(extra)}"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), self._given


class BrokenPackageError(PkpoError, ImportError):
    """A package that a part of pkpo needs is installed, but can't be imported."""


def refuse(
    problems: Collection[str],
    cause: Exception | None = None,
    *,
    what: str = "settings that would fail or change the objective",
) -> None:
    """Raise an InvalidInputError that names all the problems, if there are any."""
    if problems:
        raise InvalidInputError(f"{what}:\n- " + "\n- ".join(problems)) from cause


@contextmanager
def needing(feature: str, extra: str, *packages: str) -> Iterator[None]:
    """Explain an ImportError raised inside; one of pkpo's own modules passes as it is.

    Args:
        feature: what needs the packages that are imported.
        extra: of pkpo, which brings them.
        packages: that must be installed, but are only imported when they are used.

    Raises:
        MissingExtraError: a package isn't installed.
        BrokenPackageError: one is, but it is damaged or of a version that lacks something.
    """
    for package in packages:
        if not is_installed(package):
            raise MissingExtraError(feature, extra, package)
    try:
        yield
    except PkpoError:
        raise
    except ImportError as error:
        package = _culprit(error)
        if package == "pkpo":
            raise
        if isinstance(error, ModuleNotFoundError) and not is_installed(package):
            raise MissingExtraError(feature, extra, package) from error
        raise BrokenPackageError(
            f"{feature} can't import {package}: {error}{_versions(package, extra)}"
        ) from error


def is_installed(package: str) -> bool:
    """Whether a package of this import name can be found, without importing it."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: half imported
        return False


_NOT_ON_PYPI = {
    "rllm": "git+https://github.com/rllm-org/rllm",
    "slime": "git+https://github.com/THUDM/slime",
}
"""Where engines come from that no extra can bring."""


def install_command(extra: str) -> str:
    """The command that adds an extra to the pkpo at hand, from the clone that it is in, if any; or
    an engine that has none."""
    python = shlex.quote(sys.executable) + " -m " if sys.prefix != sys.base_prefix else ""
    if extra in _NOT_ON_PYPI:
        return f"{python}pip install {_NOT_ON_PYPI[extra]}"
    clone = Path(__file__).resolve().parents[2]
    known = "[project]" in _text(clone / "pyproject.toml")
    if not known:
        origin = re.search(r'"url": *"file://(/[^"]+)"', _direct_url())
        clone, known = (Path(origin[1]), True) if origin else (clone, False)
    here = known and clone == Path.cwd()
    source = "." if here else str(clone) if known else "pkpo"
    command = f"{python}pip install {shlex.quote(f'{source}[{extra}]')}"
    return command if known else f"{command} (in a clone of pkpo: pip install '.[{extra}]')"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _direct_url() -> str:
    """Where pkpo was installed from, as pip noted it (PEP 610)."""
    from importlib import metadata

    try:
        return metadata.distribution("pkpo").read_text("direct_url.json") or ""
    except metadata.PackageNotFoundError:
        return ""


def _culprit(error: ImportError) -> str:
    """The package that can't be imported; where the error doesn't say, the one that raised it."""
    name = error.name
    if name is None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        name = str(frames[-1].f_globals.get("__name__", ""))
    return name.partition(".")[0]


def _versions(package: str, extra: str) -> str:
    """Which version is installed, which the extra asks for, and how to get that."""
    from importlib import metadata

    installed, asked = "", []
    name = metadata.packages_distributions().get(package, [package])[0]
    with suppress(metadata.PackageNotFoundError):
        installed = f"version {metadata.version(name)} is installed; "
    with suppress(metadata.PackageNotFoundError):
        asked = metadata.requires("pkpo") or []
    wanted = {text.partition(";")[0] for text in asked if re.match(rf"{name}\b", text)}
    fits = f"pkpo is made for {', '.join(sorted(wanted))}; " if wanted else ""
    return f" ({installed}{fits}install it again with: {install_command(extra)})"
