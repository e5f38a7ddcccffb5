"""The wall around untrusted programs: bubblewrap, and what to do without it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path

from pkpo.errors import PkpoError
from pkpo.sandbox import seccomp
from pkpo.sandbox.limits import Limits


class SandboxUnavailableError(PkpoError, RuntimeError):
    """Nothing on this machine can hold a program that isn't trusted."""


HERE = "/sandbox"
"""Where the code that serves a program lies, inside."""


@cache
def bubblewrap() -> str:
    """Path of bubblewrap.

    Raises:
        SandboxUnavailableError: it is missing, or this machine isn't Linux on a known processor.
    """
    if sys.platform != "linux" or platform.machine() not in seccomp.MACHINES:
        machines = ", ".join(seccomp.MACHINES)
        raise SandboxUnavailableError(
            f"programs that aren't trusted are run on Linux ({machines}) alone; this is "
            f"{sys.platform} on {platform.machine()}"
        )
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailableError(
            "programs that aren't trusted are run under bubblewrap, which isn't installed; "
            "install it with: apt-get install bubblewrap"
        )
    return found


_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def _filter() -> int:
    """Descriptor from which the filter of system calls can be read once."""
    readable, writable = os.pipe()
    os.write(writable, seccomp.program())
    os.close(writable)
    return readable


@cache
def _interpreter() -> tuple[str, tuple[str, ...]]:
    """The interpreter without an environment around it, and the folders that it needs."""
    executable = os.path.realpath(sys.executable)
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), executable}
    library = sysconfig.get_config_var("LIBDIR")
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if library and Path(library, name).is_file():
        folders.add(str(Path(library, name)))
    system = {path for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64") if Path(path).exists()}
    return executable, tuple(sorted(folders | system))


def command(limits: Limits, requests: int, replies: int) -> tuple[list[str], int]:
    """The command that starts the serving interpreter behind the wall, and the descriptor
    that it inherits besides these two.

    Inside there are the interpreter with its standard library, an empty scratch directory, and
    nothing else of this machine: no network, no other process, no environment.
    """
    executable, folders = _interpreter()
    filter_descriptor = _filter()
    binds: list[str] = []
    for path in folders:
        if os.path.islink(path) and path in ("/lib", "/lib64"):
            binds += ["--symlink", os.readlink(path), path]
        else:
            binds += ["--ro-bind", path, path]
    packages = f"{sysconfig.get_path('stdlib')}/site-packages"
    if os.path.isdir(packages):
        binds += ["--tmpfs", packages, "--remount-ro", packages]
    return [
        bubblewrap(),
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop", "ALL",
        "--uid", "65534",
        "--gid", "65534",
        "--hostname", "sandbox",
        "--clearenv",
        *binds,
        *(part for name in _DEVICES for part in ("--dev-bind", name, name)),
        "--ro-bind", str(Path(__file__).parent / "inside"), HERE,
        "--size", str(limits.scratch_mib << 20),
        "--tmpfs", "/tmp",
        "--remount-ro", "/",
        "--chdir", "/tmp",
        "--seccomp", str(filter_descriptor),
        "--",
        executable, "-I", "-S", "-B", f"{HERE}/serve.py", str(requests), str(replies),
    ], filter_descriptor  # fmt: skip
