"""What reaches a terminal: text that can't harm it, streams that can't end the work.

Nothing here imports anything but the standard library until a console is asked for.
"""

from __future__ import annotations

import codecs
import errno
import io
import locale
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_UNBOUNDED = 100_000
_HARMFUL = "\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_HARMFUL}]")
_IN_CELL = re.compile(f"[\t\n{_HARMFUL}]")
_LOOK_ALIKES = {
    **dict(zip("≤≥→←×±√…", ("<=", ">=", "->", "<-", "x", "+/-", "sqrt", "..."))),
    **dict.fromkeys("–—−─━═╌┄", "-"),
    **dict.fromkeys("│┃║╎┆", "|"),
    **dict.fromkeys("·•", "*"),
    "\u00a0": " ",
}
_ERRORS = "pkpo.look_alikes"


def visible(text: str, *, cell: bool = False) -> str:
    r"""`text` with whatever could steer a terminal, or can't be encoded, spelt out.

    That is control characters, marks that turn the direction of writing, and the bytes of
    file names that aren't UTF-8. Line ends and tabs stay, except in a cell of a table.

    >>> visible("p\x1b[2J\n"), visible("a\nb", cell=True), visible("\udcff.csv")
    ('p\\x1b[2J\n', 'a\\nb', '\\xff.csv')
    """
    return (_IN_CELL if cell else _IN_TEXT).sub(lambda found: _spelt(found[0]), text)


def _spelt(character: str) -> str:
    number = ord(character)
    if character in "\t\n":
        return "\\t" if character == "\t" else "\\n"
    if 0xDC80 <= number <= 0xDCFF:  # a byte that the file system's encoding doesn't know
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _look_alikes(error: UnicodeError) -> tuple[str, int]:
    """For encoders: "<=" for a ≤ that a terminal can't show, and so on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    frames = {c: "+" for c in lost if "\u2500" <= c <= "\u257f"} | _LOOK_ALIKES
    return "".join(frames.get(c) or _spelt(c) for c in lost), error.end


class _Unfailing(io.FileIO):
    """A file that takes everything, and remembers why it couldn't write some of it."""

    def __init__(self, descriptor: int, broken: OSError | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._broken = broken
        self.failure: OSError | None = None

    def write(self, data: Any) -> int | None:
        if self._broken is None:
            try:
                return super().write(data)
            except OSError as error:
                self._broken = error
        self.failure = self._broken
        return len(memoryview(data).cast("B"))


def guard_streams() -> None:
    """From here on neither a closed, full or abandoned stdout or stderr ends the process, nor
    one that can't encode what is printed; `output_failure` says what was lost.

    Streams that were replaced, as tests do, are left alone.
    """
    codecs.register_error(_ERRORS, _look_alikes)
    closed = [descriptor for descriptor in range(3) if not _is_open(descriptor)]
    for _ in closed:  # else the next files to be opened would take their places
        os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(1, sys.stdout, 1 in closed)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(2, sys.stderr, 2 in closed)


def output_failure() -> OSError | None:
    """Why some of what was printed to stdout didn't get there; None if all did, or if its
    reader, such as `head`, had enough."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = raw.failure if isinstance(raw, _Unfailing) else None
    return None if failure is None or failure.errno == errno.EPIPE else failure


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _guarded(descriptor: int, stream: TextIO | None, closed: bool) -> TextIO:
    broken = OSError(errno.EBADF, os.strerror(errno.EBADF)) if closed else None
    raw = _Unfailing(descriptor, broken)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else locale.getencoding(),
        errors=_ERRORS,
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=bool(getattr(stream, "write_through", False)),
    )


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; where the output isn't one, so wide that nothing is cut."""
    from rich.console import Console

    made = Console(stderr=stderr)
    if not made.file.isatty():
        made.width = _UNBOUNDED
    return made


def say(console: Console, text: str) -> None:
    """Print text that holds a path: never wrapped, never read as markup."""
    console.print(visible(text), soft_wrap=True, markup=False, highlight=False)
