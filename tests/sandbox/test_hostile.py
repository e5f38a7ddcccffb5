"""Nothing gets out of the sandbox, uses it up, or passes tests that it fails."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pkpo.sandbox.checks import Checker, Checks
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import Program, run
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import SandboxUnavailableError, Wall

from .hostile import ADD, CHEATS, FINDS, PLANTS, PROGRAMS
from .needs import WALLS

LIMITS = Limits(wall_seconds=6, cpu_seconds=1, memory_mib=256)
CHECKS = Checks(
    parts=("assert add(2, 3) == 5", "assert add(-1, 1) == 0 and add(0.5, 0.25) == 0.75"),
)


@pytest.fixture(scope="module", params=WALLS)
def wall(request: pytest.FixtureRequest) -> Wall:
    return request.param


@pytest.fixture(scope="module")
def sandbox(wall: Wall) -> Iterator[Sandbox]:
    """One for all, so that whatever one program did to it is there for the next."""
    with Sandbox(wall) as found:
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
def checker(wall: Wall) -> Iterator[Checker]:
    with Checker(LIMITS, wall) as found:
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


def below(pid: int) -> set[int]:
    """Processes that a process started, and those that they did."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def gone(processes: set[int], folder: Path) -> bool:
    """Whether nothing is left of a sandbox, as it is a moment after its end."""
    for _ in range(200):
        left = {pid for pid in processes if os.path.exists(f"/proc/{pid}")}
        if not left and not list(folder.iterdir()):
            return True
        time.sleep(0.05)
    return False


def test_nothing_is_left_behind(
    wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = below(os.getpid())
    with Sandbox(wall) as sandbox:
        program = "open('/tmp/planted', 'w').close()\nwhile True: pass"
        assert run(program, replace(LIMITS, wall_seconds=1), sandbox).status == "time"
        assert not os.path.exists("/tmp/planted")
        started = below(os.getpid()) - before
        assert started
    assert gone(started, tmp_path)


def test_nothing_outlives_its_runtime(
    wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = below(os.getpid())
    with Sandbox(wall) as sandbox, Program(sandbox, replace(LIMITS, wall_seconds=60)) as program:
        program.send({"source": "import time\ntime.sleep(60)"})
        processes = below(os.getpid()) - before
        assert sandbox._process is not None
        group = {pid for pid in processes if os.getpgid(pid) == sandbox._process.pid}
        os.kill(max(group), signal.SIGKILL)  # crun itself, not the shell before it
        with pytest.raises(SandboxUnavailableError, match=f"{wall}.* failed"):
            program.receive()
    assert gone(processes, tmp_path)


def test_nothing_outlives_who_started_it(wall: Wall, tmp_path: Path) -> None:
    source = (
        "from pkpo.sandbox import *\n"
        f"with Sandbox({wall!r}) as sandbox, Program(sandbox, Limits()) as program:\n"
        "    program.send({'source': 'import time\\ntime.sleep(60)'})\n"
        "    print('started', flush=True)\n"
        "    program.receive()\n"
    )
    command = [sys.executable, "-c", source]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        processes = below(process.pid)
        assert len(processes) > 1
        process.kill()
    assert gone(processes, tmp_path)


def test_programs_run_beside_each_other(wall: Wall) -> None:
    def both(i: int) -> list[str]:
        with Sandbox(wall) as sandbox:
            return [run(f"print({i} + {j})", LIMITS, sandbox).stdout for j in range(3)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(both, range(4)))
    assert found == [[f"{i + j}\n" for j in range(3)] for i in range(4)]
