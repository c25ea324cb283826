"""Bounds on what packed files may unpack to, so that none of them fills memory or runs for ever."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lightning_nn.errors import UserError

_FREE = 1 << 26  # bytes up to which any ratio is accepted
_RATIO = 200  # gzip shrinks text to a third or a tenth, and the same line over and over to a few hundredths
_TOO_MUCH = "{file} unpacks to over {size} MB, {ratio} times its size, which no text does: unpack it if you trust it"


def check_unpacked(file: Path, unpacked: int) -> None:
    """Refuse a file that says it unpacks to so many bytes that it can't be text.

    Raises:
        UserError: names the bound.
    """
    limit = max(_FREE, _RATIO * file.stat().st_size)
    if unpacked > limit:
        raise UserError(_TOO_MUCH.format(file=file, size=limit >> 20, ratio=_RATIO))


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is called .gz and is one."""
    with file.open("rb") as packed:
        if file.suffix.lower() == ".gz" and packed.peek(2).startswith(b"\x1f\x8b"):
            with io.BufferedReader(Unpacked(packed, file), 1 << 16) as stream:
                yield stream
        else:
            yield packed


class Unpacked(io.RawIOBase):
    """A gzip file, unpacked as it is read.

    Raises:
        UserError: damaged, or so much larger than the file that it can't be text.
    """

    def __init__(self, packed: BinaryIO, file: Path) -> None:
        self._file, self._gzip = file, gzip.GzipFile(fileobj=packed, mode="rb")
        self._limit = max(_FREE, _RATIO * os.fstat(packed.fileno()).st_size)
        self._count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read up to as many bytes as the buffer holds."""
        try:
            count = self._gzip.readinto(buffer)
        except (OSError, EOFError) as error:
            raise UserError(f"{self._file} is damaged or not complete ({error}); pack or copy it again") from None
        self._count += count
        if self._count > self._limit:
            raise UserError(_TOO_MUCH.format(file=self._file, size=self._limit >> 20, ratio=_RATIO))
        return count
