"""The walls that can stand around programs that aren't trusted, and what to do without one."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.sandbox import seccomp

Wall = Literal["auto", "bubblewrap", "nsjail", "unsafe"]
"""What keeps a program in: the first of bubblewrap and nsjail that is there, one of them, or
nothing but limits of resources, which is for programs that are trusted."""

HERE = "/sandbox"
"""Where the code that serves programs lies, inside."""

_PROGRAMS = {"bubblewrap": "bwrap", "nsjail": "nsjail"}
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class SandboxUnavailableError(PkpoError, RuntimeError):
    """Nothing on this machine can hold a program that isn't trusted."""


def chosen(wall: Wall) -> Wall:
    """The wall that is there.

    Raises:
        InvalidInputError: no such wall.
        SandboxUnavailableError: it is missing, or this machine isn't Linux on a known processor.
    """
    if wall not in get_args(Wall):
        raise InvalidInputError(f"the sandbox must be one of {get_args(Wall)}, got {wall!r}")
    if sys.platform != "linux" or platform.machine() not in seccomp.MACHINES:
        machines = ", ".join(seccomp.MACHINES)
        raise SandboxUnavailableError(
            f"programs that aren't trusted are run on Linux ({machines}) alone; this is "
            f"{sys.platform} on {platform.machine()}"
        )
    names: tuple[Wall, ...] = ("bubblewrap", "nsjail") if wall == "auto" else (wall,)
    for name in names:
        if name == "unsafe" or shutil.which(_PROGRAMS[name]):
            return name
    raise SandboxUnavailableError(
        f"programs that aren't trusted are run under {' or '.join(names)}, which isn't "
        "installed; install it with: apt-get install bubblewrap"
    )


@cache
def _interpreter() -> tuple[str, tuple[str, ...]]:
    """The interpreter without an environment around it, and the paths that it needs."""
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    paths = {sysconfig.get_path("stdlib", vars=base), sysconfig.get_path("platstdlib", vars=base)}
    executable = os.path.realpath(sys.executable)
    library = Path(
        sysconfig.get_config_var("LIBDIR") or "/", sysconfig.get_config_var("INSTSONAME") or ""
    )
    paths |= {executable, *([str(library)] if library.is_file() else [])}
    paths |= {path for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64") if Path(path).exists()}
    return executable, tuple(sorted(paths))


def command(wall: Wall, control: int) -> list[str]:
    """The command that starts the server of programs behind a chosen wall.

    Inside there are the interpreter with its standard library, an empty scratch directory, and
    nothing else of this machine: no network, no other process, no environment. The server may
    mount and make namespaces there, which it gives up for each program (`inside/serve.py`).

    Args:
        control: descriptor of the server's socket, which it inherits.
    """
    executable, paths = _interpreter()
    inside = str(Path(__file__).parent / "inside")
    serve = ["-I", "-S", "-B"]
    if wall == "unsafe":
        return [executable, *serve, f"{inside}/serve.py", str(control), "open"]
    serve = ["--", executable, *serve, f"{HERE}/serve.py", str(control), "walled"]
    packages = f"{sysconfig.get_path('stdlib', vars={'base': sys.base_prefix})}/site-packages"
    hidden = [packages] if os.path.isdir(packages) else []
    links = [path for path in paths if os.path.islink(path) and path in ("/lib", "/lib64")]
    bound = [path for path in paths if path not in links]
    if wall == "nsjail":
        return [
            "nsjail", "--mode", "o", "--really_quiet", "--chroot", "", "--disable_proc",
            "--iface_no_lo", "--cap", "CAP_SYS_ADMIN", "--user", "65534", "--group", "65534",
            "--hostname", "sandbox", "--time_limit", "0", "--pass_fd", str(control),
            "--rlimit_as", "max", "--rlimit_cpu", "max", "--rlimit_fsize", "max",
            *(part for path in links for part in ("--symlink", f"{os.readlink(path)}:{path}")),
            *(part for path in bound for part in ("--bindmount_ro", path)),
            *(part for path in hidden for part in ("--tmpfsmount", path)),
            *(part for path in _DEVICES for part in ("--bindmount", path)),
            "--bindmount_ro", f"{inside}:{HERE}", "--tmpfsmount", "/tmp", "--cwd", "/tmp",
            *serve,
        ]  # fmt: skip
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--cap-add", "CAP_SYS_ADMIN", "--uid", "65534", "--gid", "65534",
        "--hostname", "sandbox", "--clearenv",
        *(part for path in links for part in ("--symlink", os.readlink(path), path)),
        *(part for path in bound for part in ("--ro-bind", path, path)),
        *(part for path in hidden for part in ("--tmpfs", path, "--remount-ro", path)),
        *(part for path in _DEVICES for part in ("--dev-bind", path, path)),
        "--ro-bind", inside, HERE, "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",
        *serve,
    ]  # fmt: skip
