"""Without a wall nothing runs, unless that is asked for by name."""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pkpo.errors import InvalidInputError
from pkpo.sandbox import wall
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.program import run
from pkpo.sandbox.server import Sandbox
from pkpo.sandbox.wall import SandboxUnavailableError, Wall, command, installed
from tests.sandbox.needs import WALLS, needs_sandbox

BUBBLEWRAP = shutil.which("bwrap")


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
    with pytest.raises(SandboxUnavailableError, match=r"under crun, .* apt-get install crun"):
        Sandbox("crun")


def test_walls_that_are_there_are_tried_in_order(path: Path) -> None:
    for program in ("crun", "nsjail", "bwrap"):
        script(path / program, "exit 1")
    assert installed("auto") == ("bubblewrap", "nsjail", "crun")
    assert installed("nsjail") == ("nsjail",)
    (path / "bwrap").unlink()
    assert installed("auto") == ("nsjail", "crun")


@needs_sandbox
def test_a_wall_that_does_not_work_gives_way_to_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(path / "nsjail", "")
    script(path / "crun", "")
    tried = []

    def commanded(wall: Wall, folder: str) -> list[str]:
        tried.append(wall)
        works = [str(BUBBLEWRAP), *command("bubblewrap", folder)[1:]]
        return works if wall == "crun" else ["/bin/false"]

    monkeypatch.setattr("pkpo.sandbox.server.command", commanded)
    with Sandbox() as sandbox:
        for _ in range(2):
            assert run("print(1)", sandbox=sandbox).stdout == "1\n"
            assert sandbox.wall == "crun"
    with sandbox:
        assert run("print(1)", sandbox=sandbox).stdout == "1\n"
    assert tried == ["nsjail", "crun", "crun"]


def test_other_walls_and_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="must be one of"):
        installed("paper")  # type: ignore[arg-type]
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailableError, match="this is linux on riscv64"):
        installed("auto")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="this is darwin on"):
        installed("unsafe")


def test_an_interpreter_that_the_scratch_directory_hides_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wall, "_interpreter", lambda: ("/tmp/python", ("/tmp/python", "/usr/lib")))
    with pytest.raises(SandboxUnavailableError, match="/tmp/python lies in /tmp, which programs"):
        installed("auto")
    assert installed("unsafe") == ("unsafe",)


def test_walls_that_cannot_be_built_are_an_error_and_say_why(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("bwrap", "nsjail", "crun"):
        script(path / program, f"echo '{program}: no permission' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{path}:{os.defpath}")
    monkeypatch.setenv("TMPDIR", str(path / "a folder"))
    (path / "a folder").mkdir()
    tried = [
        rf"the sandbox \({wall}\) failed: {program}: no permission"
        for wall, program in (("bubblewrap", "bwrap"), ("nsjail", "nsjail"), ("crun", "crun"))
    ]
    with pytest.raises(SandboxUnavailableError, match=f"^{'; '.join(tried)}$"):
        run("print(1)")
    assert not list((path / "a folder").iterdir())
    (path / "a folder").rmdir()
    with pytest.raises(SandboxUnavailableError, match=r"\(crun\) failed: .*No such file"):
        Sandbox("crun").start("serve", Limits(), (), "")


@pytest.mark.parametrize("wall", WALLS)
def test_a_server_that_died_is_an_error_and_the_next_program_gets_another(wall: Wall) -> None:
    with Sandbox(wall) as sandbox:
        assert run("print(1)", sandbox=sandbox).stdout == "1\n"
        assert sandbox._process is not None
        os.killpg(sandbox._process.pid, signal.SIGKILL)
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
    for name in ("bubblewrap", "nsjail", "crun"):
        bound = " ".join(command(name, "/bundle"))
        assert sys.prefix == sys.base_prefix or sys.prefix not in bound
        assert f"{Path.home()}/" not in bound.replace(sys.base_prefix, "")


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> str:
    """An interpreter in a path that shells would split."""
    found = "/opt/a python/bin/python3"
    monkeypatch.setattr(wall, "_interpreter", lambda: (found, ("/opt/a python/lib", found)))
    monkeypatch.setattr(sysconfig, "get_path", lambda *_, **__: "/opt/python/none")
    return found


INSIDE = str(Path(wall.__file__).parent / "inside")


def test_the_command_for_nsjail(python: str) -> None:
    """What is no namespace of its own or read-only is named here: devices and an empty /tmp."""
    devices = " ".join(f"--bindmount /dev/{name}" for name in ("null", "zero", "urandom", "random"))
    assert " ".join(command("nsjail", "/bundle")) == (
        "nsjail --mode o --quiet --chroot  --disable_proc --iface_no_lo "
        "--cap CAP_SYS_ADMIN --user 65534 --group 65534 --hostname sandbox --time_limit 0 "
        f"--disable_rlimits --nice_level {os.nice(0)} "
        f"--bindmount_ro /opt/a python/lib --bindmount_ro {python} {devices} "
        f"--bindmount_ro {INSIDE}:/sandbox --tmpfsmount /tmp --cwd /tmp "
        f"-- {python} -I -S -B /sandbox/serve.py unsealed"
    )


def test_the_container_for_crun(python: str) -> None:
    shell, option, _, folder, config, *crun = command("crun", "/a bundle")
    assert (shell, option, folder) == ("/bin/sh", "-c", "/a bundle")
    assert " ".join(crun) == (
        "crun --root /a bundle --cgroup-manager=disabled run --bundle /a bundle sandbox"
    )
    found = json.loads(config)
    assert found["root"]["readonly"]
    assert "env" not in found["process"]
    assert found["process"]["args"] == [
        python,
        *["-I", "-S", "-B", "/sandbox/serve.py", "unsealed"],
    ]
    assert {space["type"] for space in found["linux"]["namespaces"]} == {
        "cgroup", "ipc", "mount", "network", "pid", "user", "uts",
    }  # fmt: skip
    mounts = {mount["destination"]: mount for mount in found["mounts"]}
    assert {to for to in mounts if "ro" not in mounts[to]["options"]} == {"/tmp"}
    assert {to: mount["source"] for to, mount in mounts.items() if to != "/tmp"} == {
        "/opt/a python/lib": "/opt/a python/lib", python: python, "/sandbox": INSIDE,
    }  # fmt: skip


@pytest.mark.parametrize("wall", WALLS)
def test_what_is_mounted_below_the_interpreter_is_read_only_too(wall: Wall) -> None:
    place = f"{sysconfig.get_path('stdlib')}/wsgiref"
    plant = f"open({place + '/planted'!r}, 'w')"
    source = (
        "from pkpo.sandbox import Sandbox, run\n"
        f"with Sandbox({wall!r}) as sandbox: print(run({plant!r}, sandbox=sandbox).message)"
    )
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c"]
    mounted += ['mount -t tmpfs tmpfs "$0" && touch "$0/there" && exec "$@"', place]
    found = subprocess.run(
        [*mounted, sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert "Read-only file system" in found.stdout, found


@pytest.mark.parametrize("wall", WALLS)
def test_a_sandbox_that_nobody_holds_is_closed(wall: Wall) -> None:
    sandbox = Sandbox(wall)
    run("print(1)", sandbox=sandbox)
    process = sandbox._process
    assert process is not None
    del sandbox
    gc.collect()
    assert process.returncode is not None
