"""Atomic writing: every file that the project writes is complete or absent.

A regular file is replaced in one step and keeps its permissions. A link stays, and its target is written. Anything
else (a FIFO, a device, /dev/stdout) gets the bytes as they come. A folder is refused.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, TextIO

from lightning_nn.errors import UserError

_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")
_LINKS = 40  # followed at most, as Linux does
_NAME = 200  # bytes of a file's name that its temporary name repeats; most file systems allow 255


def write_atomically(path: Path, write: Callable[[Any], object]) -> None:
    """Call `write` with a binary file that becomes `path` only once it is complete and on the disk.

    Raises:
        UserError: the disk is full, the folder can't be written, or `path` is a folder.
    """
    try:
        with _opened(path) as file:
            write(file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError of its zip writer
        raise _unwritable(path, error, "choose another folder with --folder") from error


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8.

    Raises:
        UserError: see `write_atomically`.
    """
    write_atomically(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """Open a text stream in UTF-8, line ends untranslated, that becomes `path` once the body is done.

    If the body raises, an existing file stays unchanged.

    Raises:
        UserError: see `write_atomically`. An error of the body that does not concern this file is raised unchanged.
    """
    foreign: BaseException | None = None
    try:
        with _opened(path) as file:
            stream = _TextStream(file, encoding="utf-8", errors="backslashreplace", newline="")
            try:
                yield stream
            except BaseException as error:
                foreign = None if error is stream.failure else error
                raise
            finally:
                with suppress(OSError) if foreign or stream.failure else nullcontext():
                    stream.detach()
    except OSError as error:
        if error is foreign:
            raise
        raise _unwritable(path, error, "name another file") from error


class _TextStream(io.TextIOWrapper):
    """Text stream that remembers its own write error."""

    failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failure = error
            raise


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    descriptor = _descriptor(path)
    if descriptor is not None:
        if descriptor == 1:
            sys.stdout.flush()  # what was printed earlier comes first
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            yield stream
        return
    try:
        status: os.stat_result | None = path.stat()
    except FileNotFoundError:
        status = None
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if status is not None and not stat.S_ISREG(status.st_mode):
        with path.open("wb") as stream:
            yield stream
        return
    with _replaced(Path(os.path.realpath(path)), status) as file:
        yield file


@contextmanager
def _replaced(path: Path, status: os.stat_result | None) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that replaces it at the end."""
    if status is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    name = path.name.encode("utf-8", "surrogateescape")[:_NAME].decode("utf-8", "ignore")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(name)}.*.part"):
        if not _is_written(left):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if status is not None:
            with suppress(OSError):
                temporary.chmod(stat.S_IMODE(status.st_mode))
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_written(temporary: Path) -> bool:
    """Return whether the process that made a temporary file may still be writing it; a killed process is not."""
    process = temporary.name.split(".")[-2]
    if os.name == "nt" or not process.isdigit():  # Windows removes no open file
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return int(process) != os.getpid()


def _descriptor(path: Path) -> int | None:
    """Return the descriptor of the open file that a path such as /dev/stdout or /dev/fd/3 stands for, else None."""
    place = Path(os.path.normpath(Path.cwd() / path))
    for _ in range(_LINKS):
        if match := _DESCRIPTOR.fullmatch(place.as_posix()):
            return int(match[1])
        if not place.is_symlink():
            return None
        place = Path(os.path.normpath(place.parent / place.readlink()))
    return None


def _unwritable(path: Path, error: BaseException, remedy: str) -> UserError:
    first = error  # torch's zip writer fails a second time on close
    while isinstance(first.__context__, OSError | RuntimeError):
        first = first.__context__
    reason = first.strerror if isinstance(first, OSError) and first.strerror else str(first).splitlines()[0]
    kept = "; the existing file is kept" if path.is_file() else ""
    return UserError(f"can't write {path}: {reason}{kept}; free space or {remedy}")
