"""Without a wall nothing runs, unless that is asked for by name."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import stat
import sys
import sysconfig
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from pkpo.sandbox import wall
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import run
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import SandboxUnavailableError, chosen, command
from tests.sandbox.needs import needs_sandbox


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)


def test_nothing_runs_where_nothing_holds_it(path: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match="apt-get install bubblewrap"):
        run("print(1)")
    with pytest.raises(SandboxUnavailableError, match="under bubblewrap, which isn't"):
        Sandbox("bubblewrap")


def test_the_first_wall_that_is_there_is_taken(path: Path) -> None:
    script(path / "nsjail", "exit 1")
    assert chosen("auto") == "nsjail"
    script(path / "bwrap", "exit 1")
    assert chosen("auto") == "bubblewrap"
    assert chosen("nsjail") == "nsjail"


def test_other_walls_and_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="must be one of"):
        chosen("paper")  # type: ignore[arg-type]
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailableError, match="this is linux on riscv64"):
        chosen("auto")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="this is darwin on"):
        chosen("unsafe")


def test_a_wall_that_cannot_be_built_is_an_error_and_says_why(path: Path) -> None:
    script(path / "bwrap", "echo 'bwrap: No permissions to create a namespace' >&2; exit 1")
    with pytest.raises(SandboxUnavailableError, match="No permissions to create a namespace"):
        run("print(1)")


@needs_sandbox
def test_a_server_that_died_is_an_error_and_the_next_program_gets_another() -> None:
    with Sandbox() as sandbox:
        assert run("print(1)", sandbox=sandbox).stdout == "1\n"
        assert sandbox._process is not None
        sandbox._process.kill()
        sandbox._process.wait()
        with pytest.raises(SandboxUnavailableError, match="failed"):
            run("print(1)", sandbox=sandbox)
        assert run("print(2)", sandbox=sandbox).stdout == "2\n"


@needs_sandbox
def test_a_program_that_cannot_be_confined_is_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a filter of system calls that the kernel refuses."""
    monkeypatch.setattr("pkpo.sandbox.seccomp.program", lambda: b"\xff" * 8)
    with pytest.raises(SandboxUnavailableError, match="can't hold a program: OSError"):
        run("print(1)")


def test_unsafe_is_no_wall_but_has_limits(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with Sandbox("unsafe") as sandbox:
        outcome = run(f"open({str(file)!r}, 'w').write('x')\nprint(1)", sandbox=sandbox)
        assert (outcome.status, outcome.stdout) == ("ok", "1\n")
        assert file.read_text() == "x"
        where = run("import os\nprint(os.getcwd())", sandbox=sandbox).stdout.strip()
        assert where
        assert not os.path.exists(where)
        endless = run("while True: pass", Limits(cpu_seconds=1), sandbox)
        assert endless.status == "time"
        assert run("x = bytearray(10**12)", sandbox=sandbox).status == "memory"


def test_no_folder_of_the_environment_is_inside() -> None:
    """An environment's packages aren't the interpreter's, nor is what they lead to."""
    for name in ("bubblewrap", "nsjail"):
        bound = " ".join(command(name, 3))
        assert sys.prefix == sys.base_prefix or sys.prefix not in bound
        assert str(Path.home()) not in bound.replace(sys.base_prefix, "")


def test_the_command_for_nsjail(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no namespace of its own or read-only is named here: devices and an empty /tmp."""
    python = "/opt/python/bin/python3"
    monkeypatch.setattr(wall, "_interpreter", lambda: (python, ("/opt/python/lib", python)))
    monkeypatch.setattr(sysconfig, "get_path", lambda *_, **__: "/opt/python/none")
    devices = " ".join(f"--bindmount /dev/{name}" for name in ("null", "zero", "urandom", "random"))
    inside = Path(wall.__file__).parent / "inside"
    assert " ".join(command("nsjail", 7)) == (
        "nsjail --mode o --really_quiet --chroot  --disable_proc --iface_no_lo "
        "--cap CAP_SYS_ADMIN --user 65534 --group 65534 --hostname sandbox --time_limit 0 "
        "--pass_fd 7 --rlimit_as max --rlimit_cpu max --rlimit_fsize max "
        f"--bindmount_ro /opt/python/lib --bindmount_ro {python} {devices} "
        f"--bindmount_ro {inside}:/sandbox --tmpfsmount /tmp --cwd /tmp "
        f"-- {python} -I -S -B /sandbox/serve.py 7 walled"
    )


@pytest.mark.skipif(not shutil.which("nsjail"), reason="nsjail isn't installed")
def test_nsjail_holds_programs_too() -> None:
    with Sandbox("nsjail") as sandbox:
        assert run("print(1)", sandbox=sandbox).stdout == "1\n"
        found = run("print(open('/etc/passwd').read())", sandbox=sandbox)
        assert found.message.startswith("FileNotFoundError")


@needs_sandbox
def test_a_sandbox_that_nobody_holds_is_closed() -> None:
    sandbox = Sandbox()
    run("print(1)", sandbox=sandbox)
    process = sandbox._process
    assert process is not None
    del sandbox
    gc.collect()
    assert process.returncode is not None
