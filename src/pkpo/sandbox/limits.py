"""What a program in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

from pkpo.errors import InvalidInputError


@dataclass(frozen=True)
class Limits:
    """What one program may use; beyond it, it is killed or its call fails.

    Args:
        wall_seconds: from its start to its end, waiting included.
        cpu_seconds: of the processor, all its threads together; rounded up.
        memory_mib: address space.
        scratch_mib: of its only writable directory, which is memory, and of each file in it.
        output_kib: of stdout and stderr, each; what comes after is read and dropped, and from
            16 times as much on it is killed.
        message_kib: of one argument list or one returned value.

    Raises:
        InvalidInputError: one of them isn't positive.
    """

    wall_seconds: float = 10.0
    cpu_seconds: float = 5.0
    memory_mib: int = 512
    scratch_mib: int = 16
    output_kib: int = 64
    message_kib: int = 4096

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InvalidInputError(f"limits: {name} must be > 0, got {value!r}")

    def resources(self) -> dict[str, int]:
        """Names of `resource` with their limits."""
        return {
            "RLIMIT_CPU": -int(-self.cpu_seconds // 1),
            "RLIMIT_AS": self.memory_mib << 20,
            "RLIMIT_FSIZE": self.scratch_mib << 20,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
        }
