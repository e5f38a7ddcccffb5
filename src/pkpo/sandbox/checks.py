"""Checking a program that isn't trusted by tests that it never sees.

The program runs in one sandbox, the tests in another, both new. A call in a test goes to the
program, and what comes back is a plain value (`inside/plain.py`): the program has no test to
read, no `==` to override, no checker to patch, and its exit is a failed call.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pkpo.errors import InvalidInputError
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import Program, ProgramEnded
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import Wall


@dataclass(frozen=True)
class Checks:
    """Tests of a program.

    Args:
        parts: Python source, run in order in one namespace; each passes if it doesn't raise.
        setup: run before them, trusted as they are.
        aliases: names in the parts for functions of the program, by name; functions of the
            program that parts name are there without one.
    """

    parts: tuple[str, ...]
    setup: str = ""
    aliases: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidInputError("a program is checked by at least one part, got none")
        for source in (self.setup, *self.parts):
            try:
                ast.parse(source)
            except (SyntaxError, ValueError) as error:
                raise InvalidInputError(
                    f"a test can't be parsed: {error}: {source[:80]!r}"
                ) from None

    @property
    def names(self) -> frozenset[str]:
        """Names that the parts and the setup use."""
        trees = (ast.parse(source) for source in (self.setup, *self.parts))
        return frozenset(n.id for t in trees for n in ast.walk(t) if isinstance(n, ast.Name))


@dataclass(frozen=True)
class Findings:
    """What became of the checks.

    Args:
        passed: by part.
        reason: why the first part that failed did; empty if none did.
        seconds: by the clock.
    """

    passed: tuple[bool, ...]
    reason: str
    seconds: float


class Checker:
    """Checks programs one after the other; one for each thread.

    Args:
        limits: of each program, and by the clock of each program with its checks.

    Close it, or use it in a `with` statement.

    Raises:
        SandboxUnavailableError: nothing on this machine can hold the programs.
    """

    def __init__(self, limits: Limits | None = None, wall: Wall = "auto") -> None:
        self.limits = limits or Limits()
        self._sandbox = Sandbox(wall)

    def check(self, source: str, checks: Checks) -> Findings:
        """Run the program `source` and its checks.

        Cost: some 10 ms of the processor, and the program's and its checks' own.
        """
        with Program(self._sandbox, self.limits) as program:
            none = (False,) * len(checks.parts)
            try:
                program.send({"source": source})
                reply = program.receive()
            except ProgramEnded as error:
                return Findings(none, str(error), program.seconds)
            if "raised" in reply:
                return Findings(none, str(reply["raised"]), program.seconds)
            passed, reason = self._run(program, set(map(str, reply.get("functions", ()))), checks)
            return Findings(passed, reason, program.seconds)

    def _run(
        self, program: Program, functions: set[str], checks: Checks
    ) -> tuple[tuple[bool, ...], str]:
        remote = {name: name for name in checks.names & functions} | {
            alias: name for alias, name in checks.aliases if name in functions
        }
        request = {"setup": checks.setup, "remote": remote, "parts": list(checks.parts)}
        ended = ""
        try:
            with Program(self._sandbox, self.limits, "check") as tests:
                tests.send(request)
                while "call" in (message := tests.receive()):
                    answer: dict[str, Any] = {"raised": ended}
                    if not ended:
                        try:
                            program.send(message)
                            answer = program.receive()
                        except ProgramEnded as error:
                            ended = str(error)
                            answer = {"raised": ended}
                    tests.send(answer)
        except ProgramEnded as error:
            return (False,) * len(checks.parts), f"the checks: {error}"
        if "raised" in message:
            return (False,) * len(checks.parts), f"the setup of the checks: {message['raised']}"
        failures = {int(place): str(reason) for place, reason in message["failures"]}
        passed = tuple(i not in failures for i in range(len(checks.parts)))
        return passed, next(iter(failures.values()), "")

    def close(self) -> None:
        self._sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def split_asserts(body: Sequence[ast.stmt]) -> tuple[str, ...]:
    """Parts of which each ends with a statement that holds an assert.

    An assert of a constant tests nothing and counts as none. Statements without an assert belong
    to the part of the next one; those after the last are left out, as no assert depends on them.
    """
    parts: list[str] = []
    waiting: list[ast.stmt] = []
    for statement in body:
        waiting.append(statement)
        asserts = (node for node in ast.walk(statement) if isinstance(node, ast.Assert))
        if any(not isinstance(node.test, ast.Constant) for node in asserts):
            parts.append("\n".join(map(ast.unparse, waiting)))
            waiting = []
    return tuple(parts)
