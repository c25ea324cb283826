"""Standard streams that can't break a training if they are closed, full, without a reader or in another encoding.

And standard input that tells whether reading on would wait, so that what has come can be answered before.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO, cast

from lightning_nn.errors import UserError

_PIECE = 1 << 16  # bytes read at once


class LastingFile(io.FileIO):
    """File of a standard stream; once a write fails, later output is discarded.

    Args:
        descriptor: 1 or 2.

    Attributes:
        essential: whether the first failure ends the command, because its output is its purpose.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.essential = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Write some of the bytes; wait while a non-blocking descriptor has no room.

        Raises:
            BrokenPipeError: the reader has gone, and the output is essential.
            UserError: the write fails for another reason, and the output is essential.
        """
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            _open_nothing(self.fileno())  # for later writes, also of other code and at exit
            if not self.essential:
                return len(data)
            if isinstance(error, BrokenPipeError):
                raise
            raise UserError(f"can't write to standard output: {error.strerror}") from error


class PromptInput(io.RawIOBase):
    """Standard input, read as far as it has come.

    Args:
        stream: of which nothing has been read yet.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []  # pieces of a line without its end
        self._ended = False
        self._descriptor: int | None = None
        with suppress(OSError):  # a stream in memory
            self._descriptor = stream.fileno()

    def waits(self) -> bool:
        """Return whether the next line has not come yet, so that reading it would wait."""
        while not self._lines and not self._ended:
            if self._descriptor is not None and not _is_ready(self._descriptor):
                return True
            self._fill()
        return False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line; `size` is ignored."""
        while not self._lines and not self._ended:
            self._fill()
        return self._lines.popleft() if self._lines else b""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read bytes, at most to the end of a line."""
        line = self.readline()
        count = min(len(line), len(buffer))
        buffer[:count] = line[:count]
        if line[count:]:
            self._lines.appendleft(line[count:])
        return count

    def _fill(self) -> None:
        if self._descriptor is None:
            data = self._stream.read(_PIECE)
        else:
            try:
                data = os.read(self._descriptor, _PIECE)
            except BlockingIOError:
                select.select([self._descriptor], [], [])
                return
        self._ended = not data
        first, *more = data.split(b"\n")
        self._rest.append(first)
        for piece in more:
            self._lines.append(b"".join([*self._rest, b"\n"]))
            self._rest = [piece]
        if self._ended and (last := b"".join(self._rest)):
            self._lines.append(last)


def _is_ready(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    except OSError:  # Windows waits for sockets alone
        return stat.S_ISREG(os.fstat(descriptor).st_mode)


@contextmanager
def lasting_streams() -> Iterator[LastingFile | None]:
    """Replace the standard streams by lasting ones while a command runs; closed descriptors are opened on os.devnull.

    A character that a stream's encoding lacks is written as its number, as in \\u597d. Streams that have replaced the
    process's own (in a notebook, or to capture output) are kept.

    Yields:
        The file of standard output; None if the stream is not the process's own.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _open_nothing(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    output = None
    if sys.stdout is sys.__stdout__:
        output = LastingFile(1)
        sys.stdout = _text(output, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(LastingFile(2), sys.stderr)
    try:
        yield output
    finally:
        if output is not None:
            output.essential = False
        for stream in (sys.stdout, sys.stderr):
            with suppress(ValueError):  # other code has closed it
                stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _text(file: LastingFile, before: TextIO | None) -> TextIO:
    """Return a text stream like the one before, or like Python's default if there was none."""
    if before is not None:
        with suppress(OSError, ValueError):
            before.flush()
    unbuffered = bool(getattr(before, "write_through", False))  # PYTHONUNBUFFERED; the writer below has a buffer
    return io.TextIOWrapper(
        io.BufferedWriter(cast(io.RawIOBase, file)),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=unbuffered or bool(getattr(before, "line_buffering", True)),
        write_through=unbuffered,
    )


def _open_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != descriptor:
        os.dup2(nothing, descriptor)
        os.close(nothing)
