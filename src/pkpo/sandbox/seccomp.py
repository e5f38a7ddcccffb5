"""The filter of system calls: no new processes, no sockets, no tracing, no mounting, no memory
that isn't counted against the limit on a process's.

A classic BPF program as bubblewrap loads it (`--seccomp`): calls that are denied fail with EPERM,
and `clone3` with ENOSYS, after which the C library makes threads with `clone`.
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class _Machine:
    """Numbers of a machine's system calls.

    Args:
        audit: its AUDIT_ARCH constant.
        clone: allowed for threads alone.
        denied: by name.
    """

    audit: int
    clone: int
    denied: dict[str, int]


_CLONE3 = 435
_IO_URING = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}

MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        56,
        _IO_URING
        | {
            "shmget": 29, "memfd_create": 319, "memfd_secret": 447,
            "socket": 41, "socketpair": 53, "fork": 57, "vfork": 58, "ptrace": 101,
            "personality": 135, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166,
            "reboot": 169, "init_module": 175, "delete_module": 176, "kexec_load": 246,
            "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
            "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304,
            "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
            "finit_module": 313, "bpf": 321, "userfaultfd": 323,
        },
    ),
    "aarch64": _Machine(
        0xC00000B7,
        220,
        _IO_URING
        | {
            "shmget": 194, "memfd_create": 279, "memfd_secret": 447,
            "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "personality": 92,
            "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106,
            "ptrace": 117, "reboot": 142, "socket": 198, "socketpair": 199, "add_key": 217,
            "request_key": 218, "keyctl": 219, "perf_event_open": 241,
            "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
            "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "bpf": 280,
            "userfaultfd": 282,
        },
    ),
}  # fmt: skip

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _CLONE_THREAD = 1, 38, 0x00010000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_FOREIGN_ABI = 0x40000000


def clone_number() -> int:
    """Of the system call `clone` on this machine."""
    return MACHINES[platform.machine()].clone


def program(machine: str | None = None) -> bytes:
    """The filter for a machine, this one by default.

    Raises:
        KeyError: a machine whose system calls aren't known here.
    """
    known = MACHINES[machine or platform.machine()]
    body = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, known.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _FOREIGN_ABI),
        (_RETURN, 0, 0, _KILL),
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
    ]
    for number in known.denied.values():
        body += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    body += [
        (_EQUAL, 0, 3, known.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in body)
