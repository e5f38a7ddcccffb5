"""`pkpo audit`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.show import progress, show
from pkpo.core.parsing import as_objective
from pkpo.engines.audit import BINARY, CONTINUOUS, Path, audit, of_advantages
from pkpo.errors import BrokenPackageError, needing
from pkpo.tables import Table

_ENGINES = ("trl", "verl", "tunix", "torchtitan", "tinker", "slime", "skyrl", "rllm")


@dataclass(frozen=True)
class Audit:
    """Which objective an engine, or anybody's function of rewards, really trains for.

    pkpo audit verl

    pkpo audit my_package.my_module:advantages --objective max@2

    A policy so small that everything it can draw is gone through: the expected gradient is
    compared with the objective's own. A function takes the rewards of a group and returns its
    advantages, or takes all rewards with their group ids; NumPy arrays both.

    Exit codes: 0 each is exact, or exact up to a constant factor; 1 one isn't; 2 wrong usage.
    """

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENGINE|MODULE:FUNCTION")]
    """An engine (trl, verl, tunix, torchtitan, tinker, slime, skyrl, rllm), or a function that can
    be imported from here."""

    objective: str = "max@2"
    """What it should train for, with k <= 3."""

    rewards: Literal["continuous", "binary"] = "continuous"
    """Rewards of the tiny policy's completions."""

    def __call__(self, command: str) -> int:
        objective = as_objective(self.objective)
        rewards = BINARY if self.rewards == "binary" else CONTINUOUS
        paths, equal_alone = self._paths()
        n, rows, found = objective.k + 1, [], []
        for name, path in paths.items():
            for sizes in ((n, n),) if equal_alone else ((n, n), (n, n + 1)):
                with progress(f"Going through all batches of {name} ..."):
                    result = audit(path, objective, sizes=sizes, rewards=rewards)
                found.append(result.is_constant)
                rows.append((name, " and ".join(map(str, sizes)), result.verdict))
        title = f"The gradient of {objective}, and the expected one of:"
        show(
            Table(
                ("path", "groups of", "verdict"), tuple(rows), title=title, words=frozenset({0, 2})
            )
        )
        return int(not all(found))

    def _paths(self) -> tuple[dict[str, Path], bool]:
        """By name, and whether they take groups of one size alone."""
        if self.what not in _ENGINES:
            return {self.what: of_advantages(_imported(self.what))}, False
        with needing(f"pkpo audit {self.what}", self.what):
            try:
                engine = importlib.import_module(f"pkpo.engines.{self.what}.audit")
            except ImportError:
                raise
            except Exception as error:  # an engine that is installed can raise anything
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                raise BrokenPackageError(
                    f"{self.what} can't be imported: {reason} (pkpo doctor looks at all that is "
                    "installed)"
                ) from error
            return engine.paths(self.objective), getattr(engine, "GROUPS_OF_ONE_SIZE", False)


def _imported(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    if not attribute:
        raise UsageError(
            f"{place!r} is neither an engine ({', '.join(_ENGINES)}) nor a MODULE:FUNCTION"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"can't import {place}: {error}") from error
    if not callable(found):
        raise UsageError(f"{place} is no function, but {found!r:.60}")
    return found
