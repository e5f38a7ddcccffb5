"""Scoring many programs over several sandboxes at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from pkpo.sandbox.checks import Checker
from pkpo.sandbox.limits import Limits
from pkpo.tasks.code.problems import CodeProblem
from pkpo.tasks.code.programs import program_of

Reward = Literal["all", "tests"]


@dataclass(frozen=True)
class Scored:
    """What a completion is worth.

    Args:
        reward: in [0, 1]: with "all" 1 if every test passes, else 0; with "tests" the share of
            tests that pass.
        reason: why the first test that failed did, for people; "passed" if none did.
    """

    reward: float
    reason: str


def verify(
    pairs: Sequence[tuple[CodeProblem, str]],
    *,
    reward: Reward = "all",
    workers: int = 2,
    limits: Limits | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[Scored]:
    """Score completions, in their order.

    Args:
        pairs: problem and completion.
        reward: see `Scored`.
        workers: sandboxes at a time.
        limits: of each program.
        done: called after each, from any thread.

    Raises:
        SandboxUnavailableError: nothing on this machine can hold a program.

    Cost: the start of an interpreter for each, some 25 ms of the processor, and its tests.
    """
    local = threading.local()
    with ExitStack() as stack:

        def score(pair: tuple[CodeProblem, str]) -> Scored:
            if not hasattr(local, "checker"):
                local.checker = stack.enter_context(Checker(limits))
            problem, completion = pair
            found = local.checker.check(program_of(problem, completion), problem.checks)
            done()
            share = sum(found.passed) / len(found.passed)
            return Scored(
                share if reward == "tests" else float(share == 1), found.reason or "passed"
            )

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(score, pairs))
