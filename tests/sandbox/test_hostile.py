"""Nothing gets out of the sandbox, uses it up, or passes tests that it fails."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pkpo.sandbox.checks import Checker, Checks
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import run
from pkpo.sandbox.server import Sandbox

from .hostile import ADD, CHEATS, FINDS, PLANTS, PROGRAMS
from .needs import needs_sandbox

pytestmark = needs_sandbox

LIMITS = Limits(wall_seconds=6, cpu_seconds=1, memory_mib=256)
CHECKS = Checks(
    parts=("assert add(2, 3) == 5", "assert add(-1, 1) == 0 and add(0.5, 0.25) == 0.75"),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all, so that whatever one program did to it is there for the next."""
    with Sandbox() as found:
        yield found


@pytest.mark.parametrize("name", PROGRAMS)
def test_hostile_programs_are_contained(name: str, sandbox: Sandbox) -> None:
    source, allowed = PROGRAMS[name]
    limits = replace(LIMITS, wall_seconds=1) if "sleep" in name else LIMITS
    outcome = run(source, limits, sandbox)
    assert outcome.status in allowed, outcome
    assert "LEAK" not in outcome.stdout
    assert len(outcome.stdout) <= LIMITS.output_kib << 10
    assert outcome.seconds < 20
    assert run("print(2)", LIMITS, sandbox).stdout == "2\n"


def test_a_program_finds_nothing_of_the_one_before(sandbox: Sandbox) -> None:
    clean = run(FINDS, LIMITS, sandbox)
    planted = run(PLANTS, LIMITS, sandbox)
    assert planted.status == "ok", planted
    assert int(planted.stdout) >= 0
    found = run(FINDS, LIMITS, sandbox)
    assert found.stdout == clean.stdout == f"{[[], *[False] * 5, 0, False]}\n"


def test_programs_draw_different_random_numbers(sandbox: Sandbox) -> None:
    source = "import random\nprint(random.random())"
    assert run(source, LIMITS, sandbox).stdout != run(source, LIMITS, sandbox).stdout


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
    with Sandbox() as sandbox:
        program = "open('/tmp/planted', 'w').close()\nwhile True: pass"
        assert run(program, replace(LIMITS, wall_seconds=1), sandbox).status == "time"
        assert not os.path.exists("/tmp/planted")
        assert len(started() - before) == 1
    assert started() <= before


def test_programs_run_beside_each_other() -> None:
    def both(i: int) -> list[str]:
        with Sandbox() as sandbox:
            return [run(f"print({i} + {j})", LIMITS, sandbox).stdout for j in range(3)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(both, range(4)))
    assert found == [[f"{i + j}\n" for j in range(3)] for i in range(4)]
