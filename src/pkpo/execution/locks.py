"""One writer at a time in a folder, and no worker that outlives its job."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkpo.errors import RunDirectoryError
from pkpo.files import naming, remove_leftovers

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NAME = "lock"
_POLL_SECONDS = 0.05
_OWNER_BYTES = 200
_held: set[int] = set()


def _leave_to_parent() -> None:
    """In a forked process: let go, so that the lock ends with the process that took it."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def only_writer(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Be the only process that writes in `folder`, and clear up after those before.

    The system frees the lock when the process ends, however it ends. Where there are no
    locks (Windows, some network file systems) a warning takes their place.

    Args:
        folder: made if missing; holds a file named "lock" for as long as this lasts.
        wait: seconds to wait for another process to let go.

    Raises:
        RunDirectoryError: another process holds the lock, or the folder can't be written.
    """
    with locked(folder / _NAME, wait=wait):
        remove_leftovers(folder)
        yield


@contextmanager
def locked(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock that goes by the name of `path`, a file that is there meanwhile.

    Args:
        path: folders above it are made.
        wait: seconds to wait for another process to let go.

    Raises:
        RunDirectoryError: another process holds the lock, or the folder can't be written.
    """
    try:
        with naming(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _acquire(path, time.monotonic() + wait)
    except OSError as error:
        raise RunDirectoryError(f"can't write in {path.parent}: {error.strerror}") from error
    _held.add(descriptor)
    try:
        yield
    finally:
        # Whoever waits for this file notices that it has lost its name.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        _held.discard(descriptor)
        os.close(descriptor)


def _acquire(path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _lock(descriptor, path):
                if _is_named(descriptor, path):
                    _sign(descriptor)
                    return descriptor
            elif time.monotonic() >= deadline:
                owner = os.pread(descriptor, _OWNER_BYTES, 0).decode(errors="replace").strip()
                raise RunDirectoryError(
                    f"{path.parent} is in use by {owner or 'another process'}; wait for it to "
                    f"end, or stop it, and try again"
                )
            else:
                time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    if fcntl is None:
        warnings.warn(f"no file locks on this system: {path} protects nothing", stacklevel=5)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        warnings.warn(f"{path} protects nothing: {error.strerror}", stacklevel=5)
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether `path` still leads to the open file, and not to nothing or a newer one."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Say who holds the lock; a full disk is no reason to go without."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())


def end_with_parent() -> None:
    """In a worker: end this process, whatever it is doing, as soon as its parent has ended.

    A job that is killed can't tell its workers; without this they would train on, and
    write beside the workers of the job that continues the run.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
