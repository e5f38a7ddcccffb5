"""The walls that can stand around programs that aren't trusted, and what to do without one."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.sandbox import seccomp

Wall = Literal["auto", "bubblewrap", "nsjail", "crun", "unsafe"]
"""What keeps a program in: the first of bubblewrap, nsjail and crun that works here, one of them,
or nothing but limits of resources, which is for programs that are trusted."""

HERE = "/sandbox"
"""Where the code that serves programs lies, inside."""

_PROGRAMS: dict[Wall, str] = {"bubblewrap": "bwrap", "nsjail": "nsjail", "crun": "crun"}
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_NOBODY = "65534"


class SandboxUnavailableError(PkpoError, RuntimeError):
    """Nothing on this machine can hold a program that isn't trusted."""


def installed(wall: Wall) -> tuple[Wall, ...]:
    """The walls that are asked for and there, in the order in which they are tried.

    Raises:
        InvalidInputError: no such wall.
        SandboxUnavailableError: there is none, or this machine isn't Linux on a known processor.
    """
    if wall not in get_args(Wall):
        raise InvalidInputError(f"the sandbox must be one of {get_args(Wall)}, got {wall!r}")
    if sys.platform != "linux" or platform.machine() not in seccomp.MACHINES:
        machines = ", ".join(seccomp.MACHINES)
        raise SandboxUnavailableError(
            f"programs that aren't trusted are run on Linux ({machines}) alone; this is "
            f"{sys.platform} on {platform.machine()}"
        )
    executable, paths = _interpreter()
    if wall != "unsafe" and any(path.startswith("/tmp/") for path in paths):
        raise SandboxUnavailableError(
            f"the interpreter {executable} lies in /tmp, which programs find empty; "
            "run pkpo with one that lies elsewhere"
        )
    names = tuple(_PROGRAMS) if wall == "auto" else (wall,)
    found: tuple[Wall, ...] = tuple(
        name for name in names if name == "unsafe" or shutil.which(_PROGRAMS[name])
    )
    if not found:
        package = "crun" if wall == "crun" else "bubblewrap"
        raise SandboxUnavailableError(
            f"programs that aren't trusted are run under {' or '.join(names)}, which isn't "
            f"installed; install it with: apt-get install {package}"
        )
    return found


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


def command(wall: Wall, folder: str) -> list[str]:
    """The command that starts the server of programs behind a wall; its socket is its stdin.

    Inside there are the interpreter with its standard library, an empty scratch directory, and
    nothing else of this machine: no network, no other process, no environment. The server may
    mount and make namespaces there, which it gives up for each program (`inside/serve.py`).

    Args:
        folder: that crun's bundle and state may be put in; it doesn't exist, and is gone when the
            command has ended.
    """
    executable, paths = _interpreter()
    inside = str(Path(__file__).parent / "inside")
    serve = [executable, "-I", "-S", "-B"]
    if wall == "unsafe":
        return [*serve, f"{inside}/serve.py", "open"]
    serve += [f"{HERE}/serve.py", "walled" if wall == "bubblewrap" else "unsealed"]
    packages = f"{sysconfig.get_path('stdlib', vars={'base': sys.base_prefix})}/site-packages"
    hidden = [packages] if os.path.isdir(packages) else []
    if wall == "nsjail":
        return [
            "nsjail", "--mode", "o", "--quiet", "--chroot", "", "--disable_proc",
            "--iface_no_lo", "--cap", "CAP_SYS_ADMIN", "--user", _NOBODY, "--group", _NOBODY,
            "--hostname", "sandbox", "--time_limit", "0", "--disable_rlimits",
            "--nice_level", str(os.nice(0)),
            *(part for path in paths for part in ("--bindmount_ro", path)),
            *(part for path in hidden for part in ("--tmpfsmount", path)),
            *(part for path in _DEVICES for part in ("--bindmount", path)),
            "--bindmount_ro", f"{inside}:{HERE}", "--tmpfsmount", "/tmp", "--cwd", "/tmp",
            "--", *serve,
        ]  # fmt: skip
    if wall == "crun":
        bound = {path: path for path in paths} | {HERE: inside}
        return [
            "/bin/sh", "-c", _BUNDLE, folder, json.dumps(_container(serve, bound, hidden)),
            "crun", "--root", folder, "--cgroup-manager=disabled",
            "run", "--bundle", folder, "sandbox",
        ]  # fmt: skip
    return [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--cap-add", "CAP_SYS_ADMIN", "--uid", _NOBODY, "--gid", _NOBODY,
        "--hostname", "sandbox", "--clearenv",
        *(part for path in paths for part in ("--ro-bind", path, path)),
        *(part for path in hidden for part in ("--tmpfs", path, "--remount-ro", path)),
        *(part for path in _DEVICES for part in ("--dev-bind", path, path)),
        "--ro-bind", inside, HERE, "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",
        "--", *serve,
    ]  # fmt: skip


_BUNDLE = (
    'mkdir -m 700 "$0" || exit 1; mkdir -p "$0/rootfs/dev" && printf %s "$1" > "$0/config.json" && '
    'shift && "$@"; rm -rf "$0"'
)
"""Outlives this process, so that nothing of crun's is left behind by a SIGKILL."""


def _container(serve: list[str], bound: dict[str, str], hidden: list[str]) -> dict[str, Any]:
    """The configuration of a container, as in the OCI's runtime specification."""
    alone = ["nosuid", "nodev"]
    kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
    identity = {"containerID": int(_NOBODY), "size": 1}
    return {
        "ociVersion": "1.0.0",
        "hostname": "sandbox",
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "args": serve,
            "cwd": "/tmp",
            "user": {"uid": int(_NOBODY), "gid": int(_NOBODY)},
            "capabilities": {kind: ["CAP_SYS_ADMIN"] for kind in kinds},
            "noNewPrivileges": True,
        },
        "mounts": [
            *(
                {"destination": to, "source": path, "options": ["rbind", "ro", *alone]}
                for to, path in bound.items()
            ),
            *({"destination": to, "type": "tmpfs", "options": ["ro", *alone]} for to in hidden),
            {"destination": "/tmp", "type": "tmpfs", "options": alone},
        ],
        "linux": {
            "namespaces": [
                {"type": name}
                for name in ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
            ],
            "uidMappings": [identity | {"hostID": os.geteuid()}],
            "gidMappings": [identity | {"hostID": os.getegid()}],
        },
    }
