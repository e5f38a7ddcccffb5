"""Running programs that aren't trusted, such as what a model wrote. It knows no rewards."""

from pkpo.sandbox.checks import Checker, Checks, Findings
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import Outcome, Program, ProgramEnded, run
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import SandboxUnavailableError, Wall

__all__ = [
    "Checker",
    "Checks",
    "Findings",
    "Limits",
    "Outcome",
    "Program",
    "ProgramEnded",
    "Sandbox",
    "SandboxUnavailableError",
    "Wall",
    "run",
]
