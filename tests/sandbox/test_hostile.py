"""Nothing gets out of the sandbox, uses it up, or passes tests that it fails."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pkpo.sandbox.checks import Checker, Checks
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import run

from .hostile import ADD, CHEATS, PROGRAMS

LIMITS = Limits(wall_seconds=6, cpu_seconds=1, memory_mib=256)
CHECKS = Checks(
    parts=("assert add(2, 3) == 5", "assert add(-1, 1) == 0 and add(0.5, 0.25) == 0.75"),
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_hostile_programs_are_contained(name: str) -> None:
    source, allowed = PROGRAMS[name]
    outcome = run(source, LIMITS)
    assert outcome.status in allowed, outcome
    assert "LEAK" not in outcome.stdout
    assert len(outcome.stdout) <= LIMITS.output_kib << 10
    assert outcome.seconds < 20


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(LIMITS) as found:
        yield found


def test_the_honest_program_passes(checker: Checker) -> None:
    found = checker.check(ADD, CHECKS)
    assert found.passed == (True, True), found
    assert found.reason == ""


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_fail_and_leave_the_next_one_alone(name: str, checker: Checker) -> None:
    found = checker.check(CHEATS[name], CHECKS)
    assert not all(found.passed), found
    assert not found.passed[0]
    assert found.reason
    assert checker.check(ADD, CHECKS).passed == (True, True)


def started() -> set[str]:
    """Sandboxes of this process."""
    command = ["pgrep", "-P", str(os.getpid()), "bwrap"]
    return set(subprocess.run(command, capture_output=True, text=True).stdout.split())


def test_nothing_is_left_behind() -> None:
    before = started()
    outcome = run("open('/tmp/planted', 'w').close()\nwhile True: pass", Limits(wall_seconds=1))
    assert outcome.status == "time"
    assert not os.path.exists("/tmp/planted")
    assert started() <= before


def test_programs_run_beside_each_other() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: run(f"print({i})", LIMITS).stdout, range(12)))
    assert found == [f"{i}\n" for i in range(12)]
